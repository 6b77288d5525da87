// Package session is one client's session on a simulated node: what lies between
// the wire protocol and the executor.
//
// It owns the transaction block and its rules (as PostgreSQL's xact.c), snapshots
// per statement or per transaction, settings and their undo, prepared statements
// and portals, timeouts of statements, and the moment at which an answer may leave:
// not before its snapshot is stable. It carries out the commands that concern only
// the session: BEGIN, SET, SHOW, PREPARE and their kin; everything else is package
// exec's.
//
// It never sees a byte of the protocol (package wire's), never judges a commit (the
// node's), and never runs a transaction a second time: the client retries.
//
// Open session.go first, then block.go for the states, query.go and portal.go for
// the two ways that commands come in, run.go for one statement.
package session
