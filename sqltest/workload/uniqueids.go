package workload

import (
	"context"
	"database/sql"

	"github.com/anywriter/anywriter/sqltest/check"
	"github.com/anywriter/anywriter/sqltest/history"
)

// UniqueIDs inserts rows by statements of their own, without transaction, and
// gets generated numbers back. The table has no key that would stop a statement
// that runs twice: the oracle sees it.
type UniqueIDs struct {
	*engine
	table string
	plain bool
}

// NewUniqueIDs makes a unique ids workload; it touches nothing yet. With
// withoutArguments the statements are run by Exec with their values in the text,
// which drivers often send by the simple protocol, and no number comes back.
func NewUniqueIDs(cfg Config, withoutArguments bool) (*UniqueIDs, error) {
	e, err := newEngine(cfg, "uniqueids")
	if err != nil {
		return nil, err
	}
	return &UniqueIDs{engine: e, table: e.cfg.Table, plain: withoutArguments}, nil
}

// Setup makes the table anew.
func (w *UniqueIDs) Setup(ctx context.Context) error {
	return execAll(ctx, w.cfg.Control,
		"drop table if exists "+w.table,
		"create table "+w.table+" (id bigserial primary key, op text not null)",
	)
}

// Teardown drops the table.
func (w *UniqueIDs) Teardown(ctx context.Context) error {
	return execAll(ctx, w.cfg.Control, "drop table if exists "+w.table)
}

// Run lets the clients work and returns when all have ended. It may be called
// once.
func (w *UniqueIDs) Run(ctx context.Context) error { return w.run(ctx, w.next) }

// Check reads the table and gives the verdict on the run.
func (w *UniqueIDs) Check(ctx context.Context) (*check.Verdict, error) {
	var final []check.IDRow
	err := readAll(ctx, w.cfg.Control, "select id, op from "+w.table, func(rows *sql.Rows) error {
		var row check.IDRow
		err := rows.Scan(&row.Number, &row.Op)
		final = append(final, row)
		return err
	})
	if err != nil {
		return nil, err
	}
	return check.UniqueIDs(w.History(), final), nil
}

// Verify is Check as one error, which ends with the replay command.
func (w *UniqueIDs) Verify(ctx context.Context) error { return verify(ctx, w.cfg, w.Check) }

func (w *UniqueIDs) next(c *client) (history.Op, func(context.Context, *history.Op) error) {
	return history.Op{Kind: history.Insert, ID: c.id()}, func(ctx context.Context, op *history.Op) error {
		if w.plain {
			op.Attempts++
			_, err := w.cfg.DB.ExecContext(ctx, "insert into "+w.table+" (op) values ('"+op.ID+"')")
			return autocommit(err)
		}
		return autocommit(w.readOne(ctx, op, "insert into "+w.table+" (op) values ($1) returning id", op.ID))
	}
}
