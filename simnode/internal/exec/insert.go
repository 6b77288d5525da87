package exec

import (
	"errors"
	"strconv"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// insertCommand is a compiled INSERT.
type insertCommand struct {
	table    *catalog.Table
	rows     [][]eval
	query    *selectCommand
	project  []eval
	conflict *conflict
	list     []eval
}

// conflict is a compiled ON CONFLICT.
type conflict struct {
	arbiters []uint32 // OIDs; nil means any unique index
	update   bool
	set      []assignment
	where    eval
}

func compileInsert(n *analyze.Insert) *insertCommand {
	c := &insertCommand{table: n.Table, list: compileReturning(n.Returning)}
	for _, row := range n.Rows {
		c.rows = append(c.rows, compileAll(row))
	}
	if n.Query != nil {
		c.query, c.project = compileSelect(n.Query), compileAll(n.Project)
	}
	if n.Conflict == nil {
		return c
	}
	c.conflict = &conflict{
		update: n.Conflict.Update,
		set:    compileSet(n.Conflict.Set),
		where:  compileOptional(n.Conflict.Where),
	}
	for _, i := range n.Conflict.Arbiters {
		c.conflict.arbiters = append(c.conflict.arbiters, n.Table.Indexes[i].OID)
	}
	return c
}

func (c *insertCommand) run(r *run) (string, error) {
	n := 0
	put := func(row types.Row) error {
		done, err := c.one(r, row)
		if err == nil && done {
			n++
		}
		return err
	}
	var err error
	if c.query != nil {
		err = c.fromQuery(r, put)
	} else {
		err = c.fromRows(r, put)
	}
	return "INSERT 0 " + strconv.Itoa(n), err
}

func (c *insertCommand) fromRows(r *run, put func(types.Row) error) error {
	for _, es := range c.rows {
		row, err := evalRow(es, &r.frame)
		if err != nil {
			return err
		}
		if err := put(row); err != nil {
			return err
		}
	}
	return nil
}

// fromQuery reads the whole query first: it must not see the rows that it adds.
func (c *insertCommand) fromQuery(r *run, put func(types.Row) error) error {
	var rows []types.Row
	err := c.query.query(r, func(row types.Row) error {
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return err
	}
	for _, in := range rows {
		r.row = in
		row, err := evalRow(c.project, &r.frame)
		if err != nil {
			return err
		}
		if err := put(row); err != nil {
			return err
		}
	}
	return nil
}

// one inserts a row, or does what ON CONFLICT says. It reports whether a row was
// inserted or updated.
func (c *insertCommand) one(r *run, row types.Row) (bool, error) {
	if err := checkNotNull(c.table, row, r); err != nil {
		return false, err
	}
	for {
		var arbiters []uint32
		if c.conflict != nil {
			arbiters = c.conflict.arbiters
		}
		_, err := r.tx.Insert(r.ctx, c.table, row, arbiters...)
		if err == nil {
			return true, r.returning(c.list, row)
		}
		v := (*mvcc.UniqueViolation)(nil)
		if !errors.As(err, &v) || !c.conflict.covers(v.Index.OID) {
			return false, r.violation(err)
		}
		done, again, err := c.resolve(r, v, row)
		if err != nil || !again {
			return done, err
		}
	}
}

// covers reports whether ON CONFLICT speaks of the index.
func (c *conflict) covers(index uint32) bool {
	if c == nil {
		return false
	}
	for _, oid := range c.arbiters {
		if oid == index {
			return true
		}
	}
	return c.arbiters == nil
}

// resolve does nothing or updates the row that is in the way. again means that it
// has gone, and the insertion is to be tried once more.
func (c *insertCommand) resolve(r *run, v *mvcc.UniqueViolation, row types.Row) (done, again bool, err error) {
	if !c.conflict.update {
		if r.tx.Isolation() == mvcc.RepeatableRead && !v.Visible && !v.SameCommand {
			return false, false, r.tx.Conflict(v.Key)
		}
		return false, false, nil
	}
	if v.SameCommand {
		return false, false, errTwice()
	}
	locked, err := r.tx.LockRow(r.ctx, c.table, v.Key, mvcc.LockOptions{Mode: mvcc.ForUpdate, Wait: mvcc.Block})
	if err != nil {
		return false, false, err
	}
	existing := locked.Row
	switch locked.State {
	case mvcc.Gone:
		return false, true, nil
	case mvcc.SelfModified:
		return false, false, errTwice()
	case mvcc.Unchanged:
		existing = v.Row
		if locked.Row != nil {
			existing = locked.Row
		}
	}
	r.row, r.excluded = existing, row
	ok, err := test(c.conflict.where, &r.frame)
	if err != nil || !ok {
		return false, false, err
	}
	next, err := apply(c.conflict.set, &r.frame)
	if err != nil {
		return false, false, err
	}
	if err := r.update(c.table, v.Key, next); err != nil {
		return false, false, err
	}
	return true, false, r.returning(c.list, next)
}

func errTwice() error {
	return sqlerr.New("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time").
		WithHint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
}
