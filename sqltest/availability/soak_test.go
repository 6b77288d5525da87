package availability_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/availability"
	"github.com/anywriter/anywriter/sqltest/history"
	"github.com/anywriter/anywriter/sqltest/workload"
)

var (
	long      = flag.Bool("long", false, "soak for much longer")
	soakSeed  = flag.Uint64("soak.seed", 0, "soak with this seed only")
	soakFrom  = flag.Uint64("soak.from", 1, "the first seed of TestSoak")
	soakSeeds = flag.Uint64("soak.seeds", 0, "how many seeds TestSoak plays; 0 means 2, or 40 with -long")
)

// soakTime is how long faults are played with one seed, in virtual time; soakRest is
// how long the load goes on when all are healed.
const (
	soakTime = 12 * time.Second
	soakRest = 4 * time.Second
)

// TestSoak plays random faults, up to two at a time, on a cluster under a mixed load:
// autocommit, plain transactions, RunTx with and without a key, all with the commit
// fence on. With two nodes sick there may be no majority, so operations may fail; but
// none takes effect twice, or against what its error says, none is lost, all end, and
// once the faults are over nothing fails any more.
//
//	go test ./sqltest/availability -run TestSoak -long -timeout 60m
//	go test -race ./sqltest/availability -run TestSoak -soak.from 1 -soak.seeds 10 -timeout 60m
//
// Under the race detector take ten seeds at a time: in longer runs of one process the
// detector itself has failed (a CHECK in tsan_rtl.cpp).
func TestSoak(t *testing.T) {
	first, many := *soakFrom, uint64(2)
	switch {
	case *soakSeed != 0:
		first, many = *soakSeed, 1
	case *soakSeeds != 0:
		many = *soakSeeds
	case *long:
		many = 40
	}
	for seed := first; seed < first+many; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { soak(t, seed) })
		})
	}
}

// soak plays one seed. The bubble of virtual time ends only when every goroutine has.
func soak(t *testing.T, seed uint64) {
	replay := fmt.Sprintf("go test ./sqltest/availability -run TestSoak -soak.seed %d", seed)
	t.Log("replay:", replay)
	g := simTarget(t, true, fenced)
	db := g.open(t)
	defer func() { require.NoError(t, db.Close()) }()
	c := clusterOf(t, db)
	waitUp(t, c)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	works := soakWorks(t, ctx, db, seed, replay)
	load, err := availability.NewLoad(availability.Config{DB: db, Workers: 4, Pace: 20 * time.Millisecond})
	require.NoError(t, err)
	load.Start()
	var running sync.WaitGroup
	for _, w := range works {
		running.Go(func() { assert.NoError(t, w.Run(ctx)) }) // ends with its Duration
	}
	played := playFaults(g.sim, seed)
	g.sim.Heal()
	require.NoError(t, g.sim.WaitReady(ctx))
	healed := time.Now()
	running.Wait()
	record := load.Stop()

	for _, op := range record.Since(healed.Add(time.Second)).Filter(availability.Failed) {
		if op.Began.After(healed.Add(time.Second)) {
			t.Errorf("an operation failed that began %v after the last fault: %v; replay: %s", op.Began.Sub(healed), op.Err, replay)
		}
	}
	assert.Less(t, record.Longest().Wait(), availability.DefaultDeadline+fenceWait, "replay: %s", replay)
	for _, w := range works {
		assert.NoError(t, w.Verify(ctx), "faults: %v", played)
		s := w.Stats()
		assert.Positive(t, s.OK)
		assert.Less(t, s.LongestWait, soakTimeout+fenceWait, "replay: %s", replay)
	}
	truth := g.compare(t, record)
	assert.Zero(t, truth.Lost+truth.Twice+truth.Denied, "%+v; replay: %s; faults: %v", truth, replay, played)
	require.Eventually(t, func() bool { return c.Leases() == 0 }, 10*time.Second, time.Millisecond, "leases are left; replay: %s", replay)
	t.Logf("%d faults; %d operations of the load, %d failed, %d unknown; %+v",
		len(played), len(record), record.Count(availability.Failed), record.Count(availability.Unknown), outcomes(t, db))
}

const (
	// soakTimeout bounds an operation of the workloads.
	soakTimeout = 3 * time.Second
	// fenceWait is how much longer an operation may take whose commit is resolved:
	// fence_resolve_timeout, and a round trip or two.
	fenceWait = 2500 * time.Millisecond
)

// outcomes are the counts of all nodes, to be printed.
func outcomes(t *testing.T, db *sql.DB) (all []any) {
	for _, n := range clusterOf(t, db).Stats().Nodes {
		all = append(all, n.Outcomes)
	}
	return all
}

// work is a workload with an oracle.
type work interface {
	Run(ctx context.Context) error
	Verify(ctx context.Context) error
	Setup(ctx context.Context) error
	Stats() workload.Stats
}

// soakWorks makes the workloads.
func soakWorks(t *testing.T, ctx context.Context, db *sql.DB, seed uint64, replay string) []work {
	t.Helper()
	cfg := func(table string, tx workload.TxFunc) workload.Config {
		return workload.Config{
			DB: db, Seed: seed, Clients: 3, Rate: 20, Duration: soakTime + soakRest, Timeout: soakTimeout,
			Tx: tx, Table: "soak_" + table, Replay: replay, Classify: classify,
		}
	}
	var works []work
	add := func(w work, err error) {
		require.NoError(t, err)
		require.NoError(t, w.Setup(ctx))
		works = append(works, w)
	}
	add(workload.NewBank(workload.BankConfig{Config: cfg("bank", runTx(""))}))
	add(workload.NewCounter(cfg("counter", runTx("counter"))))
	add(workload.NewCounter(cfg("plain", workload.PlainTx)))
	add(workload.NewRegisters(cfg("registers", runTx(""))))
	add(workload.NewUniqueIDs(cfg("ids", nil), false))
	return works
}

