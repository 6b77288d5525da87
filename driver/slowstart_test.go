package driver_test

import (
	"context"
	"database/sql"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// comeback is a node that was down and comes back to a crowd that has waited for it,
// with what happens to it since, by the time since it was found well.
type comeback struct {
	mu       sync.Mutex
	at       time.Time // when it was found well; zero before
	dialed   []time.Duration
	entered  []time.Duration
	suspects int
}

func (b *comeback) note(list *[]time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.at.IsZero() {
		*list = append(*list, time.Since(b.at))
	}
}

// until counts what has happened up to some time.
func (b *comeback) until(list *[]time.Duration, limit time.Duration) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, at := range *list {
		if at <= limit {
			n++
		}
	}
	return n
}

// doubts returns how often it was in doubt.
func (b *comeback) doubts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.suspects
}

func (b *comeback) state(_ string, to health.State, _ health.Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case to == health.Recovering && b.at.IsZero():
		b.at = time.Now()
	case to == health.Suspect && !b.at.IsZero():
		b.suspects++
	}
}

// crowd brings a node back to a crowd of transactions that each last for a while, and
// calls then when it is found well.
func crowd(t *testing.T, size int, lasts time.Duration, then func(b *comeback, n *simnode.Node)) {
	sim := startSim(t, simnode.Config{Nodes: 1, InMemory: true})
	var b *comeback // nil before the node's fall
	var mu sync.Mutex
	now := func() *comeback {
		mu.Lock()
		defer mu.Unlock()
		return b
	}
	cfg := config(t, sim.DSN()+"&max_conns_per_node=400&acquire_timeout=20s")
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := sim.Dial(ctx, network, addr)
		if b := now(); err == nil && b != nil {
			b.note(&b.dialed)
		}
		return conn, err
	}
	cfg.Events = cluster.EventListener{StateChanged: func(node string, to health.State, why health.Reason) {
		if b := now(); b != nil {
			b.state(node, to, why)
		}
	}}
	db := sql.OpenDB(driver.NewConnector(cfg))
	defer func() { require.NoError(t, db.Close()) }()
	waitState(t, db, 0, health.Up)
	start := sim.Node(1).Kill()
	waitState(t, db, 0, health.Down)
	back := &comeback{}
	mu.Lock()
	b = back
	mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range size {
		running.Go(func() { // ends with the context
			for ctx.Err() == nil {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					continue
				}
				if _, err = tx.ExecContext(ctx, "select 1"); err == nil {
					back.note(&back.entered)
					time.Sleep(lasts)
				}
				_ = tx.Rollback()
			}
		})
	}
	time.Sleep(time.Second)
	start()
	sim.Node(1).SetMaxConnections(1000)
	waitState(t, db, 0, health.Recovering)
	then(back, sim.Node(1))
	cancel()
	running.Wait()
}

// TestSlowStartInDoubt: a node that has just come back is dialed fifty times a second,
// also if it falls silent meanwhile and is taken for doubtful: it isn't well for that.
func TestSlowStartInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const prober = 1
		crowd(t, 300, 100*time.Millisecond, func(b *comeback, n *simnode.Node) {
			time.Sleep(400 * time.Millisecond)
			thaw := n.Freeze()
			time.Sleep(300 * time.Millisecond)
			thaw()
			time.Sleep(2 * time.Second)
			assert.Positive(t, b.doubts(), "the silence was noticed")
			for at := 100 * time.Millisecond; at <= 2*time.Second; at += 100 * time.Millisecond {
				assert.LessOrEqual(t, b.until(&b.dialed, at), prober+8+int(50*at/time.Second), "new connections in %v", at)
			}
			assert.Greater(t, b.until(&b.dialed, 2*time.Second), 80, "they are wanted")
		})
	})
}

// TestSlowStartOfTheQueue: the queue enters such a node at its pace from the first
// moment on, in steps of a twentieth of a second, and needn't wait for anybody to leave.
func TestSlowStartOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crowd(t, 300, 5*time.Second, func(b *comeback, _ *simnode.Node) {
			time.Sleep(3 * time.Second)
			for at := 100 * time.Millisecond; at <= 2*time.Second; at += 100 * time.Millisecond {
				entered := b.until(&b.entered, at)
				assert.GreaterOrEqual(t, entered, 8+int(50*(at-80*time.Millisecond)/time.Second), "entered in %v", at)
				assert.LessOrEqual(t, entered, 8+int(50*at/time.Second), "entered in %v", at)
			}
		})
	})
}
