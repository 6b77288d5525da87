// Package simnode is a multi-writer PostgreSQL-compatible cluster inside your
// process, to test applications and drivers against.
//
// Start gives N nodes that speak the PostgreSQL wire protocol on loopback TCP
// ports and in memory. Every node takes writes: it proposes them to all nodes,
// commits by majority to a log on six storage nodes, and applies the log to its
// cache; a conflict is SQLSTATE 40001. Every fault is one call and returns its
// undo: kill, freeze, partition, latency, loss, a commit without a reply.
//
// It owns the assembly of the parts below internal/ and the faults; it never
// imports a client. Everything is lost with the process. It is a test tool and
// not a database: it trusts every client unless told otherwise and belongs on
// loopback. Open sim.go first, then fault.go.
package simnode
