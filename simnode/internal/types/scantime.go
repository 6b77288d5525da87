package types

import (
	"strconv"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// scan splits the text into words, dates, times and zones and stores what each
// says. Which field a bare date number is, checkDate decides.
func (r *clockReading) scan(s string) error {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case isSpace(c) || c == ',':
			i++
		case isDigit(c):
			n, err := r.scanNumber(s[i:])
			if err != nil {
				return err
			}
			i += n
		case (c == '+' || c == '-') && i+1 < len(s) && isDigit(s[i+1]):
			if !r.haveTime && !r.dateGiven() {
				return r.invalid()
			}
			n, err := r.scanOffset(s[i:])
			if err != nil {
				return err
			}
			i += n
		case isLetter(c) || (c == '-' || c == '+') && i+1 < len(s) && isLetter(s[i+1]):
			n := 1
			for i+n < len(s) && wordByte(s, i+n) {
				n++
			}
			zoned := r.haveOffset
			if err := r.word(s[i : i+n]); err != nil {
				return err
			}
			i += n
			if i+1 >= len(s) || !isDigit(s[i+1]) {
				continue
			}
			switch {
			case r.haveOffset && !zoned && (s[i] == '+' || s[i] == '-'): // "UTC+3", with POSIX's sign
				n, err := r.scanOffset(s[i:])
				if err != nil {
					return err
				}
				r.offset = -r.offset
				i += n
			case r.haveMonth && s[i] == '-': // "Jan-08"
				i++
			}
		case c == '-' && r.monthNameNext(s[i+1:]):
			i++
		default:
			return r.invalid()
		}
	}
	return nil
}

func (r *clockReading) dateGiven() bool {
	return len(r.numbers) >= 3 || r.haveYear && r.haveMonth && r.haveDay || len(r.numbers) == 2 && r.haveMonth
}

func (r *clockReading) monthNameNext(s string) bool { return s != "" && isLetter(s[0]) }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// wordByte reports whether s[i] belongs to the word before it; the '/' and '_' of
// zone names do, and so does a '-' inside a zone name such as America/Port-au-Prince.
func wordByte(s string, i int) bool {
	c := s[i]
	if c == '-' {
		return i+1 < len(s) && isLetter(s[i+1]) && strings.Contains(s[:i], "/")
	}
	return isLetter(c) || c == '/' || c == '_'
}

// scanNumber reads a date, a time, or one number, and returns its length.
func (r *clockReading) scanNumber(s string) (int, error) {
	n := digitsAt(s, 0)
	if n < len(s) && s[n] == ':' {
		return r.scanTime(s)
	}
	if n < len(s) && (s[n] == '-' || s[n] == '/' || s[n] == '.') && !r.dateGiven() {
		return r.scanDate(s)
	}
	switch {
	case (n == 8 || n == 6) && !r.dateGiven():
		r.compactDate(s[:n])
		return n, nil
	case (n == 6 || n == 4) && r.dateGiven() && !r.haveTime:
		return r.compactTime(s, n)
	}
	return n, r.addNumber(s[:n])
}

// compactTime reads hhmmss[.ffffff] or hhmm.
func (r *clockReading) compactTime(s string, n int) (int, error) {
	r.haveTime = true
	r.hour, _ = strconv.Atoi(s[:2])
	r.minute, _ = strconv.Atoi(s[2:4])
	if n < 6 {
		return n, nil
	}
	r.second, _ = strconv.Atoi(s[4:6])
	return r.fraction(s, n)
}

func digitsAt(s string, i int) int {
	n := 0
	for i+n < len(s) && isDigit(s[i+n]) {
		n++
	}
	return n
}

func (r *clockReading) addNumber(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v > 1<<30 {
		return r.fieldRange()
	}
	if r.haveMonth && !r.haveDay && len(s) <= 2 {
		r.day, r.haveDay = v, true
		return nil
	}
	if r.haveMonth && r.haveDay && !r.haveYear {
		r.setYear(dateNumber{v, len(s)})
		return nil
	}
	r.numbers = append(r.numbers, dateNumber{v, len(s)})
	return nil
}

