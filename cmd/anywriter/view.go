package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/workload"
)

// frame is everything that one drawing shows.
type frame struct {
	flags   demoFlags
	stats   workload.Stats
	cluster cluster.Stats
	nodes   []simnode.Status
	faults  []simnode.Fault
	log     uint64
}

// view shows frames.
type view interface {
	interval() time.Duration
	draw(frame)
}

// newView redraws a screen on a terminal and prints lines elsewhere.
func newView(w io.Writer, plain bool) view {
	if _, _, terminal := terminalSize(w); plain || !terminal {
		return &lines{w: w}
	}
	return &screen{w: w, size: func() (columns, rows int) {
		columns, rows, _ = terminalSize(w)
		return columns, rows
	}}
}

// rateWindow is how far back rates look: long enough to be readable.
const rateWindow = time.Second

// rates turns the nodes' counters into operations per second over the last
// rateWindow.
type rates struct{ samples []sample }

// sample is every node's count of operations at a time of the run.
type sample struct {
	at  time.Duration
	ops []int64
}

func (r *rates) next(f frame) []float64 {
	now := sample{at: f.stats.Elapsed}
	for _, n := range f.cluster.Nodes {
		now.ops = append(now.ops, n.Ops)
	}
	if r.samples == nil {
		r.samples = []sample{{ops: make([]int64, len(now.ops))}} // the run began with nothing
	}
	r.samples = append(r.samples, now)
	for len(r.samples) > 2 && now.at-r.samples[1].at >= rateWindow {
		r.samples = r.samples[1:]
	}
	oldest := r.samples[0]
	out := make([]float64, len(now.ops))
	if seconds := (now.at - oldest.at).Seconds(); seconds > 0 {
		for i := range out {
			out[i] = float64(now.ops[i]-oldest.ops[i]) / seconds
		}
	}
	return out
}

// lines prints a line per second and one per change of a fault.
type lines struct {
	w      io.Writer
	rates  rates
	faults []simnode.Fault
	begun  bool
}

func (*lines) interval() time.Duration { return time.Second }

func (l *lines) draw(f frame) {
	if !l.begun {
		l.begun = true
		_, _ = fmt.Fprintf(l.w, "bank of %d clients on %d nodes for %v, seed %d, sabotage %v\n", demoClients, f.flags.nodes, f.flags.duration, f.flags.seed, f.flags.sabotage)
	}
	for i, planned := range f.faults {
		if l.faults != nil && l.faults[i] == planned || l.faults == nil && !planned.Fired {
			continue
		}
		_, _ = fmt.Fprintf(l.w, "%6.1fs  fault  %v\n", f.stats.Elapsed.Seconds(), planned)
	}
	l.faults = f.faults
	s := f.stats
	_, _ = fmt.Fprintf(l.w, "%6.1fs  bank   %d operations, %d safe failures, %d unknown, %d retried, %d given up, p50 %v, p99 %v, longest gap %v\n",
		s.Elapsed.Seconds(), s.Ops, s.SafeFailures, s.Unknown, s.Retries, s.Conflicts, short(s.P50), short(s.P99), short(s.LongestGap))
	for i, rate := range l.rates.next(f) {
		_, _ = fmt.Fprintf(l.w, "%6.1fs  %s\n", s.Elapsed.Seconds(), nodeLine(f, i, rate))
	}
}

// nodeLine shows one node: the process as it is, and what the driver makes of it.
func nodeLine(f frame, i int, rate float64) string {
	n, p := f.cluster.Nodes[i], f.nodes[i]
	return fmt.Sprintf("node %d  %-8s driver: %-10s breaker %-9s in flight %2d  %6.0f ops/s  p50 %7s  p99 %7s  conflicts %4d  retries %4d",
		i+1, p.State, n.State, n.Breaker, n.InFlight, rate, short(n.P50), short(n.P99), n.Conflicts, n.Retries)
}

// screen redraws a terminal four times a second.
type screen struct {
	w     io.Writer
	size  func() (columns, rows int) // asked before each drawing: windows are resized
	rates rates
	begun bool
}

func (*screen) interval() time.Duration { return 250 * time.Millisecond }

const (
	clearScreen = "\x1b[2J"
	cursorHome  = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

func (s *screen) draw(f frame) {
	var b strings.Builder
	if !s.begun {
		s.begun = true
		b.WriteString(clearScreen)
	}
	b.WriteString(cursorHome)
	columns, rows := s.size()
	content := s.content(f)
	if rows > 1 && len(content) > rows-1 { // the cursor needs the last row, else the screen scrolls
		content = content[:rows-1]
	}
	for _, line := range content {
		if runes := []rune(line); columns > 0 && len(runes) > columns {
			line = string(runes[:columns])
		}
		// Cleared before it is written: after the last column the cursor still
		// stands on it, and clearing there would take the last letter away.
		b.WriteString(clearLine + line + "\r\n")
	}
	b.WriteString(clearBelow)
	_, _ = io.WriteString(s.w, b.String())
}

func (s *screen) content(f frame) []string {
	st := f.stats
	out := []string{
		fmt.Sprintf("anywriter demo   %5.1fs of %v   seed %d   %s", st.Elapsed.Seconds(), f.flags.duration, f.flags.seed, bar(st.Elapsed, f.flags.duration)),
		"",
		fmt.Sprintf("bank    %d clients  %d operations  %d safe failures  %d unknown  %d retried", demoClients, st.Ops, st.SafeFailures, st.Unknown, st.Retries),
		fmt.Sprintf("        p50 %v  p99 %v  longest gap %v  longest wait %v", short(st.P50), short(st.P99), short(st.LongestGap), short(st.LongestWait)),
		fmt.Sprintf("        %d transfers given up after conflicts  log %d records", st.Conflicts, f.log),
		"",
		"node process  driver     breaker   in-fl ops/s     p50     p99 conflicts retries",
	}
	for i, rate := range s.rates.next(f) {
		n, p := f.cluster.Nodes[i], f.nodes[i]
		out = append(out, fmt.Sprintf("%4d %-8s %-10s %-9s %5d %5.0f %7s %7s %9d %7d",
			i+1, p.State, n.State, n.Breaker, n.InFlight, rate, short(n.P50), short(n.P99), n.Conflicts, n.Retries))
	}
	out = append(out, "", "faults")
	for _, fault := range f.faults {
		out = append(out, "  "+fault.String())
	}
	return out
}

// bar draws how much of the run is over.
func bar(elapsed, total time.Duration) string {
	const width = 30
	full := min(int(width*elapsed/total), width)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// short rounds a duration to three digits or so.
func short(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	default:
		return d.Round(time.Microsecond)
	}
}
