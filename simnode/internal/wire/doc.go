// Package wire is the PostgreSQL frontend/backend protocol, version 3.0, as a
// simulated node speaks it: one goroutine per connection that reads messages,
// drives a session and writes its answers.
//
// It owns framing and its limits, the startup and authentication exchange, cancel
// requests, the text and binary forms of parameters and results, the extended
// protocol's skipping after an error, and the end of connections: a vanished
// client, a shutdown, an idle timeout. It never looks into SQL: transactions,
// prepared statements, portals and settings are package session's.
//
// Frames are cut here and not by pgproto3.Backend, because the server must read
// ahead while a statement runs, accept any minor protocol version, and name the
// message that was malformed; answers are encoded by pgproto3.
//
// Open server.go first, then conn.go and loop.go.
package wire
