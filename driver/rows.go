package driver

import (
	"database/sql/driver"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/anywriter/anywriter/cluster"
)

// rows gives a cluster's rows to database/sql.
type rows struct {
	rows    *cluster.Rows
	fields  []pgconn.FieldDescription
	names   []string
	convert []converter
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
func (r *rows) Close() error { return r.rows.Close() }

// Next puts the next row into dest. io.EOF is returned only after the server
// has said that the statement is complete.
func (r *rows) Next(dest []driver.Value) error {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	if r.convert == nil {
		r.convert = converters(r.rows.TypeMap(), r.fields)
	}
	for i, src := range r.rows.Values() {
		if src == nil {
			dest[i] = nil
			continue
		}
		v, err := r.convert[i](src)
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
	r.fields, r.names, r.convert = r.rows.Fields(), nil, nil
	return nil
}

// converter makes a database/sql value of one column's bytes.
type converter func(src []byte) (driver.Value, error)

// converters chooses one converter per column, with the results that pgx's
// stdlib gives, so that a program sees no difference when it changes drivers.
func converters(m *pgtype.Map, fields []pgconn.FieldDescription) []converter {
	out := make([]converter, len(fields))
	for i := range fields {
		out[i] = converterFor(m, fields[i].DataTypeOID, fields[i].Format)
	}
	return out
}

func converterFor(m *pgtype.Map, oid uint32, format int16) converter {
	switch oid {
	case pgtype.BoolOID:
		return scanned[bool](m, oid, format)
	case pgtype.Int2OID:
		return widened(m, oid, format, func(v int16) driver.Value { return int64(v) })
	case pgtype.Int4OID:
		return widened(m, oid, format, func(v int32) driver.Value { return int64(v) })
	case pgtype.Int8OID:
		return scanned[int64](m, oid, format)
	case pgtype.Float4OID:
		return widened(m, oid, format, func(v float32) driver.Value { return float64(v) })
	case pgtype.Float8OID:
		return scanned[float64](m, oid, format)
	case pgtype.ByteaOID, pgtype.JSONOID, pgtype.JSONBOID, pgtype.XMLOID:
		return scanned[[]byte](m, oid, format)
	case pgtype.CIDOID, pgtype.OIDOID, pgtype.XIDOID:
		return valued[pgtype.Uint32](m, oid, format)
	case pgtype.DateOID:
		return valued[pgtype.Date](m, oid, format)
	case pgtype.TimestampOID:
		return valued[pgtype.Timestamp](m, oid, format)
	case pgtype.TimestamptzOID:
		return valued[pgtype.Timestamptz](m, oid, format)
	default:
		return scanned[string](m, oid, format)
	}
}

// scanned converts by scanning into a T, which is itself the value.
func scanned[T any](m *pgtype.Map, oid uint32, format int16) converter {
	return widened(m, oid, format, func(v T) driver.Value { return v })
}

// widened converts by scanning into a T and turning that into a value.
func widened[T any](m *pgtype.Map, oid uint32, format int16, to func(T) driver.Value) converter {
	var v T
	plan := m.PlanScan(oid, format, &v)
	return func(src []byte) (driver.Value, error) {
		if err := plan.Scan(src, &v); err != nil {
			return nil, err
		}
		return to(v), nil
	}
}

// valued converts by scanning into a T, which knows its own value.
func valued[T driver.Valuer](m *pgtype.Map, oid uint32, format int16) converter {
	var v T
	plan := m.PlanScan(oid, format, &v)
	return func(src []byte) (driver.Value, error) {
		if err := plan.Scan(src, &v); err != nil {
			return nil, err
		}
		return v.Value()
	}
}
