package types

import (
	"math"
	"time"
)

// Datum is one SQL value. nil is NULL; otherwise the type's OID decides the Go
// type:
//
//	int2 int16 · int4 int32 · int8 int64 · oid uint32 · float8 float64
//	numeric *apd.Decimal (Exponent ≤ 0 is minus the display scale; NaN and ±Inf
//	as Form; never a negative zero; never changed once made)
//	text, varchar, name, unknown string · "char" string (one byte, none for the
//	zero byte) · int2vector string (numbers with a space between) · bool bool ·
//	bytea []byte (never changed once made) · timestamptz time.Time (UTC, whole
//	microseconds) · date Date · uuid [16]byte · regclass Regclass · void Void
//
// Of pg_node_tree there are only NULLs.
type Datum = any

// Row is the values of one row in the order of the table's columns. A stored Row
// is immutable: make a new one to change it.
type Row []Datum

// Void is the value of functions that return nothing, such as pg_sleep.
type Void struct{}

// Date is a day, counted from 2000-01-01 (the zero value). DateInfinity and
// DateNegInfinity are the two infinite dates.
type Date int32

// The infinite dates, with PostgreSQL's own numbers.
const (
	DateInfinity    Date = math.MaxInt32
	DateNegInfinity Date = math.MinInt32
)

// IsInfinite reports whether d is one of the infinite dates.
func (d Date) IsInfinite() bool { return d == DateInfinity || d == DateNegInfinity }

// Env is what a value's meaning depends on beside its text: the session's time
// zone, the transaction's time ('now', 'today'), and what relations there are. A nil
// Location is UTC; a zero Now makes 'now' the Unix epoch; without Classes a regclass
// stays open. It is a plain value.
type Env struct {
	Location *time.Location
	Now      time.Time
	Classes  Classes
}

func (e Env) location() *time.Location {
	if e.Location == nil {
		return time.UTC
	}
	return e.Location
}

// infiniteSeconds lies far outside PostgreSQL's range of timestamps on both
// sides, and inside what time.Time can hold and compare.
const infiniteSeconds = 1 << 55

// Infinity is the timestamptz 'infinity'. It compares after every other time.
func Infinity() time.Time { return time.Unix(infiniteSeconds, 0).UTC() }

// NegInfinity is the timestamptz '-infinity'.
func NegInfinity() time.Time { return time.Unix(-infiniteSeconds, 0).UTC() }

// IsInfinite gives 1 for Infinity, -1 for NegInfinity and 0 for a finite time.
func IsInfinite(t time.Time) int {
	switch t.Unix() {
	case infiniteSeconds:
		return 1
	case -infiniteSeconds:
		return -1
	default:
		return 0
	}
}

// epochSeconds is 2000-01-01 in Unix time, PostgreSQL's day zero.
const epochSeconds = 946684800

// Micros gives t as PostgreSQL stores it: microseconds since 2000-01-01 UTC, with
// the extreme integers for the infinities.
func Micros(t time.Time) int64 {
	switch IsInfinite(t) {
	case 1:
		return math.MaxInt64
	case -1:
		return math.MinInt64
	}
	return (t.Unix()-epochSeconds)*1e6 + int64(t.Nanosecond()/1000)
}

// FromMicros is the inverse of Micros.
func FromMicros(us int64) time.Time {
	switch us {
	case math.MaxInt64:
		return Infinity()
	case math.MinInt64:
		return NegInfinity()
	}
	seconds, rest := us/1e6, us%1e6
	if rest < 0 {
		seconds, rest = seconds-1, rest+1e6
	}
	return time.Unix(seconds+epochSeconds, rest*1000).UTC()
}
