package types

import (
	"math"
	"strconv"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// PostgreSQL's range: Julian day 0 to the end of year 5874897 for dates, of year
// 294276 for timestamps.
const (
	minDate       = -2451507 // 4713-11-24 BC
	maxDate       = 2145031948
	minMicros     = -211813488000000000
	endMicros     = 9223371331200000000 // first instant of 294277-01-01
	secondsPerDay = 86400
)

// civil gives the calendar day of d, with astronomical years (0 is 1 BC).
func (d Date) civil() (year int, month time.Month, day int) {
	return time.Unix(epochSeconds+int64(d)*secondsPerDay, 0).UTC().Date()
}

// Time gives the midnight at which d begins in loc. The infinite dates give the
// infinite times.
func (d Date) Time(loc *time.Location) (time.Time, error) {
	switch d {
	case DateInfinity:
		return Infinity(), nil
	case DateNegInfinity:
		return NegInfinity(), nil
	}
	year, month, day := d.civil()
	t := resolveLocal(time.Date(year, month, day, 0, 0, 0, 0, time.UTC), loc)
	if !timestampFits(t) {
		return time.Time{}, sqlerr.New("22008", "date out of range for timestamp")
	}
	return t, nil
}

// DateOf gives the day of t in loc.
func DateOf(t time.Time, loc *time.Location) Date {
	switch IsInfinite(t) {
	case 1:
		return DateInfinity
	case -1:
		return DateNegInfinity
	}
	year, month, day := t.In(loc).Date()
	return dateFromCivil(year, month, day)
}

func dateFromCivil(year int, month time.Month, day int) Date {
	return Date((time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() - epochSeconds) / secondsPerDay)
}

// DateFits reports whether a day number is a legal finite date.
func DateFits(days int64) bool { return days >= minDate && days <= maxDate }

func timestampFits(t time.Time) bool {
	if IsInfinite(t) != 0 {
		return true
	}
	s := t.Unix() - epochSeconds
	return s >= minMicros/1e6 && s < endMicros/1e6
}

// resolveLocal gives the instant at which a clock in loc shows what naive shows in
// UTC. As in PostgreSQL, a time that a change of offset skips counts by the offset
// before it, one that happens twice by the offset after it.
func resolveLocal(naive time.Time, loc *time.Location) time.Time {
	if loc == time.UTC {
		return naive
	}
	_, before := naive.Add(-24 * time.Hour).In(loc).Zone()
	_, after := naive.Add(24 * time.Hour).In(loc).Zone()
	early := naive.Add(-time.Duration(before) * time.Second)
	late := naive.Add(-time.Duration(after) * time.Second)
	if _, off := late.In(loc).Zone(); off == after {
		return late.UTC()
	}
	return early.UTC()
}

func appendDate(buf []byte, d Date) []byte {
	switch d {
	case DateInfinity:
		return append(buf, "infinity"...)
	case DateNegInfinity:
		return append(buf, "-infinity"...)
	}
	year, month, day := d.civil()
	buf = appendCivil(buf, year, month, day)
	if year <= 0 {
		buf = append(buf, " BC"...)
	}
	return buf
}

func appendCivil(buf []byte, year int, month time.Month, day int) []byte {
	if year <= 0 {
		year = 1 - year
	}
	buf = appendPadded(buf, year, 4)
	buf = append(buf, '-')
	buf = appendPadded(buf, int(month), 2)
	buf = append(buf, '-')
	return appendPadded(buf, day, 2)
}

func appendPadded(buf []byte, v, width int) []byte {
	limit := 1
	for range width - 1 {
		limit *= 10
	}
	for ; v < limit && limit > 1; limit /= 10 {
		buf = append(buf, '0')
	}
	return strconv.AppendInt(buf, int64(v), 10)
}

// appendTimestamptz writes DateStyle ISO in the zone of loc.
func appendTimestamptz(buf []byte, t time.Time, loc *time.Location) []byte {
	switch IsInfinite(t) {
	case 1:
		return append(buf, "infinity"...)
	case -1:
		return append(buf, "-infinity"...)
	}
	t = t.In(loc)
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	buf = appendCivil(buf, year, month, day)
	buf = append(buf, ' ')
	buf = appendPadded(buf, hour, 2)
	buf = append(buf, ':')
	buf = appendPadded(buf, minute, 2)
	buf = append(buf, ':')
	buf = appendPadded(buf, second, 2)
	if us := t.Nanosecond() / 1000; us != 0 {
		buf = append(buf, '.')
		buf = appendPadded(buf, us, 6)
		for buf[len(buf)-1] == '0' {
			buf = buf[:len(buf)-1]
		}
	}
	_, offset := t.Zone()
	buf = appendOffset(buf, offset)
	if year <= 0 {
		buf = append(buf, " BC"...)
	}
	return buf
}

func appendOffset(buf []byte, seconds int) []byte {
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	buf = append(buf, sign)
	buf = appendPadded(buf, seconds/3600, 2)
	if rest := seconds % 3600; rest != 0 {
		buf = append(buf, ':')
		buf = appendPadded(buf, rest/60, 2)
		if rest%60 != 0 {
			buf = append(buf, ':')
			buf = appendPadded(buf, rest%60, 2)
		}
	}
	return buf
}

// fitTimestamp rounds to the modifier's number of fraction digits.
func fitTimestamp(d Datum, typmod int32) Datum {
	t := d.(time.Time)
	if typmod > 5 || IsInfinite(t) != 0 {
		return d
	}
	unit := int64(math.Pow10(int(6 - typmod)))
	us := Micros(t)
	if us >= 0 {
		us = (us + unit/2) / unit * unit
	} else {
		us = -((-us + unit/2) / unit * unit)
	}
	return FromMicros(us)
}