// classify is the workloads' own but for an INSERT … RETURNING that the fence has found
// committed while its rows are lost: there is no telling which they were.
func classify(err error) history.Outcome {
	if err != nil && driver.OutcomeOf(err) == driver.Committed {
		return history.Unknown
	}
	return workload.Classify(err)
}

// runTx is the driver's runner of transactions, as the workloads take it.
func runTx(key string) workload.TxFunc {
	return func(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(ctx context.Context, tx *sql.Tx) error) error {
		return driver.RunTx(ctx, db, &driver.TxOptions{TxOptions: *opts, Key: key}, fn)
	}
}

// playFaults plays two lanes of random faults until soakTime is over, heals all of
// them, and returns what it has played.
func playFaults(sim *simnode.Sim, seed uint64) []string {
	end := time.Now().Add(soakTime)
	var mu sync.Mutex
	var played []string
	var lanes sync.WaitGroup
	for lane := range 2 {
		random := rand.New(rand.NewPCG(seed, uint64(lane)))
		lanes.Go(func() { // ends at end
			for began := time.Now(); time.Now().Before(end); {
				<-time.After(time.Duration(random.IntN(800)) * time.Millisecond)
				node := 1 + random.IntN(nodes)
				f := soakFaults[random.IntN(len(soakFaults))]
				lasts := time.Duration(20+random.IntN(1500)) * time.Millisecond
				mu.Lock()
				played = append(played, fmt.Sprintf("%v %s of node %d for %v", time.Since(began).Round(time.Millisecond), f.name, node, lasts))
				mu.Unlock()
				heal := f.hurt(sim, sim.Node(node), random)
				<-time.After(lasts)
				heal()
			}
		})
	}
	lanes.Wait()
	return played
}

// soakFault is one kind of fault. Where a node has been killed by the other lane, it
// may do nothing.
type soakFault struct {
	name string
	hurt func(s *simnode.Sim, n *simnode.Node, random *rand.Rand) (heal func())
}

var soakFaults = []soakFault{
	{"kill", func(_ *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() { return n.Kill() }},
	{"freeze", func(_ *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() { return n.Freeze() }},
	{"isolation", func(_ *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() { return n.Isolate() }},
	{"read-only", func(_ *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() { return n.SetReadOnly() }},
	{"resets", func(_ *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() {
		return every(100*time.Millisecond, n.Reset)
	}},
	{"black hole to", func(s *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() {
		return s.PartitionOneWay(places(simnode.AtClients()), places(simnode.AtNode(n.Number())))
	}},
	{"black hole from", func(s *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() {
		return s.PartitionOneWay(places(simnode.AtNode(n.Number())), places(simnode.AtClients()))
	}},
	{"lost peers", func(s *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() {
		return s.Partition(places(simnode.AtNode(n.Number())), places(simnode.AtNode(1+n.Number()%nodes), simnode.AtNode(1+(n.Number()+1)%nodes)))
	}},
	{"lost storage", func(s *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() {
		return s.Partition(places(simnode.AtNode(n.Number())), places(simnode.AtStorage()))
	}},
	{"latency", func(s *simnode.Sim, n *simnode.Node, random *rand.Rand) func() {
		undo, err := s.SetLatency(simnode.AtClients(), simnode.AtNode(n.Number()), time.Duration(random.IntN(200))*time.Millisecond, 0)
		return orNothing(undo, err)
	}},
	{"loss", func(s *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() {
		undo, err := s.SetLoss(simnode.AtNode(n.Number()), simnode.AtStorage(), 0.2)
		return orNothing(undo, err)
	}},
	{"connection limit", func(_ *simnode.Sim, n *simnode.Node, random *rand.Rand) func() {
		undo, err := n.SetMaxConnections(random.IntN(4))
		return orNothing(undo, err)
	}},
	{"drain", func(_ *simnode.Sim, n *simnode.Node, _ *rand.Rand) func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		undo, _ := n.Drain(ctx) // those that are left have been closed
		return orNothing(undo, nil)
	}},
	{"lost replies", func(_ *simnode.Sim, n *simnode.Node, random *rand.Rand) func() {
		point := []simnode.CommitPoint{simnode.BeforeCommit, simnode.AfterCommit}[random.IntN(2)]
		undo, err := n.DropCommitReply(point, 1+random.IntN(5))
		return orNothing(undo, err)
	}},
	{"lag", func(_ *simnode.Sim, n *simnode.Node, random *rand.Rand) func() {
		err := n.SetLag(time.Duration(random.IntN(300)) * time.Millisecond)
		return orNothing(func() { _ = n.SetLag(0) }, err) // a killed node has none
	}},
	{"stopped storage node", func(s *simnode.Sim, _ *simnode.Node, random *rand.Rand) func() {
		undo, err := s.StopStorage(1 + random.IntN(6))
		return orNothing(undo, err)
	}},
}

func places(all ...simnode.Endpoint) []simnode.Endpoint { return all }

// orNothing is what heals a fault; nothing if it couldn't be made because the node is
// killed.
func orNothing(undo func(), err error) func() {
	if err != nil || undo == nil {
		return func() {}
	}
	return undo
}
