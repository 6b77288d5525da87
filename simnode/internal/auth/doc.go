// Package auth says who may connect to the simulated cluster: its roles, their
// SCRAM-SHA-256 verifiers, its databases, and the server's side of the exchange.
//
// It owns the credentials of the whole cluster (every node asks the same Store)
// and the errors that a refused client sees. It never reads or writes a socket,
// package wire does; and it never keeps, prints or logs a password: only salted
// keys are stored. An unknown role under SCRAM is led through a mock exchange
// that fails like a wrong password, so that names cannot be probed.
//
// Open store.go first, then scram.go.
package auth
