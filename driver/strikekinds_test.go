package driver_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/driver"
)

// strikeOp names one operation: the id that its rows have in strike_log and the row of
// strike_counter that it increments.
type strikeOp struct {
	id, counter int64
	statements  int
}

// strikeKind is a kind of operation. Run once, it writes rows rows of the op's id
// and increments the counter count times, and all that is one transaction.
type strikeKind struct {
	name     string
	fenced   bool // the commit fence covers it
	foreign  bool // its errors are not the driver's
	postgres bool // only PostgreSQL takes it
	open     bool // it has a COMMIT of its own: before that nothing can have been committed
	effect   func(statements int) (rows, count int64)
	run      func(ctx context.Context, db *sql.DB, op strikeOp) error
}

const (
	strikeInsert = "insert into strike_log values ($1, 1)"
	strikeUpdate = "update strike_counter set n = n + 1 where id = $1"
)

func oneRow(int) (rows, count int64) { return 1, 0 }

// insertPlain is the text of an insert without arguments.
func (op strikeOp) insertPlain() string {
	return fmt.Sprintf("insert into strike_log values (%d, 1)", op.id)
}

// strikeKinds are all kinds of operations.
func strikeKinds() []*strikeKind {
	return append(strikeAutocommits(), strikeTransactions()...)
}

func strikeAutocommits() []*strikeKind {
	return []*strikeKind{
		{name: "insert", fenced: true, effect: oneRow, run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
			_, err := db.ExecContext(ctx, op.insertPlain())
			return err
		}},
		{name: "insert with arguments", fenced: true, effect: oneRow, run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
			_, err := db.ExecContext(ctx, strikeInsert, op.id)
			return err
		}},
		{name: "insert returning", fenced: true, effect: oneRow, run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
			var id int64
			err := db.QueryRowContext(ctx, strikeInsert+" returning id", op.id).Scan(&id)
			if err == nil && id != op.id {
				return fmt.Errorf("returned id %d", id)
			}
			return err
		}},
		{name: "prepared insert", fenced: true, effect: oneRow, run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
			stmt, err := db.PrepareContext(ctx, strikeInsert)
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.ExecContext(ctx, op.id)
			return err
		}},
		{name: "update", fenced: true, effect: func(int) (int64, int64) { return 0, 1 }, run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
			_, err := db.ExecContext(ctx, strikeUpdate, op.counter)
			return err
		}},
		{name: "insert and update", fenced: true, postgres: true, effect: func(int) (int64, int64) { return 1, 1 }, run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
			_, err := db.ExecContext(ctx, "with counted as (update strike_counter set n = n + 1 where id = $2) "+strikeInsert, op.id, op.counter)
			return err
		}},
		{name: "several commands", effect: func(int) (int64, int64) { return 2, 1 }, run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
			_, err := db.ExecContext(ctx, fmt.Sprintf("%s; update strike_counter set n = n + 1 where id = %d; %[1]s", op.insertPlain(), op.counter))
			return err
		}},
		{name: "copy", foreign: true, postgres: true, effect: func(n int) (int64, int64) { return int64(n), 0 }, run: strikeCopy},
	}
}

// strikeCopy copies rows with the server connection that Raw gives.
func strikeCopy(ctx context.Context, db *sql.DB, op strikeOp) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(ctx)
		if err != nil {
			return err
		}
		rows := make([][]any, op.statements)
		for i := range rows {
			rows[i] = []any{op.id, int64(i)}
		}
		_, err = pc.CopyFrom(ctx, pgx.Identifier{"strike_log"}, []string{"id", "part"}, pgx.CopyFromRows(rows))
		return err
	})
}

func strikeTransactions() []*strikeKind {
	effect := func(n int) (rows, count int64) { return int64(1 + n/3), int64(min(n/2, 1)) }
	var kinds []*strikeKind
	for _, hint := range []struct {
		name string
		last func(context.Context) context.Context
	}{{"", unhinted}, {" with commit", driver.WithCommit}} {
		kinds = append(kinds, &strikeKind{
			name: "transaction" + hint.name, fenced: true, open: hint.name == "", effect: effect,
			run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				defer tx.Rollback()
				if err := op.statementsOf(ctx, tx, hint.last); err != nil {
					return err
				}
				return tx.Commit()
			},
		}, &strikeKind{
			name: "RunTx" + hint.name, fenced: true, open: hint.name == "", effect: effect,
			run: func(ctx context.Context, db *sql.DB, op strikeOp) error {
				return driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error { return op.statementsOf(ctx, tx, hint.last) })
			},
		})
	}
	return kinds
}

func unhinted(ctx context.Context) context.Context { return ctx }

// statementsOf runs the statements of a transaction: an insert, the counter's
// update, another insert.
func (op strikeOp) statementsOf(ctx context.Context, tx *sql.Tx, last func(context.Context) context.Context) error {
	for i := range op.statements {
		text, arg := strikeInsert, op.id
		if i == 1 {
			text, arg = strikeUpdate, op.counter
		}
		hinted := ctx
		if i == op.statements-1 {
			hinted = last(ctx)
		}
		if _, err := tx.ExecContext(hinted, text, arg); err != nil {
			return err
		}
	}
	return nil
}
