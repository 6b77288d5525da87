package builtin

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/types"
)

// comparisons are the six operators with the outcomes of Compare that satisfy
// them.
var comparisons = []struct {
	name string
	ok   func(order int) bool
}{
	{"=", func(o int) bool { return o == 0 }},
	{"<>", func(o int) bool { return o != 0 }},
	{"<", func(o int) bool { return o < 0 }},
	{"<=", func(o int) bool { return o <= 0 }},
	{">", func(o int) bool { return o > 0 }},
	{">=", func(o int) bool { return o >= 0 }},
}

func addComparison(r *Registry) {
	same := []types.OID{
		types.Float8, types.Numeric, types.Text, types.Name, types.Bool, types.Bytea,
		types.Timestamptz, types.DateOID, types.UUID, types.OidOID, types.CharOID,
	}
	for _, oid := range same {
		r.comparison(oid, oid, func(_ *Context, a, b types.Datum) int { return types.Compare(a, b, oid) })
	}
	integers := []types.OID{types.Int2, types.Int4, types.Int8}
	for _, left := range integers {
		for _, right := range integers {
			r.comparison(left, right, func(_ *Context, a, b types.Datum) int { return compareInts(toInt64(a), toInt64(b)) })
		}
	}
	text := func(_ *Context, a, b types.Datum) int { return types.Compare(a, b, types.Text) }
	r.comparison(types.Name, types.Text, text)
	r.comparison(types.Text, types.Name, text)
	r.comparison(types.DateOID, types.Timestamptz, func(c *Context, a, b types.Datum) int {
		return types.Compare(midnight(c, a.(types.Date)), b, types.Timestamptz)
	})
	r.comparison(types.Timestamptz, types.DateOID, func(c *Context, a, b types.Datum) int {
		return types.Compare(a, midnight(c, b.(types.Date)), types.Timestamptz)
	})
}

func (r *Registry) comparison(left, right types.OID, compare func(c *Context, a, b types.Datum) int) {
	for _, op := range comparisons {
		r.operator(op.name, left, right, types.Bool, func(c *Context, a, b types.Datum) (types.Datum, error) {
			return op.ok(compare(c, a, b)), nil
		})
	}
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func toInt64(d types.Datum) int64 {
	switch v := d.(type) {
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	default:
		return d.(int64)
	}
}

// midnight is the start of a day in the session's time zone.
func midnight(c *Context, d types.Date) time.Time {
	switch d {
	case types.DateInfinity:
		return types.Infinity()
	case types.DateNegInfinity:
		return types.NegInfinity()
	}
	return time.Date(2000, time.January, 1+int(d), 0, 0, 0, 0, c.location()).UTC()
}
