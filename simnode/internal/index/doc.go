// Package index turns column values into the keys of rows and indexes: byte
// strings whose order is the order of the values, NULLs last, and from which the
// values can be read back.
//
// It owns that encoding, the form of message.Key, ranges over it, and the text of
// a key for error details. It stores nothing and looks nothing up; package mvcc
// keeps the trees. All of it is pure and safe for concurrent use.
//
// Open tuple.go first, then key.go.
package index
