package pgdiff

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// Connect opens a connection to one of the servers.
type Connect func(ctx context.Context) (*pgconn.PgConn, error)

// Protocol is the way statements are sent.
type Protocol uint8

// The protocols.
const (
	Simple   Protocol = iota // Query: a step may hold several statements
	Extended                 // Parse, Bind, Describe, Execute, Sync
)

// String returns "simple" or "extended".
func (p Protocol) String() string {
	if p == Extended {
		return "extended"
	}
	return "simple"
}

// Column is what a RowDescription says of a column, without the table.
type Column struct {
	Name    string
	TypeOID uint32
	TypeMod int32
}

// Result is the answer to one statement.
type Result struct {
	// Columns are nil if the statement returns no rows.
	Columns []Column
	// Rows are the values in text form; a nil value is NULL.
	Rows [][]*string
	// Tag is the command tag, empty after an error.
	Tag string
	// SQLState is the code of an error, or empty.
	SQLState string
	// Message and Position belong to the error.
	Message  string
	Position int32
}

// Outcome is the answer to one step.
type Outcome struct {
	Results []Result
	// TxStatus is 'I', 'T' or 'E' after the step.
	TxStatus byte
}

// Run runs the steps on one server, one after the other, and returns an outcome
// for each. SQL errors are outcomes; an error is one of the connection. It
// closes what it opened.
func Run(ctx context.Context, connect Connect, protocol Protocol, steps []Step) (outcomes []Outcome, err error) {
	sessions := map[string]*pgconn.PgConn{}
	defer func() {
		for _, conn := range sessions {
			_ = conn.Close(ctx) // the outcomes are there already
		}
	}()
	for _, step := range steps {
		conn := sessions[step.Session]
		if conn == nil {
			if conn, err = connect(ctx); err != nil {
				return nil, fmt.Errorf("pgdiff: session %q: %w", step.Session, err)
			}
			sessions[step.Session] = conn
		}
		var results []Result
		if protocol == Extended || step.Args != nil {
			results, err = runExtended(ctx, conn, step)
		} else {
			results, err = runSimple(ctx, conn, step)
		}
		if err != nil {
			return nil, fmt.Errorf("pgdiff: line %d: %w", step.Line, err)
		}
		outcomes = append(outcomes, Outcome{Results: results, TxStatus: conn.TxStatus()})
	}
	return outcomes, nil
}

func runSimple(ctx context.Context, conn *pgconn.PgConn, step Step) ([]Result, error) {
	reader := conn.Exec(ctx, step.SQL)
	var results []Result
	for reader.NextResult() {
		result, err := read(reader.ResultReader())
		if err != nil {
			return nil, errors.Join(err, reader.Close())
		}
		results = append(results, result)
	}
	if err := reader.Close(); err != nil {
		result, err := failure(err)
		if err != nil {
			return nil, err
		}
		// An error in the middle of rows has been reported with them.
		if n := len(results); n == 0 || results[n-1].SQLState == "" {
			results = append(results, result)
		}
	}
	return results, nil
}

func runExtended(ctx context.Context, conn *pgconn.PgConn, step Step) ([]Result, error) {
	var args [][]byte
	for _, arg := range step.Args {
		var value []byte
		if arg != nil {
			value = append([]byte{}, *arg...)
		}
		args = append(args, value)
	}
	result, err := read(conn.ExecParams(ctx, step.SQL, args, nil, nil, nil))
	return []Result{result}, err
}

// read takes one statement's answer.
func read(reader *pgconn.ResultReader) (Result, error) {
	var result Result
	for reader.NextRow() {
		row := make([]*string, len(reader.Values()))
		for i, value := range reader.Values() {
			if value != nil {
				text := string(value)
				row[i] = &text
			}
		}
		result.Rows = append(result.Rows, row)
	}
	for _, field := range reader.FieldDescriptions() {
		result.Columns = append(result.Columns, Column{Name: field.Name, TypeOID: field.DataTypeOID, TypeMod: field.TypeModifier})
	}
	tag, err := reader.Close()
	if err != nil {
		failed, err := failure(err)
		result.SQLState, result.Message, result.Position = failed.SQLState, failed.Message, failed.Position
		return result, err
	}
	result.Tag = tag.String()
	return result, nil
}

// failure turns a server's error into a result; any other error stays one.
func failure(err error) (Result, error) {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return Result{}, err
	}
	return Result{SQLState: pgErr.Code, Message: pgErr.Message, Position: pgErr.Position}, nil
}
