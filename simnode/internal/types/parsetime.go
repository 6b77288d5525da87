package types

import (
	"strings"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// A clockReading collects the fields that a date or timestamp text names, before
// they are checked together.
type clockReading struct {
	oid  OID
	text string // for error messages
	env  Env
	year int
	// yearDigits is the length of the year's text; years of two digits are
	// completed once it is known whether BC follows.
	yearDigits                   int
	month                        int
	day                          int
	weekday                      bool // a day's name was read
	haveYear, haveMonth, haveDay bool
	numbers                      []dateNumber // date numbers without a fixed place yet
	hour, minute, second         int
	micros                       int
	haveTime, bc, pm, am         bool
	offset                       int // seconds east of UTC
	haveOffset                   bool
	loc                          *time.Location
	special                      string
}

type dateNumber struct {
	value  int
	digits int
}

// parseTimestamptz reads what timestamptz_in does, in DateStyle "ISO, MDY": ISO
// 8601 forms, month names, US order, AM/PM, BC, zones as offsets, abbreviations
// and names, and the special words. Not read: Julian days, ordinal days.
func parseTimestamptz(s string, env Env) (Datum, error) {
	r := &clockReading{oid: Timestamptz, text: s, env: env, loc: env.location()}
	if err := r.scan(s); err != nil {
		return nil, err
	}
	if r.special != "" {
		return r.specialTime()
	}
	if err := r.checkDate(); err != nil {
		return nil, err
	}
	if err := r.checkTime(); err != nil {
		return nil, err
	}
	if !yearFits(r.year) {
		return nil, r.outOfRange()
	}
	// time.Date carries 24:00:00 and a second of 60 over.
	naive := time.Date(r.year, time.Month(r.month), r.day, r.hour, r.minute, r.second, r.micros*1000, time.UTC)
	t := naive.Add(-time.Duration(r.offset) * time.Second)
	if !r.haveOffset {
		t = resolveLocal(naive, r.loc)
	}
	if !timestampFits(t) {
		return nil, r.outOfRange()
	}
	return t.UTC(), nil
}

// yearFits keeps the arithmetic of package time far from its own limits.
func yearFits(year int) bool { return year > -5000 && year < 6000000 }

func (r *clockReading) outOfRange() error {
	what := "timestamp"
	if r.oid == DateOID {
		what = "date"
	}
	return sqlerr.New("22008", "%s out of range: \"%s\"", what, r.text)
}

// parseDate reads what date_in does; a time of day is read and dropped.
func parseDate(s string, env Env) (Datum, error) {
	r := &clockReading{oid: DateOID, text: s, env: env, loc: env.location()}
	if err := r.scan(s); err != nil {
		return nil, err
	}
	if r.special != "" {
		d, err := r.specialTime()
		if err != nil {
			return nil, err
		}
		return DateOf(d.(time.Time), r.dateZone()), nil
	}
	if err := r.checkDate(); err != nil {
		return nil, err
	}
	if err := r.checkTime(); err != nil {
		return nil, err
	}
	if !yearFits(r.year) {
		return nil, r.outOfRange()
	}
	days := (time.Date(r.year, time.Month(r.month), r.day, 0, 0, 0, 0, time.UTC).Unix() - epochSeconds) / secondsPerDay
	if !DateFits(days) {
		return nil, r.outOfRange()
	}
	return Date(days), nil
}

func (r *clockReading) dateZone() *time.Location {
	if r.special == "epoch" {
		return time.UTC
	}
	return r.loc
}

func (r *clockReading) specialTime() (Datum, error) {
	if len(r.numbers) > 0 || r.haveYear || r.haveMonth || r.haveDay {
		return nil, r.invalid()
	}
	if err := r.checkTime(); err != nil {
		return nil, err
	}
	now := r.env.Now.In(r.loc)
	if r.env.Now.IsZero() {
		now = time.Unix(0, 0).In(r.loc)
	}
	year, month, day := now.Date()
	if r.haveTime && !strings.Contains("today tomorrow yesterday", r.special) {
		return nil, r.invalid()
	}
	switch r.special {
	case "infinity", "+infinity":
		return Infinity(), nil
	case "-infinity":
		return NegInfinity(), nil
	case "epoch":
		return time.Unix(0, 0).UTC(), nil
	case "now":
		return now.UTC().Truncate(time.Microsecond), nil
	case "tomorrow":
		day++
	case "yesterday":
		day--
	}
	naive := time.Date(year, month, day, r.hour, r.minute, r.second, r.micros*1000, time.UTC)
	if r.haveOffset {
		return naive.Add(-time.Duration(r.offset) * time.Second), nil
	}
	return resolveLocal(naive, r.loc), nil
}

func (r *clockReading) invalid() error {
	return sqlerr.New("22007", "invalid input syntax for type %s: \"%s\"", sqlName(r.oid), r.text)
}

func (r *clockReading) fieldRange() error {
	return sqlerr.New("22008", "date/time field value out of range: \"%s\"", r.text)
}

func (r *clockReading) fieldRangeHint() error {
	return sqlerr.New("22008", "date/time field value out of range: \"%s\"", r.text).
		WithHint("Perhaps you need a different \"datestyle\" setting.")
}

// checkDate gives the loose numbers their places (MDY unless a year led) and
// checks the day against the calendar.
func (r *clockReading) checkDate() error {
	if err := r.placeNumbers(); err != nil {
		return err
	}
	if !r.haveYear || !r.haveMonth || !r.haveDay {
		return r.invalid()
	}
	r.year = completeYear(dateNumber{r.year, r.yearDigits}, r.bc)
	if r.bc {
		if r.year <= 0 {
			return r.fieldRange()
		}
		r.year = 1 - r.year
	} else if r.year == 0 {
		return r.fieldRange()
	}
	if r.month < 1 || r.month > 12 || r.day < 1 || r.day > 31 {
		return r.fieldRangeHint()
	}
	if r.day > daysIn(r.year, r.month) {
		return r.fieldRange()
	}
	return nil
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func (r *clockReading) placeNumbers() error {
	for _, n := range r.numbers {
		switch {
		case !r.haveYear && n.digits >= 3:
			r.setYear(n)
		case !r.haveMonth:
			r.month, r.haveMonth = n.value, true
		case !r.haveDay:
			r.day, r.haveDay = n.value, true
		case !r.haveYear:
			r.setYear(n)
		default:
			return r.invalid()
		}
	}
	return nil
}

func (r *clockReading) setYear(n dateNumber) {
	r.year, r.yearDigits, r.haveYear = n.value, n.digits, true
}

func completeYear(n dateNumber, bc bool) int {
	switch {
	case bc || n.digits > 2:
		return n.value
	case n.value < 70:
		return n.value + 2000
	}
	return n.value + 1900
}

func (r *clockReading) checkTime() error {
	if !r.haveTime {
		return nil
	}
	if r.am || r.pm {
		if r.hour < 0 || r.hour > 12 {
			return r.fieldRange()
		}
		if r.pm && r.hour != 12 {
			r.hour += 12
		} else if r.am && r.hour == 12 {
			r.hour = 0
		}
	}
	if r.hour > 24 || r.minute > 59 || r.second > 60 ||
		r.hour == 24 && (r.minute > 0 || r.second > 0 || r.micros > 0) {
		return r.fieldRange()
	}
	return nil
}

// monthNumber finds a month by its name or an abbreviation of it, 0 if none.
func monthNumber(word string) int {
	names := [...]string{
		"january", "february", "march", "april", "may", "june", "july",
		"august", "september", "october", "november", "december",
	}
	for i, name := range names {
		if word == name || len(word) == 3 && word == name[:3] || word == "sept" && i == 8 {
			return i + 1
		}
	}
	return 0
}

// isWeekday knows the day names, which are read and ignored.
func isWeekday(word string) bool {
	names := [...]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
	for _, name := range names {
		if word == name || word == name[:3] {
			return true
		}
	}
	return word == "tues" || word == "weds" || word == "thur" || word == "thurs"
}

// zoneAbbreviation gives the offset of PostgreSQL's default abbreviations that are
// in common use.
func zoneAbbreviation(word string) (hours int, ok bool) {
	switch word {
	case "z", "utc", "ut", "gmt", "zulu", "wet", "uct":
		return 0, true
	case "cet", "bst", "west", "met":
		return 1, true
	case "cest", "eet", "ist", "mest":
		return 2, true
	case "eest", "msk":
		return 3, true
	case "msd":
		return 4, true
	case "hkt":
		return 8, true
	case "jst", "kst":
		return 9, true
	case "aest":
		return 10, true
	case "aedt":
		return 11, true
	case "nzst":
		return 12, true
	case "nzdt":
		return 13, true
	case "edt":
		return -4, true
	case "est", "cdt":
		return -5, true
	case "cst", "mdt":
		return -6, true
	case "mst", "pdt":
		return -7, true
	case "pst", "akdt":
		return -8, true
	case "akst":
		return -9, true
	case "hst":
		return -10, true
	}
	return 0, false
}

func (r *clockReading) word(original string) error {
	word := strings.ToLower(original)
	switch word {
	case "now", "today", "tomorrow", "yesterday", "epoch", "infinity", "-infinity", "+infinity":
		r.special = word
		return nil
	case "bc":
		r.bc = true
		return nil
	case "ad", "t", "at", "on":
		return nil
	case "am", "pm":
		if r.am || r.pm {
			return r.invalid()
		}
		r.am, r.pm = word == "am", word == "pm"
		return nil
	}
	if m := monthNumber(word); m > 0 {
		if r.haveMonth {
			return r.invalid()
		}
		r.month, r.haveMonth = m, true
		if len(r.numbers) == 1 && r.numbers[0].digits <= 2 && !r.haveDay { // "8 Jan"
			r.day, r.haveDay, r.numbers = r.numbers[0].value, true, nil
		}
		return nil
	}
	if isWeekday(word) {
		r.weekday = true
		return nil
	}
	if hours, ok := zoneAbbreviation(word); ok {
		r.offset, r.haveOffset = hours*3600, true
		return nil
	}
	if !strings.Contains(original, "/") || r.haveOffset {
		return r.invalid()
	}
	loc, err := time.LoadLocation(original)
	if err != nil {
		return sqlerr.New("22023", "time zone \"%s\" not recognized", word)
	}
	r.loc, r.haveOffset = loc, false
	return nil
}
