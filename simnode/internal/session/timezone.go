package session

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// checkTimeZone takes the name of a zone of the tz database, or an offset.
func checkTimeZone(name, value string) (string, error) {
	canonical, _, ok := parseZone(value)
	if !ok {
		return "", invalidValue(name, value)
	}
	return canonical, nil
}

// location is the zone of a value that checkTimeZone has made.
func location(value string) *time.Location {
	_, loc, ok := parseZone(value)
	if !ok {
		return time.UTC
	}
	return loc
}

func parseZone(value string) (canonical string, loc *time.Location, ok bool) {
	text := strings.TrimSpace(value)
	if rest, is := strings.CutPrefix(strings.ToLower(text), "interval"); is {
		text = strings.Trim(strings.TrimSpace(rest), "'")
	}
	switch strings.ToUpper(text) {
	case "":
		return "", nil, false
	case "UTC", "GMT", "UCT", "ZULU", "Z":
		return strings.ToUpper(text), time.UTC, true
	case "LOCAL", "DEFAULT", "ETC/UTC":
		return "UTC", time.UTC, true
	}
	if canonical, loc, ok := parsePosix(text); ok {
		return canonical, loc, true
	}
	if hours, err := strconv.ParseFloat(text, 64); err == nil {
		return fixedZone(int(hours*3600), text)
	}
	if strings.EqualFold(text, "local") {
		return "", nil, false
	}
	for _, spelling := range []string{text, titled(text)} {
		if loc, err := time.LoadLocation(spelling); err == nil {
			return spelling, loc, true
		}
	}
	return "", nil, false
}

// fixedZone is a zone that is seconds east of UTC, under the name that PostgreSQL
// gives it: <+05:30>-05:30.
func fixedZone(seconds int, _ string) (string, *time.Location, bool) {
	if seconds < -168*3600 || seconds > 168*3600 {
		return "", nil, false
	}
	east, west := offset(seconds), offset(-seconds)
	return "<" + east + ">" + west, time.FixedZone(east, seconds), true
}

func offset(seconds int) string {
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	s := fmt.Sprintf("%s%02d", sign, seconds/3600)
	if seconds%3600 != 0 {
		s += fmt.Sprintf(":%02d", seconds/60%60)
	}
	return s
}

// parsePosix reads "<name>offset" and "+hh:mm", whose offsets count west of UTC,
// as POSIX has it.
func parsePosix(text string) (string, *time.Location, bool) {
	label, rest := "", text
	if name, after, ok := strings.Cut(text, ">"); ok && strings.HasPrefix(name, "<") {
		label, rest = name[1:], after
	} else if !strings.Contains(text, ":") {
		return "", nil, false
	}
	sign := -1
	switch {
	case strings.HasPrefix(rest, "+"):
		rest = rest[1:]
	case strings.HasPrefix(rest, "-"):
		sign, rest = 1, rest[1:]
	}
	hours, minutes, _ := strings.Cut(rest, ":")
	h, err := strconv.Atoi(hours)
	if err != nil || h > 167 || h < 0 {
		return "", nil, false
	}
	m := 0
	if minutes != "" {
		if m, err = strconv.Atoi(minutes); err != nil || m > 59 || m < 0 {
			return "", nil, false
		}
	}
	seconds := sign * (h*3600 + m*60)
	if label == "" {
		label = offset(seconds)
	}
	return text, time.FixedZone(label, seconds), true
}

// titled gives a zone's name its usual capitals: america/new_york is found as
// America/New_York.
func titled(text string) string {
	out := []byte(strings.ToLower(text))
	for i, c := range out {
		first := i == 0 || out[i-1] == '/' || out[i-1] == '_' || out[i-1] == '-'
		if first && c >= 'a' && c <= 'z' {
			out[i] = c - 'a' + 'A'
		}
	}
	return string(out)
}
