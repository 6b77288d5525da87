package workload

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/anywriter/anywriter/sqltest/check"
	"github.com/anywriter/anywriter/sqltest/history"
)

// BankConfig says what kind of bank it is.
type BankConfig struct {
	Config
	// Accounts is how many there are, at least 2; 0 means 20. Fewer make more
	// conflicts.
	Accounts int
	// Initial is each account's balance at the start; 0 means 1000.
	Initial int64
	// Eventual leaves out the check for stale reads.
	Eventual bool
}

// Bank moves money between accounts and writes each transfer into a ledger in
// the same transaction, while others read the sum of all balances and the
// length of the ledger.
type Bank struct {
	*engine
	rules            check.BankRules
	accounts, ledger string // table names
}

// maxTransfer bounds the amount of one transfer.
const maxTransfer = 100

// NewBank makes a bank; it touches nothing yet.
func NewBank(cfg BankConfig) (*Bank, error) {
	e, err := newEngine(cfg.Config, "bank")
	if err != nil {
		return nil, err
	}
	rules := check.BankRules{Accounts: cfg.Accounts, Initial: cfg.Initial, Eventual: cfg.Eventual}
	if rules.Accounts == 0 {
		rules.Accounts = 20
	}
	if rules.Initial == 0 {
		rules.Initial = 1000
	}
	if rules.Accounts < 2 || rules.Initial < 0 {
		return nil, fmt.Errorf("workload: a bank of %d accounts with %d each; want at least 2 accounts and no debts", rules.Accounts, rules.Initial)
	}
	return &Bank{engine: e, rules: rules, accounts: e.cfg.Table + "_accounts", ledger: e.cfg.Table + "_ledger"}, nil
}

// Setup makes the tables anew and opens the accounts.
func (b *Bank) Setup(ctx context.Context) error {
	err := execAll(ctx, b.cfg.Control,
		"drop table if exists "+b.accounts,
		"drop table if exists "+b.ledger,
		"create table "+b.accounts+" (id int primary key, balance bigint not null)",
		"create table "+b.ledger+" (id text primary key, src int not null, dst int not null, amount bigint not null)",
	)
	if err != nil {
		return err
	}
	_, err = b.cfg.Control.ExecContext(ctx,
		"insert into "+b.accounts+" (id, balance) select g, $2::bigint from generate_series(1, $1::int) g", b.rules.Accounts, b.rules.Initial)
	return err
}

// Teardown drops the tables.
func (b *Bank) Teardown(ctx context.Context) error {
	return execAll(ctx, b.cfg.Control, "drop table if exists "+b.accounts, "drop table if exists "+b.ledger)
}

// Run lets the clients work and returns when all have ended; faults are no
// error, they are in the history. It may be called once.
func (b *Bank) Run(ctx context.Context) error { return b.run(ctx, b.next) }

// Final reads the tables, both at one moment: a transfer whose outcome is
// unknown may still be committed between two reads.
func (b *Bank) Final(ctx context.Context) (check.BankFinal, error) {
	final := check.BankFinal{Balances: map[int]int64{}}
	tx, err := b.cfg.Control.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return final, fmt.Errorf("workload: read the bank: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	err = readAll(ctx, tx, "select id, balance from "+b.accounts, func(rows *sql.Rows) error {
		var id int
		var balance int64
		err := rows.Scan(&id, &balance)
		final.Balances[id] = balance
		return err
	})
	if err != nil {
		return final, err
	}
	err = readAll(ctx, tx, "select id, src, dst, amount from "+b.ledger, func(rows *sql.Rows) error {
		var entry check.Entry
		err := rows.Scan(&entry.ID, &entry.From, &entry.To, &entry.Amount)
		final.Ledger = append(final.Ledger, entry)
		return err
	})
	return final, err
}

// Check reads the tables and gives the verdict on the run. The error is one of
// reading; the verdict's own Err tells of broken promises.
func (b *Bank) Check(ctx context.Context) (*check.Verdict, error) {
	final, err := b.Final(ctx)
	if err != nil {
		return nil, err
	}
	return check.Bank(b.rules, b.History(), final), nil
}

// Verify is Check as one error, which ends with the replay command.
func (b *Bank) Verify(ctx context.Context) error { return verify(ctx, b.cfg, b.Check) }

func verify(ctx context.Context, cfg Config, check func(context.Context) (*check.Verdict, error)) error {
	verdict, err := check(ctx)
	if err != nil {
		return err
	}
	return verdict.Err(cfg.Replay)
}

func (b *Bank) next(c *client) (history.Op, func(context.Context, *history.Op) error) {
	if c.rng.Float64() < b.cfg.ReadShare {
		if c.rng.IntN(2) == 0 {
			return history.Op{Kind: history.Total}, func(ctx context.Context, op *history.Op) error {
				return b.readOne(ctx, op, "select sum(balance) from "+b.accounts)
			}
		}
		return history.Op{Kind: history.Count}, func(ctx context.Context, op *history.Op) error {
			return b.readOne(ctx, op, "select count(*) from "+b.ledger)
		}
	}
	from := 1 + c.rng.IntN(b.rules.Accounts)
	to := 1 + c.rng.IntN(b.rules.Accounts-1)
	if to >= from {
		to++
	}
	want := 1 + c.rng.Int64N(maxTransfer)
	op := history.Op{Kind: history.Transfer, ID: c.id(), Key: from, To: to}
	return op, func(ctx context.Context, op *history.Op) error {
		return b.transact(ctx, op, func(ctx context.Context, tx *sql.Tx) error {
			return b.transfer(ctx, tx, op, want)
		})
	}
}

// transfer moves up to want, as much as there is. In READ COMMITTED the rows
// are locked in the order of their ids, so transfers don't deadlock.
func (b *Bank) transfer(ctx context.Context, tx *sql.Tx, op *history.Op, want int64) error {
	query := "select balance from " + b.accounts + " where id = $1"
	if b.cfg.Isolation == sql.LevelDefault || b.cfg.Isolation == sql.LevelReadCommitted {
		query += " for update"
	}
	for _, id := range []int{min(op.Key, op.To), max(op.Key, op.To)} {
		var balance int64
		if err := tx.QueryRowContext(ctx, query, id).Scan(&balance); err != nil {
			return err
		}
		if id == op.Key {
			op.Amount = min(want, balance)
		}
	}
	update := "update " + b.accounts + " set balance = balance + $1 where id = $2"
	if _, err := tx.ExecContext(ctx, update, -op.Amount, op.Key); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, update, op.Amount, op.To); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "insert into "+b.ledger+" (id, src, dst, amount) values ($1, $2, $3, $4)", op.ID, op.Key, op.To, op.Amount)
	return err
}
