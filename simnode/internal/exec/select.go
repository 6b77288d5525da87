package exec

import (
	"context"
	"strconv"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/plan"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// selectCommand is a compiled query.
type selectCommand struct {
	source  source
	targets []eval
	visible int // how many of targets the client sees
	aggs    []aggregate
	grouped bool
	sort    []sortKey
	types   []types.OID // of targets, for comparing sort keys
	limit   eval
	offset  eval
	lock    *mvcc.LockOptions
	scan    *scan // the source, if it is a table
}

type aggregate struct {
	fn  *builtin.Aggregate
	arg eval // nil for count(*)
}

// source produces the rows that meet the condition. f.row is the row during each
// call of yield; key is "" if the row is not a table's.
type source interface {
	rows(ctx context.Context, tx *mvcc.Txn, f *frame, yield func(message.Key, types.Row) (bool, error)) error
}

func compileSelect(q *analyze.Select) *selectCommand {
	c := &selectCommand{
		targets: compileAll(q.Targets),
		visible: len(q.Columns),
		grouped: q.Grouped,
		limit:   compileOptional(q.Limit),
		offset:  compileOptional(q.Offset),
		lock:    lockOptions(q.Lock),
	}
	for _, a := range q.Aggregates {
		c.aggs = append(c.aggs, aggregate{fn: a.Agg, arg: compileOptional(a.Arg)})
	}
	for _, t := range q.Targets {
		c.types = append(c.types, t.Type())
	}
	ordered := false
	if q.From.Table != nil && !q.From.Table.System() {
		path := plan.Choose(q.From.Table, q.Where, columnOrder(q), q.Limit != nil)
		c.scan = compileScan(q.From.Table, path, q.Where)
		c.source, ordered = c.scan, path.Ordered
	} else {
		c.source = compileSource(q)
	}
	if !ordered && !q.Grouped {
		for _, k := range q.Sort {
			c.sort = append(c.sort, sortKey{k.Target, k.Desc, k.NullsFirst})
		}
	}
	return c
}

// columnOrder gives the wanted order if it is one of plain columns.
func columnOrder(q *analyze.Select) []plan.Order {
	var out []plan.Order
	for _, k := range q.Sort {
		c, ok := q.Targets[k.Target].(*analyze.Column)
		if !ok {
			return nil
		}
		out = append(out, plan.Order{Column: c.Index, Desc: k.Desc, NullsFirst: k.NullsFirst})
	}
	return out
}

func lockOptions(w ast.LockWait) *mvcc.LockOptions {
	switch w {
	case ast.WaitBlock:
		return &mvcc.LockOptions{Mode: mvcc.ForUpdate, Wait: mvcc.Block}
	case ast.WaitNoWait:
		return &mvcc.LockOptions{Mode: mvcc.ForUpdate, Wait: mvcc.NoWait}
	case ast.WaitSkip:
		return &mvcc.LockOptions{Mode: mvcc.ForUpdate, Wait: mvcc.SkipLocked}
	default:
		return nil
	}
}

func (c *selectCommand) run(r *run) (string, error) {
	n := 0
	err := c.query(r, func(row types.Row) error {
		n++
		return r.emit(row)
	})
	return "SELECT " + strconv.Itoa(n), err
}

// query produces the rows of the result.
func (c *selectCommand) query(r *run, emit func(types.Row) error) error {
	offset, err := count(c.offset, &r.frame, "2201X", "OFFSET")
	if err != nil {
		return err
	}
	limit, err := count(c.limit, &r.frame, "2201W", "LIMIT")
	if err != nil {
		return err
	}
	w := &window{skip: max(offset, 0), left: limit, emit: emit}
	switch {
	case c.grouped:
		return c.aggregate(r, w)
	case c.sort != nil:
		return c.sorted(r, w)
	}
	if w.left == 0 {
		return nil
	}
	return c.source.rows(r.ctx, r.tx, &r.frame, func(key message.Key, row types.Row) (bool, error) {
		ok, err := c.take(r, key, row)
		if err != nil || !ok {
			return true, err
		}
		out, err := evalRow(c.targets, &r.frame)
		if err != nil {
			return false, err
		}
		return w.put(out[:c.visible:c.visible])
	})
}

// take locks the row if the query is FOR UPDATE, and leaves the state to show in
// r.row. It reports false for a row that is no longer part of the result.
func (c *selectCommand) take(r *run, key message.Key, row types.Row) (bool, error) {
	if c.lock == nil || c.scan == nil {
		return true, nil
	}
	_, ok, err := r.lockRow(c.scan, key, row, *c.lock)
	return ok, err
}

// aggregate runs over the whole input and produces one row.
func (c *selectCommand) aggregate(r *run, w *window) error {
	states := make([]builtin.Accumulator, len(c.aggs))
	for i, a := range c.aggs {
		states[i] = a.fn.New()
	}
	err := c.source.rows(r.ctx, r.tx, &r.frame, func(message.Key, types.Row) (bool, error) {
		for i, a := range c.aggs {
			var d types.Datum
			if a.arg != nil {
				var err error
				if d, err = a.arg(&r.frame); err != nil {
					return false, err
				}
			}
			if err := states[i].Add(d); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	r.aggs = make([]types.Datum, len(states))
	for i, s := range states {
		if r.aggs[i], err = s.Result(); err != nil {
			return err
		}
	}
	r.row = nil
	out, err := evalRow(c.targets, &r.frame)
	if err != nil {
		return err
	}
	_, err = w.put(out[:c.visible:c.visible])
	return err
}

// window applies OFFSET and LIMIT.
type window struct {
	skip int64
	left int64 // -1 means no limit
	emit func(types.Row) error
}

// put passes a row on, and reports whether more are wanted.
func (w *window) put(row types.Row) (more bool, err error) {
	if w.left == 0 {
		return false, nil
	}
	if w.skip > 0 {
		w.skip--
		return true, nil
	}
	if err := w.emit(row); err != nil {
		return false, err
	}
	if w.left > 0 {
		w.left--
	}
	return w.left != 0, nil
}
