// Package trace calls the tracers of a pgx configuration for what the driver
// sends by itself over pgconn, below the methods of pgx.Conn that would call
// them: statements, BEGIN, COMMIT, ROLLBACK and PREPARE.
//
// It owns nothing but the calls; spans live in the contexts that the tracers
// return. What pgx does on its own (connecting, CopyFrom, SendBatch, the simple
// protocol with arguments) it also traces on its own. Open trace.go.
package trace
