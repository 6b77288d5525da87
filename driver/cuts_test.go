package driver_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

var (
	cutSeed  = flag.Uint64("cuts.seed", 1, "seed of the cut matrix")
	cutCount = flag.Int("cuts.count", 0, "number of cuts per server; 0: 400 on PostgreSQL and 1,600 on the simulator where PostgreSQL is required (in CI), else a quarter, and ten times that with -long")
	cutOnly  = flag.Int("cuts.only", -1, "run the cut of this number only")
)

// TestCutMatrix breaks the connection under writes of every kind, at every
// message of both directions and at random bytes, by FIN, reset, freezes and
// lost replies, under contexts that last, expire and are cancelled; then it
// compares what each caller was told with what was written. On the simulator
// every DB has three nodes: the cut hits the one that carries the work, the
// others are there to try again on, and one of them is asked what was written.
func TestCutMatrix(t *testing.T) {
	t.Run("postgres", func(t *testing.T) { cutMatrix(t, postgresCuts(t)) })
	t.Run("simulator", func(t *testing.T) { cutMatrix(t, simulatorCuts(t)) })
}

func cutMatrix(t *testing.T, server *cutServer) {
	server.prepare(t)
	ledger, next := &cutLedger{}, atomic.Int64{}
	from, to := server.numbers()
	next.Store(int64(from) - cutBlock)
	began := time.Now()
	var workers sync.WaitGroup
	for slot := range server.workers {
		workers.Go(func() { // ends when no block is left
			w := &cutWorker{t: t, server: server, slot: slot, driver: "anywriter", ledger: ledger}
			defer w.close()
			for from := int(next.Add(cutBlock)); from < to && !t.Failed(); from = int(next.Add(cutBlock)) {
				w.block(from, min(from+cutBlock, to))
			}
		})
	}
	workers.Wait()
	server.settled(t)
	written := server.readTruths(t)
	t.Logf("%d cuts in %v\n%s", to-from, time.Since(began).Round(time.Millisecond), ledger.report())
	for _, r := range ledger.results {
		if wrong := written[r.witness(len(written))].check(r); wrong != "" {
			t.Errorf("%s: cut %d: %v\n    replay: go test ./driver -run 'TestCutMatrix/%s' -v -cuts.seed=%d -cuts.only=%d",
				wrong, r.work.id, r, server.name, *cutSeed, r.work.cutPlan.id)
		}
	}
	for _, wrong := range written[0].checkCounters(ledger.results) {
		t.Error(wrong)
	}
	if to-from < directedRounds*len(directed) || t.Failed() {
		return
	}
	require.Empty(t, ledger.missed(), "messages that came past and were never hit")
	if len(server.nodes) > 1 {
		_, done := ledger.moved()
		require.Positive(t, done, "work that was cut on one node and done on another")
	}
}

// cutWorker makes one cut after the other, in blocks.
type cutWorker struct {
	t      *testing.T
	server *cutServer
	slot   int
	driver string
	ledger *cutLedger

	// Of the current block:
	proxy   *faultproxy.Proxy // with a route to each node
	probers *connSet
	visited *visits
	cancels atomic.Bool // requests to cancel get through
	db      *sql.DB
	started *faultproxy.Armed // has seen every connection start
	last    *faultproxy.Proxy // the block's before: what goes on late shall still get to the server
}

// block makes the cuts of some numbers, all of one block.
func (w *cutWorker) block(from, to int) {
	for id := from; id < to && !w.t.Failed(); id++ {
		w.cut(drawCut(*cutSeed, id, w.server.traits()))
	}
	w.closeDB()
}

