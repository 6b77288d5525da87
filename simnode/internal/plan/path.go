package plan

import (
	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
)

// maxPoints bounds the values of IN lists that are looked up one by one; above it
// a scan is no slower.
const maxPoints = 1000

// Path says where to look for rows. The zero value is the whole table in the
// order of its row keys.
type Path struct {
	// Index is the index to read, nil for the table itself.
	Index *catalog.Index
	// Equal has, for each leading column of Index, the values to look up; a row
	// must have one of them. Several columns with several values are combined.
	Equal [][]analyze.Expr
	// Low and High bound the column after those of Equal; nil means open.
	Low, High *Bound
	// Reverse reads from the end.
	Reverse bool
	// Ordered is set when rows come in the order that was asked for.
	Ordered bool
}

// Bound is one end of a range.
type Bound struct {
	Value     analyze.Expr
	Inclusive bool
}

// Order is one key of a wanted order: a column of the table.
type Order struct {
	Column     int
	Desc       bool
	NullsFirst bool
}

// Choose picks the path for the rows of t that satisfy where (nil: all). order is
// what the statement would like, nil for nothing; limited says that it will read
// only the first rows, which makes an ordered index worth reading without bounds.
func Choose(t *catalog.Table, where analyze.Expr, order []Order, limited bool) Path {
	conds := conditions(where)
	best := Path{}
	bestScore := 0
	for i := range t.Indexes {
		p, score := match(&t.Indexes[i], conds)
		if score > bestScore {
			best, bestScore = p, score
		}
	}
	if len(order) == 0 {
		return best
	}
	if best.Index != nil {
		best.Reverse, best.Ordered = direction(t, best.Index, len(best.Equal), single(best.Equal), order)
		return best
	}
	return orderedScan(t, best, order, limited)
}

// orderedScan looks for an index whose order is the wanted one.
func orderedScan(t *catalog.Table, p Path, order []Order, limited bool) Path {
	if pk := t.Primary(); pk != nil {
		if p.Reverse, p.Ordered = direction(t, pk, 0, true, order); p.Ordered {
			return p
		}
	}
	if !limited {
		return p
	}
	for i := range t.Indexes {
		index := &t.Indexes[i]
		if index.Primary {
			continue
		}
		if reverse, ok := direction(t, index, 0, true, order); ok {
			return Path{Index: index, Reverse: reverse, Ordered: true}
		}
	}
	return p
}

// match builds the path of one index and says how good it is; 0 is useless.
func match(index *catalog.Index, conds []condition) (Path, int) {
	p := Path{Index: index}
	score, points := 0, 1
	for _, column := range index.Columns {
		values := equalTo(conds, column)
		if values == nil || points*len(values) > maxPoints {
			p.Low, p.High = bounds(conds, column)
			break
		}
		points *= len(values)
		p.Equal = append(p.Equal, values)
		score += 10
	}
	if p.Low != nil {
		score += 2
	}
	if p.High != nil {
		score += 2
	}
	if len(p.Equal) == len(index.Columns) && index.Unique {
		score = 1000 // one row per key, however many columns it took
	}
	if score > 0 && index.Primary {
		score++ // the rows themselves, without a step from entry to row
	}
	return p, score
}

// single reports whether each column has one value only, so that rows come in the
// order of the rest of the index.
func single(equal [][]analyze.Expr) bool {
	for _, values := range equal {
		if len(values) > 1 {
			return false
		}
	}
	return true
}

// direction reports whether the index, whose first fixed columns are constant,
// yields the wanted order, and from which end.
func direction(t *catalog.Table, index *catalog.Index, fixed int, single bool, order []Order) (reverse, ok bool) {
	if !single {
		return false, false
	}
	constant := make(map[int]bool)
	for _, c := range index.Columns[:fixed] {
		constant[c] = true
	}
	next, decided := fixed, false
	for _, o := range order {
		if constant[o.Column] {
			continue
		}
		if next == len(index.Columns) {
			// One row per key: nothing is left to order.
			return reverse, index.Unique && notNull(t, index)
		}
		if index.Columns[next] != o.Column || !t.Columns[o.Column].NotNull && o.NullsFirst != o.Desc {
			return false, false
		}
		if decided && o.Desc != reverse {
			return false, false
		}
		reverse, decided = o.Desc, true
		constant[o.Column] = true
		next++
	}
	return reverse, true
}

func notNull(t *catalog.Table, index *catalog.Index) bool {
	for _, c := range index.Columns {
		if !t.Columns[c].NotNull {
			return false
		}
	}
	return true
}
