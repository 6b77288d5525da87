package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/driver"
)

// The tables that cuts write to. Rows have no key: one that is written twice is
// to be seen.
var cutSchema = []string{
	"drop table if exists cuts", "drop table if exists cut_counters",
	"create table cuts (id bigint not null, part bigint not null)",
	"create table cut_counters (id bigint primary key, n bigint not null)",
}

// cutWork is the work of one cut: the rows (id, 0), (id, 1) … and one for each
// step of a counter.
type cutWork struct {
	*cutPlan
	id, slot int
}

// errBeforeCommit wraps an error that came before COMMIT was asked for.
type errBeforeCommit struct{ error }

func (e errBeforeCommit) Unwrap() error { return e.error }

// statements are the texts, with their arguments if they have any.
func (w cutWork) statements(args bool) (texts []string, values [][]any) {
	for part, letter := range w.writes {
		text, value := "insert into cuts values ($1, $2)", []any{w.id, part}
		if letter == 'u' {
			text, value = "update cut_counters set n = n + 1 where id = $1", []any{w.slot}
		}
		if w.kind == cutFailing {
			text = "insert into cuts values ($1, $2 / 0)"
		}
		if w.kind == cutReturning {
			text += " returning part"
		}
		if !args {
			text = strings.NewReplacer("$1", fmt.Sprint(value[0]), "$2", fmt.Sprint(part)).Replace(text)
			value = nil
		}
		texts, values = append(texts, text), append(values, value)
	}
	return texts, values
}

// run does the work and returns what the caller is told about it.
func (w cutWork) run(ctx context.Context, db *sql.DB) error {
	texts, values := w.statements(w.args && w.kind != cutSeveral)
	switch w.kind {
	case cutExec, cutFailing:
		_, err := db.ExecContext(ctx, texts[0], values[0]...)
		return err
	case cutReturning:
		var part int
		return db.QueryRowContext(ctx, texts[0], values[0]...).Scan(&part)
	case cutPrepared:
		return w.prepared(ctx, db, texts[0], values[0])
	case cutOnConn:
		return w.onConn(ctx, db, texts[0], values[0])
	case cutSeveral:
		_, err := db.ExecContext(ctx, strings.Join(texts, "; "))
		return err
	case cutCopy:
		return w.copy(ctx, db)
	case cutRunTx, cutRunRide:
		return driver.RunTx(ctx, db, &driver.TxOptions{MaxAttempts: 4}, func(ctx context.Context, tx *sql.Tx) error {
			return w.within(ctx, tx, texts, values)
		})
	default:
		return w.transaction(ctx, db, texts, values)
	}
}

func (w cutWork) prepared(ctx context.Context, db *sql.DB, text string, values []any) error {
	stmt, err := db.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	_, err = stmt.ExecContext(ctx, values...)
	return err
}

func (w cutWork) onConn(ctx context.Context, db *sql.DB, text string, values []any) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var one int
	if err := conn.QueryRowContext(ctx, "select 1").Scan(&one); err != nil {
		return errBeforeCommit{err}
	}
	_, err = conn.ExecContext(ctx, text, values...)
	return err
}

func (w cutWork) within(ctx context.Context, tx *sql.Tx, texts []string, values [][]any) error {
	for i, text := range texts {
		use := ctx
		if (w.kind == cutRideAlong || w.kind == cutRunRide) && i == len(texts)-1 {
			use = driver.WithCommit(ctx)
		}
		if _, err := tx.ExecContext(use, text, values[i]...); err != nil {
			if use != ctx {
				return err // COMMIT was on its way too
			}
			return errBeforeCommit{err}
		}
	}
	return nil
}

// errRolledBack is what a transaction that was rolled back on purpose returns.
var errRolledBack = errors.New("rolled back as planned")

func (w cutWork) transaction(ctx context.Context, db *sql.DB, texts []string, values [][]any) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return errBeforeCommit{err}
	}
	if err := w.within(ctx, tx, texts, values); err != nil {
		_ = tx.Rollback() // the first error counts
		return err
	}
	if w.kind == cutRolledBack {
		_ = tx.Rollback() // a failure of it changes nothing
		return errRolledBack
	}
	return tx.Commit()
}

// copy writes by COPY, which is pgx's own: its errors have no outcome.
func (w cutWork) copy(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(raw any) error {
		pc, err := raw.(driver.PgxConn).PgxConn(ctx)
		if err != nil {
			return err
		}
		var rows [][]any
		for part := range w.writes {
			rows = append(rows, []any{int64(w.id), int64(part)})
		}
		_, err = pc.CopyFrom(ctx, pgx.Identifier{"cuts"}, []string{"id", "part"}, pgx.CopyFromRows(rows))
		return err
	})
}
