package exec

import (
	"errors"
	"strconv"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/plan"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// lockRow locks a row that a scan found and looks at it again if it has changed.
// It returns the state to work on, which is also in r.row, and whether the row
// still is one that the statement means.
func (r *run) lockRow(s *scan, key message.Key, row types.Row, o mvcc.LockOptions) (types.Row, bool, error) {
	locked, err := r.tx.LockRow(r.ctx, s.table, key, o)
	if err != nil {
		return nil, false, err
	}
	switch locked.State {
	case mvcc.Unchanged:
		r.row = row
		return row, true, nil
	case mvcc.Changed:
		r.row = locked.Row
		ok, err := test(s.where, &r.frame)
		return locked.Row, ok, err
	default: // Gone, SelfModified, Skipped
		return nil, false, nil
	}
}

// target is a row that UPDATE or DELETE found.
type target struct {
	key message.Key
	row types.Row
}

// targets finds all rows first and changes them then, so that the statement never
// walks over its own writes.
func (r *run) targets(s *scan) ([]target, error) {
	var out []target
	err := s.rows(r.ctx, r.tx, &r.frame, func(key message.Key, row types.Row) (bool, error) {
		out = append(out, target{key, row})
		return true, nil
	})
	return out, err
}

// assignment sets one column.
type assignment struct {
	column int
	value  eval
}

func compileSet(set []analyze.SetColumn) []assignment {
	var out []assignment
	for _, s := range set {
		out = append(out, assignment{s.Column, compile(s.Value)})
	}
	return out
}

// apply gives the row with the assignments made. The old row is in f.row.
func apply(set []assignment, f *frame) (types.Row, error) {
	next := append(types.Row(nil), f.row...)
	for _, a := range set {
		d, err := a.value(f)
		if err != nil {
			return nil, err
		}
		next[a.column] = d
	}
	return next, nil
}

// checkNotNull is 23502 if a column that must not be NULL is.
func checkNotNull(t *catalog.Table, row types.Row, r *run) error {
	for i := range t.Columns {
		if row[i] != nil || !t.Columns[i].NotNull {
			continue
		}
		err := sqlerr.New("23502", "null value in column \"%s\" of relation \"%s\" violates not-null constraint",
			t.Columns[i].Name, t.Name).
			WithDetail("Failing row contains (%s).", rowText(t, row, r))
		err.Schema, err.Table, err.Column = t.Schema, t.Name, t.Columns[i].Name
		return err
	}
	return nil
}

// maxFieldChars is how much of a value PostgreSQL shows in a failing row.
const maxFieldChars = 64

func rowText(t *catalog.Table, row types.Row, r *run) string {
	parts := make([]string, len(row))
	for i, d := range row {
		if d == nil {
			parts[i] = "null"
			continue
		}
		parts[i] = types.FormatText(t.Columns[i].Type, d, r.env.Location)
		if chars := []rune(parts[i]); len(parts[i]) > maxFieldChars && len(chars) > maxFieldChars {
			parts[i] = string(chars[:maxFieldChars]) + "..."
		}
	}
	return strings.Join(parts, ", ")
}

// violation turns a unique violation into the client's error.
func (r *run) violation(err error) error {
	v := (*mvcc.UniqueViolation)(nil)
	if errors.As(err, &v) {
		return v.SQL(r.env.Location)
	}
	return err
}

// returning emits the RETURNING list over row.
func (r *run) returning(list []eval, row types.Row) error {
	if list == nil {
		return nil
	}
	r.row = row
	out, err := evalRow(list, &r.frame)
	if err != nil {
		return err
	}
	return r.emit(out)
}

func compileReturning(list []analyze.Expr) []eval {
	if list == nil {
		return nil
	}
	return compileAll(list)
}

// updateCommand is a compiled UPDATE.
type updateCommand struct {
	scan *scan
	set  []assignment
	list []eval
	mode mvcc.LockOptions
}

func compileUpdate(u *analyze.Update) *updateCommand {
	return &updateCommand{
		scan: compileScan(u.Table, plan.Choose(u.Table, u.Where, nil, false), u.Where),
		set:  compileSet(u.Set),
		list: compileReturning(u.Returning),
		mode: mvcc.LockOptions{Mode: mvcc.ForUpdate, Wait: mvcc.Block},
	}
}

func (c *updateCommand) run(r *run) (string, error) {
	found, err := r.targets(c.scan)
	if err != nil {
		return "", err
	}
	n := 0
	for _, t := range found {
		done, err := c.one(r, t)
		if err != nil {
			return "", err
		}
		if done {
			n++
		}
	}
	return "UPDATE " + strconv.Itoa(n), nil
}

func (c *updateCommand) one(r *run, t target) (bool, error) {
	_, ok, err := r.lockRow(c.scan, t.key, t.row, c.mode)
	if err != nil || !ok {
		return false, err
	}
	next, err := apply(c.set, &r.frame)
	if err != nil {
		return false, err
	}
	if err := r.update(c.scan.table, t.key, next); err != nil {
		return false, err
	}
	return true, r.returning(c.list, next)
}

// update checks and stores a new state of a locked row.
func (r *run) update(t *catalog.Table, key message.Key, next types.Row) error {
	if err := checkNotNull(t, next, r); err != nil {
		return err
	}
	_, err := r.tx.Update(r.ctx, t, key, next)
	return r.violation(err)
}

// deleteCommand is a compiled DELETE.
type deleteCommand struct {
	scan *scan
	list []eval
}

func compileDelete(d *analyze.Delete) *deleteCommand {
	return &deleteCommand{
		scan: compileScan(d.Table, plan.Choose(d.Table, d.Where, nil, false), d.Where),
		list: compileReturning(d.Returning),
	}
}

func (c *deleteCommand) run(r *run) (string, error) {
	found, err := r.targets(c.scan)
	if err != nil {
		return "", err
	}
	n := 0
	for _, t := range found {
		row, ok, err := r.lockRow(c.scan, t.key, t.row, mvcc.LockOptions{Mode: mvcc.ForUpdate, Wait: mvcc.Block})
		if err != nil {
			return "", err
		}
		if !ok {
			continue
		}
		if err := r.tx.Delete(r.ctx, c.scan.table, t.key); err != nil {
			return "", err
		}
		n++
		if err := r.returning(c.list, row); err != nil {
			return "", err
		}
	}
	return "DELETE " + strconv.Itoa(n), nil
}
