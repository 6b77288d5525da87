// Package hook calls the functions of the application that take part in
// opening a server connection: the one that changes its configuration before,
// for example to set a fresh password, and the one that prepares the connection
// after, for example to register types.
//
// It owns the calls, their errors and the second try after a refused
// credential; it keeps no connection and no state. Open hook.go.
package hook