// open opens a proxy and a DB behind it.
func (w *cutWorker) open(c cutConfig) {
	cfg, err := faultproxy.TCP(w.server.nodes...)
	if err != nil {
		w.t.Error(err)
		return
	}
	for i := range cfg.More {
		cfg.More[i].Dial = lazily(cfg.More[i].Dial)
	}
	cfg.Dial = lazily(cfg.Dial)
	if w.proxy, err = faultproxy.Start(cfg); err != nil {
		w.t.Error(err)
		return
	}
	probers := &connSet{} // this proxy's: the one before may still be at work
	w.probers, w.visited = probers, &visits{}
	watchProbers(w.proxy, probers)
	w.cancels.Store(c.cancels)
	w.proxy.MustAdd(faultproxy.Rule{
		Direction: faultproxy.ToServer, Type: faultproxy.CancelRequest, Action: faultproxy.Cut, Times: -1,
		Match: func(faultproxy.Message) bool { return !w.cancels.Load() },
	})
	w.started = w.proxy.MustAdd(faultproxy.Rule{
		Direction: faultproxy.ToClient, Type: 'K', Action: faultproxy.Observe, Times: -1,
		Match: func(m faultproxy.Message) bool { return !probers.has(m.Conn) },
	})
	hosts := make([]string, 0, len(w.server.nodes))
	for _, addr := range w.proxy.Addrs() {
		hosts = append(hosts, addr.String())
	}
	dsn := withParams(w.server.dsn(strings.Join(hosts, ",")), c.params...)
	if w.driver != "anywriter" {
		if w.db, err = sql.Open(w.driver, dsn); err != nil {
			w.t.Error(err)
		}
		return
	}
	for i := range hosts {
		probers.add(int64(i + 1)) // the pools open none before the prober's first round
	}
	dsn = withParams(dsn, "min_idle=0", "max_conns_per_node=4", "acquire_timeout=10s", "dial_timeout=5s")
	if c.fence {
		dsn = withParams(withParams(dsn, w.server.fence...), "fence_resolve_timeout=15s")
	}
	config, err := driver.ParseConfig(dsn)
	if err != nil {
		w.t.Error(err)
		return
	}
	config.Events.Picked = w.visited.add
	w.db = sql.OpenDB(driver.NewConnector(config))
}

// node is the address of a node as the DB knows it.
func (w *cutWorker) node(n int) string { return w.proxy.Addrs()[n].String() }

// closeDB closes the DB, and the proxy of the block before.
func (w *cutWorker) closeDB() {
	if w.db == nil {
		return
	}
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
	w.endLast()
	w.db, w.proxy, w.last = nil, nil, w.proxy
}

func (w *cutWorker) endLast() {
	if w.last == nil {
		return
	}
	if err := w.last.Close(); err != nil {
		w.t.Error(err)
	}
	w.ledger.count(w.last)
	w.last = nil
}

func (w *cutWorker) close() {
	w.closeDB()
	w.endLast()
}

// warmUps keeps the ids of what was done to warm a connection up apart from
// those of the cuts.
const warmUps = 1_000_000_000

// cut carries a plan out.
func (w *cutWorker) cut(p *cutPlan) {
	if w.db == nil {
		w.open(p.cutConfig)
	}
	if w.t.Failed() {
		return
	}
	if p.warm {
		w.warmUp(p)
	} else {
		w.started.End(faultproxy.Reset) // the next connection is a new one
	}
	w.under(p)
}

// warmUp does the same work on every node, disturbed at most by what the cut
// before has left.
func (w *cutWorker) warmUp(p *cutPlan) {
	for n := range w.server.nodes {
		ctx := w.t.Context()
		if len(w.server.nodes) > 1 {
			ctx = driver.WithNode(ctx, w.node(n))
		}
		work := cutWork{cutPlan: p, id: p.id + (1+n)*warmUps, slot: w.slot}
		if p.kind == cutRolledBack || p.kind == cutFailing {
			plain := *p
			plain.kind = cutTx
			work.cutPlan = &plain
		}
		w.perform(ctx, &cutResult{work: work, warmUp: true})
	}
}

