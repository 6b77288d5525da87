package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/check"
	"github.com/anywriter/anywriter/sqltest/workload"
)

// verdict is what a run of the demo ends with.
type verdict struct {
	stats  workload.Stats
	bank   *check.Verdict
	replay string
	// caches is empty if every node's cache holds the same rows, else what differs.
	caches string
	// missing are the kinds of fault that did not fire and heal.
	missing []string
}

// judge reads the bank's tables, compares the caches and looks at the faults.
func (d *demo) judge(ctx context.Context) (*verdict, error) {
	settling, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	v := &verdict{
		stats:  d.bank.Stats(),
		replay: d.flags.replay(),
	}
	if err := d.sim.WaitReady(settling); err != nil {
		return nil, err
	}
	var err error
	if v.bank, err = d.bank.Check(settling); err != nil {
		return nil, err
	}
	v.caches = d.compareCaches(settling)
	v.missing = missingFaults(d.schedule.Faults())
	return v, nil
}

// compareCaches waits until all nodes have applied the same log and compares what
// they made of it.
func (d *demo) compareCaches(ctx context.Context) string {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		differ, settled := d.cacheDifference()
		if settled {
			return differ
		}
		select {
		case <-ctx.Done():
			return "they have not applied the same log after " + settleTime.String() + ": " + differ
		case <-ticker.C:
		}
	}
}

// cacheDifference says what differs now; settled is false while some node has not
// applied all of the log.
func (d *demo) cacheDifference() (differ string, settled bool) {
	var lines []string
	settled = true
	equal := true
	var first string
	for i, n := range d.sim.Nodes() {
		digest, applied, err := n.CacheDigest()
		if err != nil {
			return err.Error(), false
		}
		settled = settled && applied >= d.sim.LogLength()
		if i == 0 {
			first = digest
		}
		equal = equal && digest == first
		lines = append(lines, fmt.Sprintf("node %d has %.8s at %d", n.Number(), digest, applied))
	}
	if equal && settled {
		return "", true
	}
	return strings.Join(lines, ", "), settled
}

// missingFaults names the kinds that did not both fire and heal.
func missingFaults(faults []simnode.Fault) []string {
	seen := map[simnode.FaultKind]bool{}
	for _, f := range faults {
		seen[f.Kind] = seen[f.Kind] || f.Fired && f.Healed
	}
	var out []string
	for _, kind := range demoFaults() {
		if !seen[kind] {
			out = append(out, kind.String())
		}
	}
	return out
}

// Clean reports whether everything holds that the demo promises.
func (v *verdict) Clean() bool {
	return v.stats.OK > 0 && v.stats.SafeFailures == 0 && v.bank.Holds() && v.caches == "" && len(v.missing) == 0
}

// String is the report, one promise a line.
func (v *verdict) String() string {
	var b strings.Builder
	b.WriteString("\nVerdict\n")
	line := func(ok bool, name, format string, args ...any) {
		mark := "ok    "
		if !ok {
			mark = "BROKEN"
		}
		_, _ = fmt.Fprintf(&b, "  %s  %-16s %s\n", mark, name, fmt.Sprintf(format, args...))
	}
	s := v.stats
	line(s.OK > 0, "operations", "%d, of which %d read and %d succeeded", s.Ops, s.Reads, s.OK)
	line(s.SafeFailures == 0, "safe failures", "%d operations failed that could have run elsewhere", s.SafeFailures)
	line(true, "unknown", "%d commits lost their answer; %d of them took effect", s.Unknown, v.bank.UnknownApplied)
	line(true, "retried", "%d attempts again, after conflicts and faults", s.Retries)
	line(true, "conflicts", "%d transfers given up, every attempt having lost", s.Conflicts)
	line(true, "longest gap", "%v without a success; longest single wait %v", s.LongestGap.Round(time.Millisecond), s.LongestWait.Round(time.Millisecond))
	for _, p := range promises {
		count := v.bank.Broken[p.invariant]
		if count == 0 {
			line(true, p.name, "%s", p.holds)
			continue
		}
		line(false, p.name, "%d times, first: %s", count, v.first(p.invariant))
	}
	line(v.caches == "", "caches equal", "%s", orElse(v.caches, "every node holds the same rows"))
	line(len(v.missing) == 0, "faults", "%s", faultText(v.missing))
	if v.Clean() {
		b.WriteString("\nEverything holds.\n")
	} else {
		_, _ = fmt.Fprintf(&b, "\nNot everything holds. Replay: %s\n", v.replay)
	}
	return b.String()
}

// promises are the invariants of the bank, in the order of the report.
var promises = [...]struct {
	invariant check.Invariant
	name      string // for a reader who has not seen package check
	holds     string
}{
	{check.Conserved, "money conserved", "the sum of all balances is what it was"},
	{check.Lost, "lost write", "none: every acknowledged transfer is in the ledger"},
	{check.Double, "double apply", "none: no transfer was applied twice"},
	{check.Ghost, "ghost write", "none: nothing reported as failed is in the ledger"},
	{check.Books, "books balance", "each balance is what the ledger makes it"},
	{check.TornRead, "torn read", "none: every sum of all balances saw one moment"},
	{check.StaleRead, "stale read", "none: no read missed what was acknowledged before"},
	{check.FutureRead, "future read", "none: no read saw what was not asked for yet"},
}

func (v *verdict) first(invariant check.Invariant) string {
	for _, violation := range v.bank.Violations {
		if violation.Invariant == invariant {
			return violation.Detail
		}
	}
	return "not listed"
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func faultText(missing []string) string {
	if len(missing) == 0 {
		return "every kind fired and healed"
	}
	return "did not fire and heal: " + strings.Join(missing, ", ")
}
