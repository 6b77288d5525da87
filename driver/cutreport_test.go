package driver_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// report counts outcomes by kind of work, and hits by type of message.
func (l *cutLedger) report() string {
	byKind, words := map[string]map[string]int{}, map[string]bool{}
	fired, unfired := map[string]int{}, 0
	for _, r := range l.results {
		kind := r.work.kind.String()
		switch {
		case r.warmUp:
			kind = "warm-up"
		case len(r.hits) == 0:
			unfired++
		default:
			fired[r.work.rule.Action.String()]++
		}
		if r.work.fenced() && !r.warmUp {
			kind += ", fenced"
		}
		if byKind[kind] == nil {
			byKind[kind] = map[string]int{}
		}
		byKind[kind][r.word]++
		words[r.word] = true
	}
	var b strings.Builder
	columns := sorted(words)
	fmt.Fprintf(&b, "  %-24s %s\n", "", strings.Join(columns, "  "))
	for _, kind := range sorted(byKind) {
		fmt.Fprintf(&b, "  %-24s", kind)
		for _, word := range columns {
			fmt.Fprintf(&b, " %*d ", len(word), byKind[kind][word])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "  acted: %v; did not come to it: %d\n", fired, unfired)
	slow := slices.MaxFunc(l.results, func(a, b *cutResult) int { return cmp.Compare(a.took, b.took) })
	fmt.Fprintf(&b, "  the longest took %v: %s (%v, %s)\n", slow.took.Round(time.Millisecond), slow.word, slow.work.kind, slow.work.cutPlan)
	if tried, done := l.moved(); tried > 0 {
		fmt.Fprintf(&b, "  tried again on another node: %d, with success: %d\n", tried, done)
	}
	hits := l.hitTypes()
	for _, dir := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
		fmt.Fprintf(&b, "  %v, failures at / messages:", dir)
		for typ, n := range l.messages[dir] {
			if n > 0 {
				fmt.Fprintf(&b, " %s %d/%d", faultproxy.TypeName(dir, byte(typ)), hits[dir][typ], n)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// moved counts the work that was cut on one node and tried again on another,
// and how often that succeeded.
func (l *cutLedger) moved() (tried, done int) {
	for _, r := range l.results {
		if r.moved() {
			tried++
			if r.fate == fateOnce {
				done++
			}
		}
	}
	return tried, done
}

// hitTypes counts failures by direction and type of message.
func (l *cutLedger) hitTypes() (hits [3][256]int) {
	for _, r := range l.results {
		for _, h := range r.hits {
			if !r.work.observe {
				hits[h.Direction][h.Type]++
			}
		}
	}
	return hits
}

// missed lists the types of messages that came past and were never hit.
func (l *cutLedger) missed() (names []string) {
	hits := l.hitTypes()
	for _, dir := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
		for typ, n := range l.messages[dir] {
			if n > 0 && hits[dir][typ] == 0 {
				names = append(names, fmt.Sprintf("%s %v", faultproxy.TypeName(dir, byte(typ)), dir))
			}
		}
	}
	return names
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
