package check

import (
	"maps"
	"slices"

	"github.com/anywriter/anywriter/sqltest/history"
)

// Registers holds reads and writes of registers, each of which only one client
// writes, always to a greater value, against their final values by key. With
// one writer and growing values, "no read goes back behind an acknowledged
// write or an earlier read" is all that linearizability demands.
func Registers(ops []history.Op, final map[int]int64) *Verdict {
	v := &Verdict{}
	v.count(ops)
	keys := map[int]bool{}
	for _, op := range ops {
		keys[op.Key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		writes := ofKind(ops, history.Write, key)
		v.growing(ofKind(ops, history.Read, key), writes, 0,
			func(bound int64, w history.Op) int64 { return max(bound, w.Value) })
		v.finalRegister(key, writes, final[key])
	}
	return v
}

func (v *Verdict) finalRegister(key int, writes []history.Op, final int64) {
	var least int64
	possible := final == 0
	for _, w := range writes {
		if w.Outcome == history.OK {
			least = max(least, w.Value)
		}
		if w.Value != final {
			continue
		}
		possible = possible || w.Outcome.MayHaveHappened()
		if w.Outcome != history.OK && possible {
			v.UnknownApplied++
		}
	}
	switch {
	case final < least:
		v.broken(Lost, "register %d holds %d, but %d was acknowledged", key, final, least)
	case !possible:
		v.broken(Ghost, "register %d holds %d, which nobody can have written", key, final)
	}
}
