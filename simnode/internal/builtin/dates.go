package builtin

import (
	"math"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func addDates(r *Registry) {
	shift := func(d types.Date, days int64) (types.Datum, error) {
		if d.IsInfinite() {
			return d, nil
		}
		if !types.DateFits(int64(d) + days) {
			return nil, types.OutOfRange(types.DateOID)
		}
		return types.Date(int64(d) + days), nil
	}
	r.operator("+", types.DateOID, types.Int4, types.DateOID, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		return shift(a.(types.Date), int64(b.(int32)))
	})
	r.operator("+", types.Int4, types.DateOID, types.DateOID, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		return shift(b.(types.Date), int64(a.(int32)))
	})
	r.operator("-", types.DateOID, types.Int4, types.DateOID, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		return shift(a.(types.Date), -int64(b.(int32)))
	})
	r.operator("-", types.DateOID, types.DateOID, types.Int4, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		x, y := a.(types.Date), b.(types.Date)
		if x.IsInfinite() || y.IsInfinite() {
			return nil, sqlerr.New("22008", "cannot subtract infinite dates")
		}
		return int32(x) - int32(y), nil
	})
	r.pure("to_timestamp", []types.OID{types.Float8}, types.Timestamptz, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return toTimestamp(args[0].(float64))
	})
	r.pure("isfinite", []types.OID{types.DateOID}, types.Bool, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return !args[0].(types.Date).IsInfinite(), nil
	})
	r.pure("isfinite", []types.OID{types.Timestamptz}, types.Bool, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return types.IsInfinite(args[0].(time.Time)) == 0, nil
	})
}

// toTimestamp is float8_timestamptz: seconds since the Unix epoch.
func toTimestamp(seconds float64) (types.Datum, error) {
	// The range of timestamptz: 4713 BC to 294276 AD.
	const earliest, latest = -210866803200, 9224318016000
	switch {
	case seconds != seconds:
		return nil, sqlerr.New("22008", "timestamp cannot be NaN")
	case seconds > latest*2:
		return infiniteOr(seconds, types.Infinity())
	case seconds < -latest*2:
		return infiniteOr(seconds, types.NegInfinity())
	case seconds < earliest || seconds >= latest:
		return nil, sqlerr.New("22008", "timestamp out of range: \"%v\"", seconds)
	}
	whole := int64(seconds)
	micros := (seconds - float64(whole)) * 1e6
	return time.Unix(whole, int64(math.RoundToEven(micros))*1000).UTC(), nil
}

func infiniteOr(seconds float64, infinity time.Time) (types.Datum, error) {
	if seconds-seconds != 0 { // only for an infinity
		return infinity, nil
	}
	return nil, sqlerr.New("22008", "timestamp out of range: \"%v\"", seconds)
}

func addClock(r *Registry) {
	at := func(name string, volatility Volatility, fn func(c *Context) time.Time) {
		r.function(Function{Name: name, Result: types.Timestamptz, Volatility: volatility, Strict: true, Fn: func(c *Context, _ []types.Datum) (types.Datum, error) {
			return fn(c).UTC().Truncate(time.Microsecond), nil
		}})
	}
	at("now", Stable, func(c *Context) time.Time { return c.TxTime })
	at("transaction_timestamp", Stable, func(c *Context) time.Time { return c.TxTime })
	at("statement_timestamp", Stable, func(c *Context) time.Time { return c.StmtTime })
	at("clock_timestamp", Volatile, func(c *Context) time.Time { return c.clock() })
	r.function(Function{Name: "pg_sleep", Args: []types.OID{types.Float8}, Result: types.VoidOID, Strict: true, Fn: func(c *Context, args []types.Datum) (types.Datum, error) {
		return types.Void{}, c.sleep(sleepTime(args[0].(float64)))
	}})
}

// sleepTime turns seconds into a duration, with what does not fit as "for ever"
// and what is not positive as nothing.
func sleepTime(seconds float64) time.Duration {
	const forever = time.Duration(1<<63 - 1)
	switch {
	case !(seconds > 0):
		return 0
	case seconds >= forever.Seconds():
		return forever
	}
	return time.Duration(seconds * float64(time.Second))
}
