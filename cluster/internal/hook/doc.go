// Package hook calls the functions of the application that take part in
// opening a server connection: the one that changes its configuration before,
// for example to set a fresh password, and the one that prepares the connection
// after, for example to register types. Dial keeps the one that dials from panicking.
//
// It owns the calls, their errors, the second try after a refused credential
// and what is remembered of that; it keeps no connection. Open hook.go, then
// dialer.go.
package hook
