package driver

import (
	"database/sql/driver"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/cluster"
)

// rows gives a cluster's rows to database/sql, which never touches them again
// after Close.
type rows struct {
	rows    cluster.Rows
	fields  []pgconn.FieldDescription
	names   []string
	columns []column // of the current result, once a row of it has been read
	scratch *scratch
	used    bool // not closed yet
}

var (
	_ driver.Rows              = (*rows)(nil)
	_ driver.RowsNextResultSet = (*rows)(nil)
)

// Columns returns the names of the columns.
func (r *rows) Columns() []string {
	if r.names == nil {
		r.names = make([]string, len(r.fields))
		for i := range r.fields {
			r.names[i] = r.fields[i].Name
		}
	}
	return r.names
}

// Close reads through to the end of the exchange and returns its error.
func (r *rows) Close() error {
	if !r.used {
		return nil
	}
	err := r.rows.Close()
	*r = rows{} // the handle keeps nothing of the result
	return err
}

// Next puts the next row into dest. io.EOF is returned only after the server
// has said that the statement is complete.
func (r *rows) Next(dest []driver.Value) error {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	if r.columns == nil {
		r.columns = r.scratch.plan(r.rows.TypeMap(), r.fields)
	}
	for i, src := range r.rows.Values() {
		if src == nil {
			dest[i] = nil
			continue
		}
		v, err := r.columns[i].value(r.scratch, src)
		if err != nil {
			return fmt.Errorf("column %d (%s): %w", i, r.fields[i].Name, err)
		}
		dest[i] = v
	}
	return nil
}

// HasNextResultSet reports whether the text had a further command that returns
// rows.
func (r *rows) HasNextResultSet() bool { return r.rows.HasNextResult() }

// NextResultSet advances to it, or returns io.EOF or the error of a command
// before it.
func (r *rows) NextResultSet() error {
	if !r.rows.NextResult() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	r.fields, r.names, r.columns = r.rows.Fields(), nil, nil
	return nil
}
