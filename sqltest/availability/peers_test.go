package availability_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/sqltest/availability"
)

// subject is who is measured: the driver, or one of its peers.
type subject struct {
	name    string
	doer    availability.Doer
	cluster *cluster.Cluster // the driver's; nil for a peer
	traffic *traffic         // a peer's; nil for the driver, which counts itself
	close   func() error
}

// ours opens the driver.
func (g *target) ours(t *testing.T) subject {
	t.Helper()
	db := g.open(t)
	return subject{name: "anywriter", doer: db, cluster: clusterOf(t, db), close: db.Close}
}

// multiHost is plain pgx with the list of hosts in its DSN.
func (g *target) multiHost(t *testing.T) subject {
	t.Helper()
	sent := &traffic{of: g}
	db := sent.open(t, g.dsn)
	return subject{name: "pgx, multi-host", doer: db, traffic: sent, close: db.Close}
}

// roundRobin takes one plain sql.DB per node in turn, and leaves one out for a
// second after an error.
func (g *target) roundRobin(t *testing.T) subject {
	t.Helper()
	r, sent := &rotation{}, &traffic{of: g}
	for _, dsn := range g.each {
		r.dbs = append(r.dbs, sent.open(t, dsn))
	}
	return subject{name: "pgx, round robin over three `sql.DB`", doer: r, traffic: sent, close: r.close}
}

// peers are the ways without the driver.
func (g *target) peers() []func(*testing.T) subject {
	return []func(*testing.T) subject{g.multiHost, g.roundRobin}
}

// rotation is what many applications write by hand.
type rotation struct {
	dbs     []plain
	turn    atomic.Uint64
	skipped [nodes]atomic.Int64 // until when, in nanoseconds
}

// next returns the next node that isn't left out; if all are, simply the next.
func (r *rotation) next() int {
	first := int(r.turn.Add(1)) % len(r.dbs)
	for k := range r.dbs {
		if i := (first + k) % len(r.dbs); time.Now().UnixNano() >= r.skipped[i].Load() {
			return i
		}
	}
	return first
}

func (r *rotation) note(i int, err error) {
	if err != nil {
		r.skipped[i].Store(time.Now().Add(time.Second).UnixNano())
	}
}

// ExecContext runs a statement on the next node.
func (r *rotation) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	i := r.next()
	result, err := r.dbs[i].ExecContext(ctx, query, args...)
	r.note(i, err)
	return result, err
}

// QueryRowContext runs a query on the next node.
func (r *rotation) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	i := r.next()
	row := r.dbs[i].QueryRowContext(ctx, query, args...)
	r.note(i, row.Err())
	return row
}

func (r *rotation) close() error {
	for _, db := range r.dbs {
		if err := db.Close(); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until the driver has found all nodes.
func (s subject) ready(t *testing.T) {
	t.Helper()
	if s.cluster != nil {
		waitUp(t, s.cluster)
	}
}

// stalled returns how to find out when the process stood still, if the subject
// knows.
func (s subject) stalled() func() time.Time {
	if s.cluster == nil {
		return nil
	}
	return func() time.Time { return s.cluster.Stats().LastStall }
}

func (s subject) stats() cluster.Stats {
	if s.cluster == nil {
		return cluster.Stats{}
	}
	return s.cluster.Stats()
}

// share returns the healed node's share of the operations; of a peer's, its share
// of the messages sent. In virtual time it is that of one interval; the driver's on
// a busy machine is repeated until it is what it ought to be, ten times at most.
func (s subject) share(g *target, d time.Duration) float64 {
	for round := 1; ; round++ {
		before := s.counts()
		<-time.After(d)
		after, total := s.counts(), 0.0
		for i := range after {
			total += after[i] - before[i]
		}
		share := (after[sick] - before[sick]) / max(total, 1)
		if g.virtual || s.cluster == nil || round == 10 || share >= 0.25 && share <= 0.42 {
			return share
		}
	}
}

// counts returns what each node has been given so far.
func (s subject) counts() []float64 {
	out := make([]float64, nodes)
	if s.cluster != nil {
		for i, n := range s.cluster.Stats().Nodes {
			out[i] = float64(n.Picks)
		}
		return out
	}
	for i := range out {
		out[i] = float64(s.traffic.sent[i].Load())
	}
	return out
}

// opened returns how many connections have been opened to the sick node, those for
// cancel requests included.
func (s subject) opened() int64 {
	if s.cluster != nil {
		return s.cluster.Stats().Nodes[sick].Opened
	}
	return s.traffic.opened[sick].Load()
}
