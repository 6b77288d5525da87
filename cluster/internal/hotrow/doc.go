// Package hotrow learns from conflicts which row a transaction is about: the
// server names it in the DETAIL of its error, and the same statement with the
// same arguments will most likely begin a transaction about the same row.
//
// It owns the reading of such a DETAIL and the memory of what began with what,
// which is bounded and forgets. It doesn't decide what is done about it, and
// never keeps a statement or its arguments. Open hotrow.go.
package hotrow
