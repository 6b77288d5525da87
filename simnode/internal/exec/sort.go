package exec

import (
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

type sortKey struct {
	target     int
	desc       bool
	nullsFirst bool
}

// sortRow is a row on its way through a sort: its outputs, hidden sort keys among
// them, and where it came from.
type sortRow struct {
	out types.Row
	key message.Key
	row types.Row
}

// sorted collects, sorts and then locks and emits, as PostgreSQL does: rows that a
// LIMIT cuts off are not locked.
func (c *selectCommand) sorted(r *run, w *window) error {
	if w.left == 0 {
		return nil
	}
	rows, err := c.collect(r, w)
	if err != nil {
		return err
	}
	for _, s := range rows {
		out := s.out
		if c.lock != nil {
			ok, changed, err := c.relock(r, s)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if changed != nil {
				out = changed
			}
		}
		if more, err := w.put(out[:c.visible:c.visible]); err != nil || !more {
			return err
		}
	}
	return nil
}

// relock locks a sorted row; changed holds its outputs anew if it was updated
// meanwhile.
func (c *selectCommand) relock(r *run, s sortRow) (ok bool, changed types.Row, err error) {
	row, ok, err := r.lockRow(c.scan, s.key, s.row, *c.lock)
	if err != nil || !ok || sameRow(row, s.row) {
		return ok, nil, err
	}
	changed, err = evalRow(c.targets, &r.frame)
	return err == nil, changed, err
}

// sameRow reports whether two rows are one and the same in memory.
func sameRow(a, b types.Row) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// collect reads the input into sorted order. With a limit and nothing to lock it
// keeps no more than about twice the rows that can come out.
func (c *selectCommand) collect(r *run, w *window) ([]sortRow, error) {
	keep := int64(-1)
	if w.left >= 0 && c.lock == nil {
		keep = w.skip + w.left
	}
	var rows []sortRow
	err := c.source.rows(r.ctx, r.tx, &r.frame, func(key message.Key, row types.Row) (bool, error) {
		out, err := evalRow(c.targets, &r.frame)
		if err != nil {
			return false, err
		}
		rows = append(rows, sortRow{out, key, row})
		if keep >= 0 && keep < 1<<20 && int64(len(rows)) >= 2*keep+64 {
			c.order(rows)
			rows = rows[:keep]
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	c.order(rows)
	return rows, nil
}

func (c *selectCommand) order(rows []sortRow) {
	slices.SortStableFunc(rows, func(a, b sortRow) int {
		for _, k := range c.sort {
			if n := k.compare(a.out[k.target], b.out[k.target], c.types[k.target]); n != 0 {
				return n
			}
		}
		return 0
	})
}

func (k sortKey) compare(a, b types.Datum, t types.OID) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil || b == nil:
		if (a == nil) == k.nullsFirst {
			return -1
		}
		return 1
	}
	n := types.Compare(a, b, t)
	if k.desc {
		return -n
	}
	return n
}
