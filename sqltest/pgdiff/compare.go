package pgdiff

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Options choose what is compared beyond the default.
type Options struct {
	// Protocol is the way statements without Args are sent.
	Protocol Protocol
	// Messages compares the wording and position of errors, too.
	Messages bool
}

// Difference is one thing in which two servers disagree.
type Difference struct {
	// Step is the statement.
	Step Step
	// What names what differs: "results", "columns", "rows", "tag", "sqlstate",
	// "message", "position" or "transaction".
	What string
	// Left and Right are what the two servers gave.
	Left, Right string
}

// String describes the difference in a few lines.
func (d Difference) String() string {
	return fmt.Sprintf("line %d: %s differs\n%s\n  left:  %s\n  right: %s", d.Step.Line, d.What, d.Step.SQL, d.Left, d.Right)
}

// Diff runs the script on both servers and returns where they disagree.
func Diff(ctx context.Context, left, right Connect, script string, opts Options) ([]Difference, error) {
	steps, err := Parse(script)
	if err != nil {
		return nil, err
	}
	a, err := Run(ctx, left, opts.Protocol, steps)
	if err != nil {
		return nil, fmt.Errorf("left: %w", err)
	}
	b, err := Run(ctx, right, opts.Protocol, steps)
	if err != nil {
		return nil, fmt.Errorf("right: %w", err)
	}
	return Compare(steps, a, b, opts), nil
}

// Compare holds the outcomes of two runs of the same steps against each other.
func Compare(steps []Step, left, right []Outcome, opts Options) []Difference {
	var found []Difference
	for i, step := range steps {
		differ := func(what, a, b string) {
			if a != b {
				found = append(found, Difference{Step: step, What: what, Left: a, Right: b})
			}
		}
		a, b := left[i], right[i]
		differ("transaction", string(a.TxStatus), string(b.TxStatus))
		differ("results", summary(a.Results), summary(b.Results))
		if len(a.Results) != len(b.Results) {
			continue
		}
		for n := range a.Results {
			compareResults(step, a.Results[n], b.Results[n], opts, differ)
		}
	}
	return found
}

func compareResults(step Step, a, b Result, opts Options, differ func(what, a, b string)) {
	differ("sqlstate", state(a), state(b))
	differ("tag", a.Tag, b.Tag)
	differ("columns", fmt.Sprintf("%+v", a.Columns), fmt.Sprintf("%+v", b.Columns))
	if a.SQLState == "" || b.SQLState == "" {
		// How many rows came before an error depends on buffering.
		differ("rows", rowsText(a.Rows, step.Unordered), rowsText(b.Rows, step.Unordered))
	}
	if opts.Messages {
		differ("message", a.Message, b.Message)
		differ("position", fmt.Sprint(a.Position), fmt.Sprint(b.Position))
	}
}

// summary tells how many results there are, with what each was.
func summary(results []Result) string {
	var parts []string
	for _, r := range results {
		kind := "done"
		if r.SQLState != "" {
			kind = "error"
		}
		parts = append(parts, kind)
	}
	return fmt.Sprintf("%d: %s", len(results), strings.Join(parts, ", "))
}

func state(r Result) string {
	if r.SQLState == "" {
		return "none"
	}
	return r.SQLState
}

func rowsText(rows [][]*string, unordered bool) string {
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		values := make([]string, 0, len(row))
		for _, value := range row {
			if value == nil {
				values = append(values, "NULL")
			} else {
				values = append(values, fmt.Sprintf("%q", *value))
			}
		}
		lines = append(lines, "("+strings.Join(values, ", ")+")")
	}
	if unordered {
		slices.Sort(lines)
	}
	return strings.Join(lines, " ")
}
