// Package driver is a database/sql driver, registered as "anywriter", for
// clusters of PostgreSQL-compatible servers in which every node takes writes.
//
// It owns the skin between database/sql and package cluster: handles that hold
// a server connection only during a checkout (conn.go), value conversion
// (rows.go, columntypes.go), transactions (tx.go) and their retry (runtx.go).
// It never picks nodes, never judges errors and never returns
// driver.ErrBadConn: that would make database/sql run statements again behind
// the application's back. Open conn.go first, then tx.go.
package driver