// perform runs the work and notes what came of it.
func (w *cutWorker) perform(ctx context.Context, r *cutResult) {
	ctx, cancel := context.WithTimeout(ctx, longestCut+time.Second)
	defer cancel()
	w.visited.clear()
	began := time.Now()
	r.err = r.work.run(ctx, w.db)
	r.took = time.Since(began)
	r.nodes = w.visited.routes(w.proxy)
	r.judge()
	w.ledger.add(r)
}

// under runs the work of a plan with its rule in force.
func (w *cutWorker) under(p *cutPlan) {
	ctx, cancel := p.context(w.t.Context())
	defer cancel()
	probers := w.probers
	ours := func(m faultproxy.Message) bool { return !probers.has(m.Conn) }
	rule := p.rule
	if !p.probers {
		rule.Match = ours
	}
	w.cancels.Store(p.cancels || rule.Type == faultproxy.CancelRequest)
	armed := w.proxy.MustAdd(rule)
	acted, over := armed.Done(), make(chan struct{})
	var helpers sync.WaitGroup
	if p.cancel {
		helpers.Go(func() { after(acted, over, 0, cancel) }) // ends with the work
	}
	if p.cancelAt != nil {
		at := *p.cancelAt
		at.Match = ours
		cancelling := w.proxy.MustAdd(at)
		defer cancelling.Remove()
		helpers.Go(func() { after(cancelling.Done(), over, 0, cancel) }) // ends with the work
	}
	if p.ending == endThaw {
		helpers.Go(func() { after(acted, over, p.frozen, armed.Thaw) }) // ends with the work
	}
	if p.ending == endReset {
		helpers.Go(func() { after(acted, over, p.frozen, func() { armed.End(faultproxy.Reset) }) }) // ends with the work
	}
	r := &cutResult{work: cutWork{cutPlan: p, id: p.id, slot: w.slot}}
	if p.pinned && len(w.server.nodes) > 1 {
		ctx = driver.WithNode(ctx, w.node(p.id%len(w.server.nodes)))
	}
	if p.dropped != 0 {
		defer w.server.drop(w.t, p.dropped)()
	}
	w.perform(ctx, r)
	if p.farewell() {
		w.closeDB()
	}
	close(over)
	helpers.Wait()
	armed.Remove()
	r.hits = armed.Hits()
	if p.ending != endNone && len(r.hits) > 0 {
		<-acted
		armed.Thaw()
	}
}

// after calls f the given time after the event, unless it is over before.
func after(event, over <-chan struct{}, d time.Duration, f func()) {
	select {
	case <-event:
	case <-over:
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		f()
	case <-over:
	}
}

// TestCutMatrixSees shows that the matrix finds what it looks for: the same
// harness over pgx's stdlib finds INSERTs that were carried out twice, because
// pgx calls a lost reply on the simple protocol safe to retry.
func TestCutMatrixSees(t *testing.T) {
	server := postgresCuts(t)
	server.prepare(t)
	w := &cutWorker{t: t, server: server, driver: "pgx", ledger: &cutLedger{}}
	for id := range 40 {
		w.cut(&cutPlan{
			id: id, kind: cutExec, writes: "i", warm: true, cutConfig: cutConfig{params: []string{"sslmode=disable"}},
			rule: faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.CutReply},
		})
	}
	w.close()
	server.settled(t)
	written := server.readTruths(t)[0]
	twice, told := 0, 0
	for _, r := range w.ledger.results {
		if r.warmUp {
			require.NoError(t, r.err)
			require.Empty(t, written.check(r), r)
			continue
		}
		require.Len(t, r.hits, 1)
		if written.check(r) == "written twice" {
			twice++
		}
		if r.err != nil {
			told++
		}
	}
	t.Logf("pgx stdlib: of 40 lost replies %d rows written twice, %d errors", twice, told)
	if told == 40 {
		t.Skip("pgx reports every lost reply: it has been repaired, and this control shows nothing any more")
	}
	require.Positive(t, twice, fmt.Sprint(told))
}
