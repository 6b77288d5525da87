package availability_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/sqltest/availability"
)

var (
	write      = flag.Bool("matrix.write", false, "measure for longer, beside peers, and write docs/fault-matrix.md")
	reportPath = flag.String("matrix.report", "../../docs/fault-matrix.md", "where -matrix.write writes")
)

// summary is a measurement in one line.
func (r *result) summary() string {
	longest := r.then.Longest()
	return fmt.Sprintf("%d operations, %d failed, %d unknown (%d there), longest gap %v, longest wait %v (write %v: %v), "+
		"p99 %v then %v, %.0f/s then %.0f/s, share %.3f, %.1f dials/s, %d cuts, %d stalls",
		len(r.record), r.record.Count(availability.Failed), r.record.Count(availability.Unknown), r.truth.Found,
		round(r.gap()), round(longest.Wait()), longest.Write, longest.Err,
		round(r.unhurt.Quantile(0.99)), round(r.during.Quantile(0.99)),
		r.record.Rate(r.well, r.hurt), r.record.Rate(r.hurt, r.healed), r.share, r.dialed, r.cuts, r.after.Stalls-r.before.Stalls)
}

// listed names the bounds that were missed, and what was believed of each node at
// the end.
func (r *result) listed(misses []string) string {
	if len(misses) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "; missed: %s; healed at %v", strings.Join(misses, ", "), r.healed)
	for _, n := range r.after.Nodes {
		fmt.Fprintf(&b, "; %s is %v (%v) since %v, breaker %v, %d in flight, %d picks, %d connections, %d idle %s",
			n.Addr, n.State, n.Reason, n.Since, n.Breaker, n.InFlight, n.Picks, n.Conns, n.Idle, n.Note)
	}
	return b.String()
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// reported are the lines of the report, by target; reportedLost those of
// TestMajorityLost, reportedSlow of a slow node's first moments, reportedDown those
// of TestAllDown.
var (
	reported                                 = map[string][]string{}
	reportedLost, reportedSlow, reportedDown []string
)

// finding is the time in which the first slow answers come: those of operations that
// were sent before anybody could know.
const finding = 500 * time.Millisecond

// report keeps a measurement for the report.
func (g *target) report(f fault, who string, r *result) {
	longest := r.then.Longest()
	reported[g.name] = append(reported[g.name], fmt.Sprintf("| %s | %s | %d | %d | %d | %v | %v | %.0f of %.0f | %v of %v | %.0f %% | %.1f |",
		f.name, who, r.record.Count(availability.Failed), r.record.Count(availability.Unknown), r.truth.Twice+r.truth.Lost,
		round(r.gap()), round(longest.Wait()), r.record.Rate(r.hurt, r.healed), r.record.Rate(r.well, r.hurt),
		round(r.during.Quantile(0.99)), round(r.unhurt.Quantile(0.99)), 100*r.share, r.dialed))
	if f.bounds.slow {
		first := r.record.Between(r.hurt, r.hurt.Add(finding))
		slow := 0
		for _, op := range first {
			if op.Wait() >= 100*time.Millisecond {
				slow++
			}
		}
		reportedSlow = append(reportedSlow, fmt.Sprintf("| %s | %s | %s | %.0f of %.0f | %v of %v | %d |", g.name, f.name, who,
			r.record.Rate(r.hurt, r.hurt.Add(finding)), r.record.Rate(r.well, r.hurt), round(first.Quantile(0.99)), round(r.unhurt.Quantile(0.99)), slow))
	}
}

// head says what the tables mean.
const head = `# Fault matrix

What 16 goroutines see, each with one operation every 5 ms (half autocommit INSERTs
of a unique row, half point SELECTs, none longer than 2 s, or 4 s where two nodes
freeze: the second is cut off after 2 s at the earliest), while one node of three
is sick for %v (a slow one for %v) and then healed. Made by

    go test ./sqltest/availability -run 'TestMatrix|TestTwoOfThree|TestMajorityLost|TestAllDown' -matrix.write -v -timeout 60m

on %s; figures in time of a shared machine of %d cores, so compare the rows of one
table rather than tables. In virtual time (every 20 ms instead of every 5) no time
depends on the machine; which of two goroutines goes first at the same moment still
does, so counts may differ a little from run to run.

- **failed**: operations that ended in an error and certainly had no effect: reads, and
  writes that weren't sent or were refused.
- **unknown**: writes whose answer was lost. Plain pgx says nothing of the kind; its
  errors are sorted by what they carry (an SQLSTATE, "safe to retry", no connection).
- **wrong**: rows written twice, and acknowledged rows that aren't there, read back
  from the servers afterwards.
- **gap**: the longest time without any success; **wait**: the longest that a single
  operation took, from the fault on.
- **ok/s**: successes per second while the node was sick, of those before; **p99**: of
  the operations' times, likewise.
- **share** of the healed node, ten seconds after (of the operations; of a peer's
  messages); **dials/s**: connections opened to it per second, from the fault on,
  cancel requests included.
`

// headSlow says what the table of a slow node's first moments means.
const headSlow = `
## A slow node's first %v

The rows above count them in. What was sent to the node before its first slow answer
takes as long as that; **slow** is how many operations took 100 ms or longer.

| nodes | fault | driver | ok/s | p99 | slow |
|---|---|---|---|---|---|
`

// headLost says what the table of lost majorities means.
const headLost = `
## The simulator without a majority

Its nodes commit by majority and don't evict each other yet: while two of three are
down for 10 s, the third reads but can't commit. In virtual time; the load is that of
the table above.

- **writes in vain**: that ended with an error and certainly had no effect.
- **writes again**: the first success of a write, from the majority's return on.

| fault | driver | reads failed | longest read | writes in vain | unknown | wrong | wait | writes again | share | dials/s |
|---|---|---|---|---|---|---|---|---|---|---|
`

// writeReport writes docs/fault-matrix.md.
func writeReport(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, head, phasesOf(&target{}, fault{}).hurt, slowTime, "Linux", runtime.NumCPU())
	for _, name := range slices.Sorted(maps.Keys(reported)) {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		b.WriteString("| fault | driver | failed | unknown | wrong | gap | wait | ok/s | p99 | share | dials/s |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
		for _, l := range reported[name] {
			b.WriteString(l + "\n")
		}
	}
	fmt.Fprintf(&b, headSlow, finding)
	for _, l := range reportedSlow {
		b.WriteString(l + "\n")
	}
	b.WriteString(headLost)
	for _, l := range reportedLost {
		b.WriteString(l + "\n")
	}
	b.WriteString("\n## All nodes down\n\nOperations one after the other while no node is there, and after some, or all, are back.\n\n" +
		"| nodes | ErrNoNode after | first success after their return |\n|---|---|---|\n")
	for _, l := range reportedDown {
		b.WriteString(l + "\n")
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// TestMain looks for goroutines that are left over, and writes the report once
// everything has been measured.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left over:", err)
		code = 1
	}
	if code == 0 && *write {
		if err := writeReport(*reportPath); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
