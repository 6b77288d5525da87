package availability_test

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/anywriter/anywriter/sqltest/availability"
)

var write = flag.Bool("matrix.write", false, "measure for longer, beside peers, and write docs/fault-matrix.md")

// summary is a measurement in one line.
func (r *result) summary() string {
	longest := r.then.Longest()
	return fmt.Sprintf("%d operations, %d failed, %d unknown (%d there), longest gap %v, longest wait %v (write %v: %v), "+
		"p99 %v then %v, %.0f/s then %.0f/s, share %.3f, %d cuts, %d stalls",
		len(r.record), r.record.Count(availability.Failed), r.record.Count(availability.Unknown), r.truth.Found,
		round(r.then.LongestGap()), round(longest.Wait()), longest.Write, longest.Err,
		round(r.unhurt.Quantile(0.99)), round(r.during.Quantile(0.99)),
		r.record.Rate(r.well, r.hurt), r.record.Rate(r.hurt, r.healed), r.share, r.cuts, r.after.Stalls-r.before.Stalls)
}

func listed(misses []string) string {
	if len(misses) == 0 {
		return ""
	}
	return "; missed: " + strings.Join(misses, ", ")
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// line is one line of the report.
type line struct{ fault, target, who, figures string }

var lines []line

// note keeps a measurement for the report.
func note(g *target, f fault, r *result) {
	longest := r.then.Longest()
	lines = append(lines, line{f.name, g.name, "anywriter", fmt.Sprintf("%d | %d | %v | %v | %.0f of %.0f | %v | %.0f %%",
		r.record.Count(availability.Failed), r.record.Count(availability.Unknown), round(r.then.LongestGap()), round(longest.Wait()),
		r.record.Rate(r.hurt, r.healed), r.record.Rate(r.well, r.hurt), round(r.during.Quantile(0.99)), 100*r.share)})
}
