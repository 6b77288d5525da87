package session

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/exec"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Column describes one column of a result, as RowDescription carries it.
type Column = exec.Column

// Format is the form of a value on the wire.
type Format int16

// The two forms. The zero value is text.
const (
	FormatText   Format = 0
	FormatBinary Format = 1
)

// Style is how the session's settings want values to be written as text.
type Style struct {
	Location    *time.Location // TimeZone
	ByteaEscape bool           // bytea_output = escape
	FloatDigits int            // extra_float_digits
	Now         time.Time      // what 'now' means in a parameter
}

// Result announces rows: their columns and the form of each value.
type Result struct {
	Columns []Column
	Formats []Format // one per column; nil means text for all
	Style   Style
	// Describe asks for a RowDescription: a simple Query sends one, Execute does
	// not.
	Describe bool
}

// Output takes what a command answers, in order: Begin, then Row for each row,
// then one of Complete, Suspended and Empty. A session calls it from the goroutine
// that drives the session, and only with data that may leave for the client. A
// Row's values may not be kept.
type Output interface {
	Begin(Result)
	// Row fails when the client can no longer be reached or a value cannot be
	// written; the session then ends the command with that error.
	Row(types.Row) error
	Complete(tag string)
	Suspended()
	Empty()
}

// Client takes what a session says outside of results. It is called from the
// goroutine that drives the session.
type Client interface {
	Notice(*sqlerr.Error)
}
