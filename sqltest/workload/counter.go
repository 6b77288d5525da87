package workload

import (
	"context"
	"database/sql"

	"github.com/anywriter/anywriter/sqltest/check"
	"github.com/anywriter/anywriter/sqltest/history"
)

// Counter adds to one row from all sides: the hottest row there can be, and the
// plainest question of exactly once.
type Counter struct {
	*engine
	table string
}

// NewCounter makes a counter workload; it touches nothing yet.
func NewCounter(cfg Config) (*Counter, error) {
	e, err := newEngine(cfg, "counter")
	if err != nil {
		return nil, err
	}
	return &Counter{engine: e, table: e.cfg.Table}, nil
}

// Setup makes the table anew.
func (w *Counter) Setup(ctx context.Context) error {
	return execAll(ctx, w.cfg.Control,
		"drop table if exists "+w.table,
		"create table "+w.table+" (id int primary key, n bigint not null)",
		"insert into "+w.table+" (id, n) values (1, 0)",
	)
}

// Teardown drops the table.
func (w *Counter) Teardown(ctx context.Context) error {
	return execAll(ctx, w.cfg.Control, "drop table if exists "+w.table)
}

// Run lets the clients work and returns when all have ended. It may be called
// once.
func (w *Counter) Run(ctx context.Context) error { return w.run(ctx, w.next) }

// Check reads the counter and gives the verdict on the run.
func (w *Counter) Check(ctx context.Context) (*check.Verdict, error) {
	var final int64
	if err := w.cfg.Control.QueryRowContext(ctx, "select n from "+w.table+" where id = 1").Scan(&final); err != nil {
		return nil, err
	}
	return check.Counter(w.History(), final), nil
}

// Verify is Check as one error, which ends with the replay command.
func (w *Counter) Verify(ctx context.Context) error { return verify(ctx, w.cfg, w.Check) }

func (w *Counter) next(c *client) (history.Op, func(context.Context, *history.Op) error) {
	if c.rng.Float64() < w.cfg.ReadShare {
		return history.Op{Kind: history.Read, Key: 1}, func(ctx context.Context, op *history.Op) error {
			return w.readOne(ctx, op, "select n from "+w.table+" where id = $1", 1)
		}
	}
	return history.Op{Kind: history.Increment, ID: c.id(), Key: 1}, func(ctx context.Context, op *history.Op) error {
		return w.transact(ctx, op, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "update "+w.table+" set n = n + $1 where id = 1", 1)
			return err
		})
	}
}
