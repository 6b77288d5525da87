package exec

import (
	"context"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func compileSource(q *analyze.Select) source {
	where := compileOptional(q.Where)
	switch {
	case q.From.Table != nil:
		return &catalogSource{where: where, table: q.From.Table}
	case q.From.Series != nil:
		s := &seriesSource{where: where, args: compileAll(q.From.Series.Args), fn: q.From.Series.Fn}
		if !s.fn.SetReturning {
			s.once = compile(q.From.Series)
		}
		return s
	case q.From.Values != nil:
		s := &valuesSource{where: where}
		for _, row := range q.From.Values {
			s.values = append(s.values, compileAll(row))
		}
		return s
	default:
		return &valuesSource{where: where, values: [][]eval{{}}}
	}
}

// catalogSource is a system catalog: its rows are made when they are asked for.
type catalogSource struct {
	table *catalog.Table
	where eval
}

func (s *catalogSource) rows(ctx context.Context, tx *mvcc.Txn, f *frame, yield func(message.Key, types.Row) (bool, error)) error {
	database := catalog.System{Reader: tx, Roles: f.c.Roles, Database: f.c.Database}
	for i, row := range database.Rows(s.table) {
		if i%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if more, err := f.offer(row, s.where, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

// offer yields a row that has no key if it passes the condition, and reports
// whether more rows are wanted.
func (f *frame) offer(row types.Row, where eval, yield func(message.Key, types.Row) (bool, error)) (more bool, err error) {
	f.row = row
	ok, err := test(where, f)
	if err != nil || !ok {
		return true, err
	}
	return yield("", row)
}

// valuesSource is VALUES, and with one empty row a query without FROM.
type valuesSource struct {
	values [][]eval
	where  eval
}

func (s *valuesSource) rows(ctx context.Context, _ *mvcc.Txn, f *frame, yield func(message.Key, types.Row) (bool, error)) error {
	for i, es := range s.values {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		row, err := evalRow(es, f)
		if err != nil {
			return err
		}
		if more, err := f.offer(row, s.where, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

// seriesSource is a function in FROM.
type seriesSource struct {
	fn    *builtin.Function
	once  eval // the call itself, for a function that gives one value
	args  []eval
	where eval
}

func (s *seriesSource) rows(ctx context.Context, _ *mvcc.Txn, f *frame, yield func(message.Key, types.Row) (bool, error)) error {
	if s.once != nil {
		d, err := s.once(f)
		if err != nil {
			return err
		}
		_, err = s.row(d, f, yield)
		return err
	}
	args, err := evalRow(s.args, f)
	if err != nil {
		return err
	}
	for _, a := range args {
		if a == nil && s.fn.Strict {
			return nil
		}
	}
	series, err := s.fn.Series(f.c, args)
	if err != nil {
		return err
	}
	n := 0
	for d := range series {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if more, err := s.row(d, f, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

func (s *seriesSource) row(d types.Datum, f *frame, yield func(message.Key, types.Row) (bool, error)) (bool, error) {
	f.row = types.Row{d}
	ok, err := test(s.where, f)
	if err != nil || !ok {
		return true, err
	}
	return yield("", f.row)
}
