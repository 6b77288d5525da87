package builtin

import (
	"math"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func divisionByZero() error { return sqlerr.New("22012", "division by zero") }

// wider gives the result type of integer arithmetic: the wider operand's.
func wider(a, b types.OID) types.OID {
	rank := func(oid types.OID) int {
		switch oid {
		case types.Int2:
			return 0
		case types.Int4:
			return 1
		default:
			return 2
		}
	}
	if rank(a) >= rank(b) {
		return a
	}
	return b
}

// toInteger narrows an arithmetic result, with 22003 where it does not fit.
func toInteger(v int64, oid types.OID) (types.Datum, error) {
	switch oid {
	case types.Int2:
		if v < math.MinInt16 || v > math.MaxInt16 {
			return nil, types.OutOfRange(oid)
		}
		return int16(v), nil
	case types.Int4:
		if v < math.MinInt32 || v > math.MaxInt32 {
			return nil, types.OutOfRange(oid)
		}
		return int32(v), nil
	default:
		return v, nil
	}
}

type integerOp func(a, b int64, oid types.OID) (int64, error)

func addInts(a, b int64, oid types.OID) (int64, error) {
	sum := a + b
	if (sum > a) != (b > 0) {
		return 0, types.OutOfRange(oid)
	}
	return sum, nil
}

func subInts(a, b int64, oid types.OID) (int64, error) {
	diff := a - b
	if (diff < a) != (b > 0) {
		return 0, types.OutOfRange(oid)
	}
	return diff, nil
}

func mulInts(a, b int64, oid types.OID) (int64, error) {
	if a == 0 || b == 0 {
		return 0, nil
	}
	product := a * b
	if product/b != a || a == -1 && b == math.MinInt64 || b == -1 && a == math.MinInt64 {
		return 0, types.OutOfRange(oid)
	}
	return product, nil
}

func divInts(a, b int64, oid types.OID) (int64, error) {
	switch {
	case b == 0:
		return 0, divisionByZero()
	case b == -1 && a == math.MinInt64:
		return 0, types.OutOfRange(oid)
	}
	return a / b, nil
}

func modInts(a, b int64, _ types.OID) (int64, error) {
	switch b {
	case 0:
		return 0, divisionByZero()
	case -1:
		return 0, nil // also for the smallest integer, whose quotient does not fit
	}
	return a % b, nil
}

func addIntegers(r *Registry) {
	integers := []types.OID{types.Int2, types.Int4, types.Int8}
	for _, left := range integers {
		for _, right := range integers {
			result := wider(left, right)
			r.integer("+", left, right, result, addInts)
			r.integer("-", left, right, result, subInts)
			r.integer("*", left, right, result, mulInts)
			r.integer("/", left, right, result, divInts)
		}
	}
	for _, oid := range integers {
		r.integer("%", oid, oid, oid, modInts)
		r.integer("&", oid, oid, oid, func(a, b int64, _ types.OID) (int64, error) { return a & b, nil })
		r.integer("|", oid, oid, oid, func(a, b int64, _ types.OID) (int64, error) { return a | b, nil })
		r.integer("#", oid, oid, oid, func(a, b int64, _ types.OID) (int64, error) { return a ^ b, nil })
		r.integerPrefix("-", oid, func(v int64) (int64, error) { return subInts(0, v, oid) })
		r.integerPrefix("+", oid, func(v int64) (int64, error) { return v, nil })
		r.integerPrefix("~", oid, func(v int64) (int64, error) { return ^v, nil })
		r.integerPrefix("@", oid, func(v int64) (int64, error) { return absInt(v, oid) })
		r.pure("abs", []types.OID{oid}, oid, func(_ *Context, args []types.Datum) (types.Datum, error) {
			v, err := absInt(toInt64(args[0]), oid)
			if err != nil {
				return nil, err
			}
			return toInteger(v, oid)
		})
		r.pure("mod", []types.OID{oid, oid}, oid, func(_ *Context, args []types.Datum) (types.Datum, error) {
			v, err := modInts(toInt64(args[0]), toInt64(args[1]), oid)
			if err != nil {
				return nil, err
			}
			return toInteger(v, oid)
		})
	}
}

func absInt(v int64, oid types.OID) (int64, error) {
	if v < 0 {
		return subInts(0, v, oid)
	}
	return v, nil
}

func (r *Registry) integer(name string, left, right, result types.OID, op integerOp) {
	r.operator(name, left, right, result, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		v, err := op(toInt64(a), toInt64(b), result)
		if err != nil {
			return nil, err
		}
		return toInteger(v, result)
	})
}

func (r *Registry) integerPrefix(name string, oid types.OID, op func(v int64) (int64, error)) {
	r.operator(name, 0, oid, oid, func(_ *Context, _, v types.Datum) (types.Datum, error) {
		result, err := op(toInt64(v))
		if err != nil {
			return nil, err
		}
		return toInteger(result, oid)
	})
}
