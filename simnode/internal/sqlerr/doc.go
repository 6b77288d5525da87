// Package sqlerr is the error a simulated node answers a client with: the fields
// of PostgreSQL's ErrorResponse, and constructors for the codes that more than
// one package raises.
//
// It owns no policy: which statement fails with which code is the caller's. It
// imports nothing of ours. Open sqlerr.go.
package sqlerr
