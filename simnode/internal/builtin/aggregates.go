package builtin

import (
	"math"

	"github.com/cockroachdb/apd/v3"

	"github.com/anywriter/anywriter/simnode/internal/types"
)

func addAggregates(r *Registry) {
	r.aggregate("count", 0, types.Int8, func() Accumulator { return &count{all: true} })
	r.aggregate("count", types.Any, types.Int8, func() Accumulator { return &count{} })
	for _, oid := range []types.OID{types.Int2, types.Int4} {
		r.aggregate("sum", oid, types.Int8, func() Accumulator { return &sumInts{} })
	}
	r.aggregate("sum", types.Int8, types.Numeric, func() Accumulator { return &sumNumeric{} })
	r.aggregate("sum", types.Numeric, types.Numeric, func() Accumulator { return &sumNumeric{} })
	r.aggregate("sum", types.Float8, types.Float8, func() Accumulator { return &sumFloat{} })
	for _, oid := range []types.OID{types.Int2, types.Int4, types.Int8, types.Numeric} {
		r.aggregate("avg", oid, types.Numeric, func() Accumulator { return &sumNumeric{average: true} })
	}
	r.aggregate("avg", types.Float8, types.Float8, func() Accumulator { return &sumFloat{average: true} })
	for _, oid := range []types.OID{
		types.Int2, types.Int4, types.Int8, types.Float8, types.Numeric, types.Text,
		types.DateOID, types.Timestamptz, types.OidOID,
	} {
		r.aggregate("min", oid, oid, func() Accumulator { return &extreme{oid: oid, sign: -1} })
		r.aggregate("max", oid, oid, func() Accumulator { return &extreme{oid: oid, sign: 1} })
	}
	r.aggregate("bool_and", types.Bool, types.Bool, func() Accumulator { return &logic{stop: false} })
	r.aggregate("every", types.Bool, types.Bool, func() Accumulator { return &logic{stop: false} })
	r.aggregate("bool_or", types.Bool, types.Bool, func() Accumulator { return &logic{stop: true} })
}

type count struct {
	all bool
	n   int64
}

func (a *count) Add(d types.Datum) error {
	if a.all || d != nil {
		a.n++
	}
	return nil
}

func (a *count) Result() (types.Datum, error) { return a.n, nil }

// sumInts is the sum of smallint and integer, which is bigint.
type sumInts struct {
	any bool
	sum int64
}

func (a *sumInts) Add(d types.Datum) error {
	if d == nil {
		return nil
	}
	sum, err := addInts(a.sum, toInt64(d), types.Int8)
	a.sum, a.any = sum, true
	return err
}

func (a *sumInts) Result() (types.Datum, error) {
	if !a.any {
		return nil, nil
	}
	return a.sum, nil
}

// sumNumeric is the exact sum or average of integers and numerics.
type sumNumeric struct {
	average  bool
	n        int64
	sum      apd.Decimal
	nan      bool
	posInf   bool
	negInf   bool
	maxScale int32
}

func (a *sumNumeric) Add(d types.Datum) error {
	var v *apd.Decimal
	switch d := d.(type) {
	case nil:
		return nil
	case *apd.Decimal:
		v = d
	default:
		v = types.DecimalFromInt(toInt64(d))
	}
	a.n++
	switch {
	case isNaN(v):
		a.nan = true
	case v.Form == apd.Infinite && v.Negative:
		a.negInf = true
	case v.Form == apd.Infinite:
		a.posInf = true
	default:
		a.maxScale = max(a.maxScale, types.Scale(v))
		a.sum.Set(plus(&a.sum, v))
	}
	return nil
}

func (a *sumNumeric) Result() (types.Datum, error) {
	switch {
	case a.n == 0:
		return nil, nil
	case a.nan || a.posInf && a.negInf:
		return types.NumericNaN(), nil
	case a.posInf || a.negInf:
		return types.NumericInf(a.negInf), nil
	}
	// The sum shows as many digits as the longest input, also after cancelling.
	sum := types.RoundDecimal(new(apd.Decimal).Set(&a.sum), a.maxScale)
	if a.average {
		return divide(sum, types.DecimalFromInt(a.n))
	}
	return normalized(new(apd.Decimal).Set(sum))
}

type sumFloat struct {
	average bool
	n       int64
	sum     float64
}

func (a *sumFloat) Add(d types.Datum) error {
	if d == nil {
		return nil
	}
	v := d.(float64)
	sum := a.sum + v
	if math.IsInf(sum, 0) && !anyInf(a.sum, v) {
		return overflow()
	}
	a.sum = sum
	a.n++
	return nil
}

func (a *sumFloat) Result() (types.Datum, error) {
	switch {
	case a.n == 0:
		return nil, nil
	case a.average:
		return a.sum / float64(a.n), nil
	default:
		return a.sum, nil
	}
}

// extreme is min (sign -1) and max (sign 1).
type extreme struct {
	oid  types.OID
	sign int
	best types.Datum
}

func (a *extreme) Add(d types.Datum) error {
	if d != nil && (a.best == nil || types.Compare(d, a.best, a.oid)*a.sign > 0) {
		a.best = d
	}
	return nil
}

func (a *extreme) Result() (types.Datum, error) { return a.best, nil }

// logic is bool_and and bool_or: once a value equals stop, that is the result.
type logic struct {
	stop bool
	any  bool
	hit  bool
}

func (a *logic) Add(d types.Datum) error {
	if d != nil {
		a.any = true
		a.hit = a.hit || d.(bool) == a.stop
	}
	return nil
}

func (a *logic) Result() (types.Datum, error) {
	if !a.any {
		return nil, nil
	}
	return a.hit == a.stop, nil
}
