package admission

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOrder takes random steps and looks after each whether the queue is what it
// should be: a plain list, in which a free slot goes to the first that wants it.
// Replay: go test ./cluster/internal/admission -run TestOrder -admission.seed N
func TestOrder(t *testing.T) {
	t.Logf("replay: go test ./cluster/internal/admission -run TestOrder -admission.seed %d", *seed)
	for run := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			b := &bed{T: t, gate: New(bedNodes, 2+8*int(run%2), nanos), rng: rand.New(rand.NewPCG(*seed, run))}
			for range 400 {
				b.step()
				b.check()
			}
		})
	}
}

const bedNodes = 3

// bed is a gate beside those who wait in the order in which they came, and the slots
// that are held.
type bed struct {
	*testing.T
	gate    *Gate
	rng     *rand.Rand
	waiting []*Waiter
	held    []slot
}

// slot is one that is held; by is who had waited for it.
type slot struct {
	node  int
	since int64
	by    *Waiter
}

func (b *bed) class() Class { return reads << b.rng.IntN(2) }

func (b *bed) step() {
	g, r := b.gate, b.rng
	node := r.IntN(bedNodes)
	switch p := r.IntN(20); {
	case p < 2:
		g.Open(node, Class(r.IntN(4)), r.IntN(2) == 0)
	case p < 5:
		class := b.class()
		past := b.wanted(node, g.nodes[node].open|class) != nil
		if g.TryEnter(node, class) {
			require.False(b, past, "overtaken")
			b.held = append(b.held, slot{node: node, since: nanos()})
		}
	case p < 10:
		b.add(g.Join(b.class(), r.IntN(bedNodes+1)-1, nanos()-r.Int64N(100)*r.Int64N(int64(time.Millisecond))))
	case p < 16 && len(b.held) > 0:
		b.leave(r.IntN(len(b.held)))
	case len(b.waiting) == 0:
	case p < 17:
		b.waiting[r.IntN(len(b.waiting))].Retry()
	case p < 18:
		b.waiting[r.IntN(len(b.waiting))].Move(b.class(), r.IntN(bedNodes+1)-1)
	case p < 19:
		i := r.IntN(len(b.waiting))
		_, granted := b.waiting[i].Quit()
		require.False(b, granted)
		b.waiting = append(b.waiting[:i:i], b.waiting[i+1:]...)
	default:
		time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
		for i := range bedNodes { // as the monitor does while it eases one in
			g.Open(i, g.nodes[i].open, g.nodes[i].eased)
		}
	}
}

// leave gives back a slot; if it was waited for, perhaps to wait again.
func (b *bed) leave(i int) {
	s := b.held[i]
	b.held = append(b.held[:i:i], b.held[i+1:]...)
	if s.by == nil || b.rng.IntN(3) > 0 {
		b.gate.Leave(s.node, s.since)
		return
	}
	b.add(s.by)
	s.by.Return(s.node)
}

// add puts one who waits where it belongs.
func (b *bed) add(w *Waiter) {
	at := 0
	for at < len(b.waiting) && b.waiting[at].before(w) {
		at++
	}
	b.waiting = slices.Insert(b.waiting, at, w)
}

// wanted returns the first of those who wait that wants a node.
func (b *bed) wanted(node int, open Class) *Waiter {
	for _, w := range b.waiting {
		if b.wants(w, node, open) {
			return w
		}
	}
	return nil
}

func (b *bed) wants(w *Waiter, node int, open Class) bool {
	for _, x := range w.barred {
		if x == node {
			return false
		}
	}
	return open&w.key.class != 0 && (w.key.only == Anywhere || w.key.only == node)
}

// check takes out those that were granted a slot, and finds nobody left who came
// before them and wants the same, nor anybody at all who wants what is free.
func (b *bed) check() {
	var left []*Waiter
	for _, w := range b.waiting {
		node := received(w)
		if node < 0 {
			left = append(left, w)
			continue
		}
		open := b.gate.nodes[node].open
		require.True(b, b.wants(w, node, open))
		for _, before := range left {
			require.False(b, b.wants(before, node, open), "overtaken")
		}
		b.held = append(b.held, slot{node: node, since: nanos(), by: w})
	}
	b.waiting = left
	require.Equal(b, len(left), b.gate.Waiting())
	var inUse [bedNodes]int
	for _, s := range b.held {
		inUse[s.node]++
	}
	for node := range bedNodes {
		require.Equal(b, inUse[node], b.gate.InUse(node))
		if b.gate.room(node) {
			require.Nil(b, b.wanted(node, b.gate.nodes[node].open), "there is room for it")
		}
	}
}
