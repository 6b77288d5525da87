package cluster

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/anywriter/anywriter/cluster/internal/bundle"
	"github.com/anywriter/anywriter/cluster/internal/trace"
)

// Rows reads the result of one statement, or the results of a text of several
// commands one after the other. It belongs to one goroutine, holds its
// Session's server connection, and must be closed before the Session can run
// anything else. Closing reads through to ReadyForQuery, so an error that
// comes after the last row (a deferred constraint, a conflict at the implicit
// commit) is reported by Close and Err.
type Rows struct {
	session *Session
	phys    *physical
	ctx     context.Context
	call    call
	span    trace.Span

	rr     *pgconn.ResultReader
	bundle *bundle.Bundle // in which the statement has travelled with others
	multi  *pgconn.MultiResultReader
	simple pgx.Rows

	queue    [][][]byte                // rows that were read ahead, not yet given out
	row      [][]byte                  // the current one, if it came from the queue
	fields   []pgconn.FieldDescription // of the queue's rows
	buffered bool                      // Next has a row that was read ahead
	more     bool                      // there is such a row
	ahead    bool                      // the next result of several has been looked for
	hasAhead bool                      // and found
	tag      pgconn.CommandTag
	err      error
	done     bool

	committed bool  // the COMMIT that travelled with the statement was confirmed
	commitErr error // or refused, and this is why
}

// Fields describes the columns of the current result. The slice is valid until
// the Rows are closed or advanced to their next result.
func (r *Rows) Fields() []pgconn.FieldDescription {
	switch {
	case r.fields != nil:
		return r.fields
	case r.simple != nil:
		return r.simple.FieldDescriptions()
	case r.rr != nil:
		return r.rr.FieldDescriptions()
	default:
		return nil
	}
}

// TypeMap returns the types known to the server connection.
func (r *Rows) TypeMap() *pgtype.Map { return r.phys.conn.TypeMap() }

// Next advances to the next row. When it returns false the exchange with the
// server has ended (or another result follows, see NextResult) and Err tells
// how.
func (r *Rows) Next() bool {
	r.row = nil
	if len(r.queue) > 0 {
		r.row, r.queue = r.queue[0], r.queue[1:]
		return true
	}
	if r.buffered {
		r.buffered = false
		return r.more
	}
	if r.done || r.ahead {
		return false
	}
	if r.nextRow() {
		return true
	}
	if r.multi != nil {
		r.lookAhead()
		return false
	}
	r.finish()
	return false
}

func (r *Rows) nextRow() bool {
	if r.simple != nil {
		return r.simple.Next()
	}
	return r.rr != nil && r.rr.NextRow()
}

// Values returns the raw values of the current row, nil for NULL; valid until
// the next call of Next, NextResult or Close.
func (r *Rows) Values() [][]byte {
	if r.row != nil {
		return r.row
	}
	if r.simple != nil {
		return r.simple.RawValues()
	}
	return r.rr.Values()
}

// HasNextResult reports whether another result follows. It may only be called
// when Next has returned false.
func (r *Rows) HasNextResult() bool {
	if r.multi == nil {
		return false
	}
	r.lookAhead()
	return r.hasAhead
}

// NextResult advances to the next result that has columns and reports whether
// there is one.
func (r *Rows) NextResult() bool {
	if r.multi == nil {
		return false
	}
	for r.Next() { // rows the caller didn't want
	}
	r.lookAhead()
	ok := r.hasAhead
	r.ahead, r.hasAhead, r.buffered = false, false, false
	return ok
}

// lookAhead moves to the next result with columns, or ends the exchange.
func (r *Rows) lookAhead() {
	if r.ahead || r.done {
		return
	}
	r.ahead = true
	for r.multi.NextResult() {
		r.rr = r.multi.ResultReader()
		if len(r.rr.FieldDescriptions()) > 0 {
			r.hasAhead = true
			return
		}
		r.tag, _ = r.rr.Close() // an error is kept by multi
	}
	r.finish()
}

// preload reads up to the first row, so that an error before it can still be
// handled by a retry.
func (r *Rows) preload() error {
	if r.multi != nil {
		r.lookAhead()
		r.ahead, r.hasAhead = false, false
		if r.done {
			return r.err
		}
	}
	r.more = r.Next()
	r.buffered = true
	return r.err
}

// readAheadBytes bounds what readAhead keeps in memory.
const readAheadBytes = 64 << 10

// readAhead reads the rows of an autocommit write, if they are few, to the end
// of the exchange. Its commit comes after its rows: only when that is known can
// the statement still be tried again.
func (r *Rows) readAhead() error {
	var rows [][][]byte
	for size := 0; size < readAheadBytes; {
		if !r.nextRow() {
			r.fields = slices.Clone(r.Fields())
			r.finish()
			break
		}
		row := make([][]byte, 0, len(r.Fields()))
		for _, v := range r.Values() {
			size += len(v) + 1
			row = append(row, bytes.Clone(v))
		}
		rows = append(rows, row)
	}
	r.queue = rows
	if r.err != nil {
		r.queue = nil
	}
	return r.err
}

// drain reads everything and keeps the last command tag.
func (r *Rows) drain() error {
	if r.multi != nil {
		for r.multi.NextResult() {
			r.tag, _ = r.multi.ResultReader().Close() // an error is kept by multi
		}
	}
	r.finish()
	return r.err
}

// finish reads through to ReadyForQuery, once.
func (r *Rows) finish() {
	if r.done {
		return
	}
	r.done = true
	switch {
	case r.simple != nil:
		r.simple.Close()
		r.tag, r.err = r.simple.CommandTag(), r.simple.Err()
	case r.multi != nil:
		r.err = r.multi.Close()
	case r.rr != nil:
		r.tag, r.err = r.rr.Close()
	}
	if r.bundle != nil {
		r.finishBundle()
	}
	r.session.ended(r.ctx, r)
}

// finishBundle reads what travelled behind the statement.
func (r *Rows) finishBundle() {
	if r.err == nil && r.call.riding {
		r.commitErr = r.phys.readCommit(r.bundle, &r.call)
		r.committed = r.commitErr == nil
	}
	var err error
	if r.err == nil && !r.call.riding {
		err = r.phys.readFence(r.bundle, &r.call)
	}
	if end := r.bundle.End(); err == nil {
		err = end
	}
	switch {
	case r.committed: // a connection that dies now takes nothing back
	case r.commitErr != nil && r.phys.pc.IsClosed():
		r.err, r.commitErr = r.commitErr, nil // nobody knows how it went
	case r.commitErr == nil && r.err == nil:
		r.err = err
	}
}

// Close reads whatever is left and returns the error of the exchange, if any.
// It may be called more than once.
func (r *Rows) Close() error {
	r.finish()
	return r.err
}

// Err returns the error that ended the exchange, or nil.
func (r *Rows) Err() error { return r.err }

// Tag returns the command tag of the last completed command.
func (r *Rows) Tag() pgconn.CommandTag { return r.tag }
