package availability

import (
	"database/sql/driver"
	"errors"
	"strings"
)

// Outcome is how one operation ended. The zero value is OK.
type Outcome uint8

const (
	// OK: it succeeded.
	OK Outcome = iota
	// Failed: it failed and has certainly had no effect: any read, and a write
	// that wasn't sent or was refused.
	Failed
	// Unknown: a write may have taken effect.
	Unknown
)

// String returns the name of o.
func (o Outcome) String() string {
	names := [...]string{"OK", "Failed", "Unknown"}
	if int(o) < len(names) {
		return names[o]
	}
	return "Outcome(?)"
}

// Classify says how an operation ended that returned err.
//
//   - A read that fails is Failed.
//   - An error that says whether it is ambiguous (by a method Ambiguous() bool,
//     as those of package driver do) is believed.
//   - An error with an SQLSTATE was answered: Failed, unless it ends the session.
//   - An error that says that it is safe to try again (by a method SafeToRetry()
//     bool, as pgx's do), and driver.ErrBadConn, are Failed.
//   - Everything else leaves a write Unknown.
func Classify(write bool, err error) Outcome {
	switch {
	case err == nil:
		return OK
	case !write:
		return Failed
	}
	var says interface{ Ambiguous() bool }
	if errors.As(err, &says) {
		if says.Ambiguous() {
			return Unknown
		}
		return Failed
	}
	var state interface{ SQLState() string }
	if errors.As(err, &state) && state.SQLState() != "" {
		if endsSession(state.SQLState()) {
			return Unknown
		}
		return Failed
	}
	var safe interface{ SafeToRetry() bool }
	if errors.As(err, &safe) && safe.SafeToRetry() || errors.Is(err, driver.ErrBadConn) {
		return Failed
	}
	return Unknown
}

// endsSession reports whether an SQLSTATE speaks of the session or the server
// rather than of the statement.
func endsSession(state string) bool {
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P") || state == "40003" ||
		strings.HasPrefix(state, "58") || strings.HasPrefix(state, "XX") || state == "57014"
}
