package workload

import (
	"context"
	"database/sql"

	"github.com/anywriter/anywriter/sqltest/check"
	"github.com/anywriter/anywriter/sqltest/history"
)

// Registers gives each client a row that only it writes, always to a greater
// value, and lets everybody read all rows: monotonic reads, and reads of
// acknowledged writes, one's own and others'.
type Registers struct {
	*engine
	table string
}

// NewRegisters makes a registers workload; it touches nothing yet.
func NewRegisters(cfg Config) (*Registers, error) {
	e, err := newEngine(cfg, "registers")
	if err != nil {
		return nil, err
	}
	return &Registers{engine: e, table: e.cfg.Table}, nil
}

// Setup makes the table anew.
func (w *Registers) Setup(ctx context.Context) error {
	err := execAll(ctx, w.cfg.Control,
		"drop table if exists "+w.table,
		"create table "+w.table+" (id int primary key, v bigint not null)",
	)
	if err != nil {
		return err
	}
	_, err = w.cfg.Control.ExecContext(ctx, "insert into "+w.table+" (id, v) select g, 0 from generate_series(0, $1::int) g", w.cfg.Clients-1)
	return err
}

// Teardown drops the table.
func (w *Registers) Teardown(ctx context.Context) error {
	return execAll(ctx, w.cfg.Control, "drop table if exists "+w.table)
}

// Run lets the clients work and returns when all have ended. It may be called
// once.
func (w *Registers) Run(ctx context.Context) error { return w.run(ctx, w.next) }

// Check reads the table and gives the verdict on the run.
func (w *Registers) Check(ctx context.Context) (*check.Verdict, error) {
	final := map[int]int64{}
	err := readAll(ctx, w.cfg.Control, "select id, v from "+w.table, func(rows *sql.Rows) error {
		var id int
		var v int64
		err := rows.Scan(&id, &v)
		final[id] = v
		return err
	})
	if err != nil {
		return nil, err
	}
	return check.Registers(w.History(), final), nil
}

// Verify is Check as one error, which ends with the replay command.
func (w *Registers) Verify(ctx context.Context) error { return verify(ctx, w.cfg, w.Check) }

func (w *Registers) next(c *client) (history.Op, func(context.Context, *history.Op) error) {
	if c.rng.Float64() < w.cfg.ReadShare {
		// Half of the reads are of one's own register: the likeliest to be stale.
		key := c.number
		if c.rng.IntN(2) == 0 {
			key = c.rng.IntN(w.cfg.Clients)
		}
		return history.Op{Kind: history.Read, Key: key}, func(ctx context.Context, op *history.Op) error {
			return w.readOne(ctx, op, "select v from "+w.table+" where id = $1", op.Key)
		}
	}
	op := history.Op{Kind: history.Write, ID: c.id(), Key: c.number, Value: int64(c.seq)}
	return op, func(ctx context.Context, op *history.Op) error {
		return w.transact(ctx, op, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "update "+w.table+" set v = $1 where id = $2", op.Value, op.Key)
			return err
		})
	}
}