// compactDate reads yyyymmdd or yymmdd.
func (r *clockReading) compactDate(s string) {
	y := s[:len(s)-4]
	year, _ := strconv.Atoi(y)
	r.setYear(dateNumber{year, len(y)})
	r.month, _ = strconv.Atoi(s[len(s)-4 : len(s)-2])
	r.day, _ = strconv.Atoi(s[len(s)-2:])
	r.haveMonth, r.haveDay = true, true
}

// scanDate reads numbers (and a month's name) joined by one separator.
func (r *clockReading) scanDate(s string) (int, error) {
	// As PostgreSQL has it: a day's name goes with spaced dates only, and a time
	// does not stand before a joined date.
	if r.weekday || r.haveTime {
		return 0, r.invalid()
	}
	i, separator := 0, byte(0)
	for part := 0; part < 3; part++ {
		if i < len(s) && isLetter(s[i]) {
			n := 0
			for i+n < len(s) && isLetter(s[i+n]) {
				n++
			}
			if err := r.word(s[i : i+n]); err != nil {
				return 0, err
			}
			i += n
		} else {
			n := digitsAt(s, i)
			if n == 0 {
				return 0, r.invalid()
			}
			if err := r.addNumber(s[i : i+n]); err != nil {
				return 0, err
			}
			i += n
		}
		if i >= len(s) || s[i] != '-' && s[i] != '/' && s[i] != '.' {
			break
		}
		if part == 2 || separator != 0 && s[i] != separator {
			return 0, r.invalid()
		}
		separator = s[i]
		i++
	}
	if i < len(s) && (s[i] == 'T' || s[i] == 't') && i+1 < len(s) && isDigit(s[i+1]) {
		i++
	}
	return i, nil
}

// scanTime reads hh:mm[:ss[.ffffff]].
func (r *clockReading) scanTime(s string) (int, error) {
	if r.haveTime {
		return 0, r.invalid()
	}
	r.haveTime = true
	fields := [3]*int{&r.hour, &r.minute, &r.second}
	i := 0
	for part, field := range fields {
		n := digitsAt(s, i)
		if n == 0 && part == 1 && i == len(s) { // "03:"
			break
		}
		if n == 0 {
			return 0, r.invalid()
		}
		v, err := strconv.Atoi(s[i : i+n])
		if err != nil {
			return 0, r.fieldRange()
		}
		*field = v
		i += n
		if part == 2 || i >= len(s) || s[i] != ':' {
			break
		}
		i++
	}
	return r.fraction(s, i)
}

// fraction reads .ffffff at s[i:], rounded to microseconds.
func (r *clockReading) fraction(s string, i int) (int, error) {
	if i >= len(s) || s[i] != '.' {
		return i, nil
	}
	n := digitsAt(s, i+1)
	f, err := strconv.ParseFloat("0."+s[i+1:i+1+n]+"0", 64)
	if err != nil {
		return 0, r.invalid()
	}
	r.micros = int(f*1e6 + 0.5)
	return i + 1 + n, nil
}

// scanOffset reads ±hh, ±hhmm or ±hh:mm[:ss].
func (r *clockReading) scanOffset(s string) (int, error) {
	n := digitsAt(s, 1)
	digits := s[1 : 1+n]
	i := 1 + n
	var hour, minute, second int
	switch {
	case n <= 2:
		hour, _ = strconv.Atoi(digits)
	case n <= 4:
		hour, _ = strconv.Atoi(digits[:n-2])
		minute, _ = strconv.Atoi(digits[n-2:])
	case n <= 6:
		hour, _ = strconv.Atoi(digits[:n-4])
		minute, _ = strconv.Atoi(digits[n-4 : n-2])
		second, _ = strconv.Atoi(digits[n-2:])
	default:
		return 0, r.invalid()
	}
	for _, field := range []*int{&minute, &second} {
		if n > 2 || i >= len(s) || s[i] != ':' {
			break
		}
		m := digitsAt(s, i+1)
		*field, _ = strconv.Atoi(s[i+1 : i+1+m])
		i += 1 + m
	}
	if hour > 15 || minute > 59 || second > 59 {
		return 0, sqlerr.New("22009", "time zone displacement out of range: \"%s\"", r.text)
	}
	r.offset, r.haveOffset = hour*3600+minute*60+second, true
	if s[0] == '-' {
		r.offset = -r.offset
	}
	return i, nil
}
