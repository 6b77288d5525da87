package pgdiff

import (
	"fmt"
	"strings"
)

// Step is one statement of a script, or several in one string.
type Step struct {
	// Session names the connection that it runs on; sessions are opened at first
	// use. The empty name is a session too.
	Session string
	// SQL is sent as it stands.
	SQL string
	// Args are parameters in text form, nil for NULL. With Args the step goes by
	// the extended protocol whatever the Protocol.
	Args []*string
	// Unordered compares the rows as a set.
	Unordered bool
	// Line is where it stands in the script, from 1.
	Line int
}

// Parse reads a script: steps separated by empty lines. A step may begin with
// lines of directives:
//
//	-- session NAME     run on that connection (until changed)
//	-- unordered        the order of rows doesn't matter
//	-- arg TEXT         a parameter; "-- arg-null" for NULL
//
// Other comments are part of the SQL.
func Parse(script string) ([]Step, error) {
	var steps []Step
	session := ""
	var current Step
	var text []string
	flush := func() error {
		current.SQL = strings.Join(text, "\n")
		switch {
		case current.SQL != "":
			steps = append(steps, current)
		case current.Unordered || current.Args != nil:
			return fmt.Errorf("pgdiff: line %d: directives without a statement", current.Line)
		}
		current, text = Step{}, nil
		return nil
	}
	for i, line := range strings.Split(script, "\n") {
		if strings.TrimSpace(line) == "" {
			if err := flush(); err != nil {
				return nil, err
			}
			continue
		}
		if current.Line == 0 {
			current.Line, current.Session = i+1, session
		}
		if len(text) == 0 && directive(line, &current) {
			session = current.Session
			continue
		}
		text = append(text, line)
	}
	return steps, flush()
}

// directive applies a line before the SQL if it is a directive.
func directive(line string, step *Step) bool {
	word, rest, _ := strings.Cut(strings.TrimPrefix(line, "-- "), " ")
	switch {
	case !strings.HasPrefix(line, "-- "):
		return false
	case word == "session":
		step.Session = rest
	case word == "unordered":
		step.Unordered = true
	case word == "arg":
		step.Args = append(step.Args, &rest)
	case word == "arg-null":
		step.Args = append(step.Args, nil)
	default:
		return false
	}
	return true
}
