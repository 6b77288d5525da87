package availability_test

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/sqltest/availability"
)

var (
	only = flag.String("matrix.only", "", "run only the fault of this name")
	all  = flag.Bool("matrix.all", false, "run every fault in real time, too, and not only those of the short list")
)

const (
	// measurements is how often a bound in real time may be measured before it
	// counts as broken: what a busy machine adds once says nothing about the
	// driver, while a driver that is too slow is so every time. What may never
	// happen is checked every time.
	measurements = 3
	longestWait  = time.Second
)

// phases says how long the parts of one measurement take.
type phases struct {
	pace, warm, well, hurt, after, share time.Duration
}

// slowTime is how long a slow node stays slow. It is found by its first slow answers,
// which each worker may have to wait for once: 200 ms of 16 workers are 2 % of the
// load of ten seconds, so that even these are within the bound.
const slowTime = 10 * time.Second

// phasesOf returns the phases for a target: time is free in virtual time, but the
// work done in it isn't.
func phasesOf(g *target, f fault) phases {
	p := phasesFor(g, f)
	if f.bounds.slow {
		p.hurt = slowTime
	}
	return p
}

func phasesFor(g *target, f fault) phases {
	switch {
	case g.virtual && f.bounds.fenced:
		return phases{pace: 20 * time.Millisecond, warm: time.Second, well: time.Second, hurt: 4 * time.Second, after: 5 * time.Second, share: 5 * time.Second}
	case g.virtual:
		return phases{pace: 20 * time.Millisecond, warm: time.Second, well: 3 * time.Second, hurt: 10 * time.Second, after: 10 * time.Second, share: 5 * time.Second}
	case *write:
		return phases{pace: 5 * time.Millisecond, warm: time.Second, well: 2 * time.Second, hurt: 5 * time.Second, after: 8 * time.Second, share: 2 * time.Second}
	case *all:
		return phases{pace: 5 * time.Millisecond, warm: 500 * time.Millisecond, well: time.Second, hurt: 4 * time.Second, after: time.Second, share: time.Second}
	default:
		return phases{pace: 5 * time.Millisecond, warm: 300 * time.Millisecond, well: 700 * time.Millisecond, hurt: 2 * time.Second, after: time.Second, share: time.Second}
	}
}

// result is what one measurement saw.
type result struct {
	record               availability.Record
	well, hurt, healed   time.Time // when the phases began
	ended                time.Time
	share                float64 // of the healed node's operations, at the end
	cuts                 int64   // sockets of the sick node
	dialed               float64 // sockets opened per second to the sick node, from the fault on
	before, after        cluster.Stats
	truth                availability.Truth
	unhurt, during, then availability.Record
}

// gap is the longest time without any success from the fault on.
func (r *result) gap() time.Duration { return r.record.LongestGap(r.hurt, r.ended) }

// measure runs the load against a subject, hurts a node and heals it.
func measure(t *testing.T, g *target, who subject, p phases, deadline time.Duration, hurt func() (heal func())) *result {
	t.Helper()
	out := &result{}
	who.ready(t)
	load, err := availability.NewLoad(availability.Config{DB: who.doer, Pace: p.pace, Deadline: deadline, Stalled: who.stalled()})
	require.NoError(t, err)
	load.Start()
	<-time.After(p.warm)
	out.well, out.before = time.Now(), who.stats()
	<-time.After(p.well)
	out.hurt = time.Now()
	opened := who.opened()
	heal := hurt()
	<-time.After(p.hurt)
	heal()
	out.healed = time.Now()
	<-time.After(p.after)
	out.share = who.share(g, p.share)
	out.after = who.stats()
	out.ended = time.Now()
	out.record = load.Stop()
	out.dialed = float64(who.opened()-opened) / time.Since(out.hurt).Seconds()
	if who.cluster != nil {
		out.cuts = out.after.Nodes[sick].Cuts - out.before.Nodes[sick].Cuts
	}
	out.unhurt = out.record.Between(out.well, out.hurt)
	out.during = out.record.Between(out.hurt, out.healed)
	out.then = out.record.Since(out.hurt)
	return out
}

// TestMatrix hurts one of three nodes in every way that there is, under a load
// from 16 goroutines, and heals it. In virtual time it does so always; in real
// time, on the simulator over TCP, two faults stand for the rest, and three servers
// are hurt only on request:
//
//	go test ./sqltest/availability -run TestMatrix -matrix.all -v
//	go test ./sqltest/availability -run TestMatrix -matrix.only 'kill -9' -v
func TestMatrix(t *testing.T) {
	t.Run("virtual", func(t *testing.T) {
		for _, f := range matrix() {
			if f.sim != nil && (*only == "" || *only == f.name) {
				t.Run(f.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { onSimulator(t, f, true) })
				})
			}
		}
	})
	t.Run("fenced", func(t *testing.T) {
		for _, f := range matrix() {
			if f.sim != nil && (*only == "" || *only == f.name) {
				f.name, f.bounds.fenced = f.name+", commit fence on", true
				t.Run(f.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { onSimulator(t, f, true) })
				})
			}
		}
	})
	t.Run("TCP", func(t *testing.T) {
		for _, f := range matrix() {
			if f.sim != nil && f.inRealTime() {
				t.Run(f.name, func(t *testing.T) { onSimulator(t, f, false) })
			}
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		if !*all && !*write && *only == "" {
			t.Skip("TestSickServers of package driver stands for it; -matrix.all runs it")
		}
		servers := postgresServers(t)
		for _, f := range matrix() {
			if f.inRealTime() {
				t.Run(f.name, func(t *testing.T) { onPostgres(t, servers, f) })
			}
		}
	})
}

// inRealTime reports whether the fault is wanted in real time.
func (f *fault) inRealTime() bool {
	return *only == f.name || *only == "" && (*all || *write || f.short && !raceEnabled)
}
