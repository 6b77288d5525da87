package exec

import (
	"context"
	"iter"
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/plan"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// checkEvery is how many rows a loop handles between looks at its context: a look
// costs some 10 ns, a cancel may take the time of that many rows.
const checkEvery = 64

// scan is a compiled path to the rows of a table, with the condition that every
// row must meet.
type scan struct {
	table   *catalog.Table
	index   *catalog.Index // nil: the whole table
	equal   [][]eval
	low     eval
	high    eval
	lowIn   bool
	highIn  bool
	reverse bool
	where   eval
}

func compileScan(t *catalog.Table, p plan.Path, where analyze.Expr) *scan {
	s := &scan{table: t, index: p.Index, reverse: p.Reverse, where: compileOptional(where)}
	for _, values := range p.Equal {
		s.equal = append(s.equal, compileAll(values))
	}
	if p.Low != nil {
		s.low, s.lowIn = compile(p.Low.Value), p.Low.Inclusive
	}
	if p.High != nil {
		s.high, s.highIn = compile(p.High.Value), p.High.Inclusive
	}
	return s
}

// rows calls yield for each row that meets the condition, until it returns false
// or an error. f.row is the row during the call.
func (s *scan) rows(ctx context.Context, tx *mvcc.Txn, f *frame, yield func(message.Key, types.Row) (bool, error)) error {
	if s.index == nil {
		_, err := s.walk(ctx, tx.Scan(s.table, s.reverse), f, yield)
		return err
	}
	if s.points() {
		return s.lookUp(ctx, tx, f, yield)
	}
	ranges, err := s.ranges(f)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		more, err := s.walk(ctx, tx.ScanIndex(s.table, s.index, r), f, yield)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// points reports whether the path names whole primary keys.
func (s *scan) points() bool { return s.index.Primary && len(s.equal) == len(s.index.Columns) }

// lookUp gets rows by their primary keys.
func (s *scan) lookUp(
	ctx context.Context, tx *mvcc.Txn, f *frame, yield func(message.Key, types.Row) (bool, error),
) error {
	var one [1][]byte
	var buf [32]byte
	one[0] = index.AppendHeader(buf[:0], s.table.OID, s.index.OID)
	keys, err := s.prefixes(one[:], f)
	if err != nil {
		return err
	}
	if s.reverse {
		slices.Reverse(keys)
	}
	for n, k := range keys {
		if n%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		key := message.Key(k)
		row, ok := tx.Get(s.table, key)
		if !ok {
			continue
		}
		if more, err := s.offer(key, row, f, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

// offer yields the row if it meets the condition, and reports whether to go on.
func (s *scan) offer(key message.Key, row types.Row, f *frame, yield func(message.Key, types.Row) (bool, error)) (bool, error) {
	f.row = row
	ok, err := test(s.where, f)
	if err != nil || !ok {
		return err == nil, err
	}
	return yield(key, row)
}

func (s *scan) walk(
	ctx context.Context, seq iter.Seq2[message.Key, types.Row], f *frame, yield func(message.Key, types.Row) (bool, error),
) (more bool, err error) {
	n := 0
	for key, row := range seq {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if more, err := s.offer(key, row, f, yield); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// ranges gives the parts of the index to read, in order and without overlap.
func (s *scan) ranges(f *frame) ([]index.Range, error) {
	prefixes, err := s.prefixes([][]byte{nil}, f)
	if err != nil {
		return nil, err
	}
	out := make([]index.Range, 0, len(prefixes))
	for _, p := range prefixes {
		r, ok, err := s.bounded(p, f)
		if err != nil {
			return nil, err
		}
		if ok {
			r.Reverse = s.reverse
			out = append(out, r)
		}
	}
	if s.reverse {
		slices.Reverse(out)
	}
	return out, nil
}

// prefixes appends the values that the leading columns must have, in every
// combination, to what prefixes hold already. The result is sorted and has no
// duplicates.
func (s *scan) prefixes(prefixes [][]byte, f *frame) ([][]byte, error) {
	for i, values := range s.equal {
		t := s.table.Columns[s.index.Columns[i]].Type
		if len(prefixes) == 1 && len(values) == 1 {
			ok, err := extendOne(&prefixes[0], t, values[0], f)
			if err != nil || !ok {
				return nil, err
			}
			continue
		}
		var err error
		if prefixes, err = s.extend(prefixes, t, values, f); err != nil {
			return nil, err
		}
	}
	if len(prefixes) > 1 {
		slices.SortFunc(prefixes, slices.Compare[[]byte])
		prefixes = slices.CompactFunc(prefixes, slices.Equal[[]byte])
	}
	return prefixes, nil
}

// extendOne appends one value to one prefix, the usual case. ok is false if the
// value equals nothing.
func extendOne(prefix *[]byte, t types.OID, value eval, f *frame) (ok bool, err error) {
	d, err := value(f)
	if err != nil {
		return false, err
	}
	d, side := narrow(d, t)
	if d == nil || side != 0 {
		return false, nil
	}
	*prefix = index.AppendDatum(*prefix, t, d)
	return true, nil
}

// extend appends each of the values to each of the prefixes.
func (s *scan) extend(prefixes [][]byte, t types.OID, values []eval, f *frame) ([][]byte, error) {
	out := make([][]byte, 0, len(prefixes)*len(values))
	for _, v := range values {
		d, err := v(f)
		if err != nil {
			return nil, err
		}
		d, side := narrow(d, t)
		if d == nil || side != 0 {
			continue // equals nothing
		}
		for _, p := range prefixes {
			out = append(out, index.AppendDatum(slices.Clip(p), t, d))
		}
	}
	return out, nil
}

// bounded narrows the tuples that begin with prefix by the bounds of the next
// column. ok is false if nothing can be in it.
func (s *scan) bounded(prefix []byte, f *frame) (r index.Range, ok bool, err error) {
	r = index.Prefix(prefix)
	if s.low == nil && s.high == nil {
		return r, true, nil
	}
	t := s.table.Columns[s.index.Columns[len(s.equal)]].Type
	// NULLs come last and meet no comparison.
	r.To = index.AppendNulls(slices.Clip(prefix))
	if s.low != nil {
		d, err := s.low(f)
		if err != nil {
			return r, false, err
		}
		d, side := narrow(d, t)
		if d == nil || side > 0 {
			return r, false, nil
		}
		if side == 0 {
			r.From = boundKey(prefix, t, d, !s.lowIn)
		}
	}
	if s.high != nil {
		d, err := s.high(f)
		if err != nil {
			return r, false, err
		}
		d, side := narrow(d, t)
		if d == nil || side < 0 {
			return r, false, nil
		}
		if side == 0 {
			r.To = boundKey(prefix, t, d, s.highIn)
		}
	}
	return r, slices.Compare(r.From, r.To) < 0, nil
}

// boundKey is the place before all tuples with the value, or after them.
func boundKey(prefix []byte, t types.OID, d types.Datum, after bool) []byte {
	key := index.AppendDatum(slices.Clip(prefix), t, d)
	if after {
		return index.Successor(key)
	}
	return key
}

// narrow gives an integer the width of the column. side is -1 if it lies below
// everything that the column can hold, 1 if above. Other values stay as they are.
func narrow(d types.Datum, t types.OID) (out types.Datum, side int) {
	var n int64
	switch v := d.(type) {
	case int16:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	default:
		return d, 0
	}
	low, high := intRange(t)
	switch {
	case n < low:
		return d, -1
	case n > high:
		return d, 1
	}
	switch {
	case sameWidth(d, t):
		return d, 0
	case t == types.Int2:
		return int16(n), 0
	case t == types.Int4:
		return int32(n), 0
	default:
		return n, 0
	}
}

// sameWidth reports whether an integer is one of type t already.
func sameWidth(d types.Datum, t types.OID) bool {
	switch d.(type) {
	case int16:
		return t == types.Int2
	case int32:
		return t == types.Int4
	default:
		return t == types.Int8
	}
}

func intRange(t types.OID) (low, high int64) {
	switch t {
	case types.Int2:
		return -1 << 15, 1<<15 - 1
	case types.Int4:
		return -1 << 31, 1<<31 - 1
	default:
		return -1 << 63, 1<<63 - 1
	}
}
