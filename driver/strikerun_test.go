package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// strikeTarget is what the matrix runs against.
type strikeTarget struct {
	addrs    []string // of the servers; each is put behind a proxy of its own
	truth    *sql.DB  // around the proxies
	fenced   bool     // the driver's commit fence is on
	postgres bool
	reuse    int // how many strikes a lane lasts, because new connections cost so much
	// open opens the database under test at the proxies' addresses.
	open func(lane *strikeLane, addrs []string) (*sql.DB, error)
	// settle returns when nothing that the lane has sent can take effect any more.
	settle func(ctx context.Context, lane *strikeLane) error
}

// Bounds of one strike. Neither is met unless something hangs.
const (
	strikePatience = 30 * time.Second // of the operation
	strikeLimit    = time.Minute      // of all of it
)

// strikeLane is one worker's database under test and its proxies.
type strikeLane struct {
	target  *strikeTarget
	worker  int64
	proxies []*faultproxy.Proxy
	wires   strikeWires
	db      *sql.DB
	used    int // by so many strikes
}

// openLane starts the proxies and opens the database behind them.
func openLane(target *strikeTarget, worker int64) (*strikeLane, error) {
	l := &strikeLane{target: target, worker: worker}
	var addrs []string
	for _, addr := range target.addrs {
		cfg, err := faultproxy.TCP(addr)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		proxy, err := faultproxy.Start(cfg)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.proxies = append(l.proxies, proxy)
		addrs = append(addrs, proxy.Addr().String())
	}
	db, err := target.open(l, addrs)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	l.db = db
	return l, nil
}

// close ends the proxies first, so that closing the database waits for no server.
func (l *strikeLane) close() error {
	if l == nil {
		return nil
	}
	for _, p := range l.proxies {
		_ = p.Close() // of the listener: nothing depends on it
	}
	if l.db == nil {
		return nil
	}
	return l.db.Close()
}

// clear ends all faults.
func (l *strikeLane) clear() {
	for _, p := range l.proxies {
		p.Clear()
		p.Thaw()
	}
}

// messages counts what the proxies have seen.
func (l *strikeLane) messages() (seen [3][256]int64) {
	for _, p := range l.proxies {
		for _, dir := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
			for typ := range seen[dir] {
				seen[dir][typ] += p.Messages(dir, byte(typ))
			}
		}
	}
	return seen
}

// strikeRun is one strike while it runs.
type strikeRun struct {
	*strike
	lane  *strikeLane
	over  chan struct{} // closed when the operation has ended
	holds sync.WaitGroup

	mu    sync.Mutex
	fired []strikePoint
}

// strikeResult is what came of a strike: what the caller was told and the truth.
type strikeResult struct {
	err         error
	hung        bool          // the operation didn't end by itself
	truth       bool          // rows and count are known
	rows, count int64         // that the operation has added
	fired       []strikePoint // the messages at which faults happened
	seen        [3][256]int64
}

// run carries the strike out. The error says that the truth couldn't be found out.
func (c *strike) run(lane *strikeLane) (res strikeResult, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), strikeLimit)
	defer cancel()
	r := &strikeRun{strike: c, lane: lane, over: make(chan struct{})}
	lane.used++
	if err := r.prepare(ctx); err != nil {
		return res, fmt.Errorf("before the strike: %w", err)
	}
	op := strikeOp{id: int64(c.number), counter: lane.worker, statements: c.statements}
	before, err := lane.target.read(ctx, op)
	if err != nil {
		return res, err
	}
	sent := lane.messages()
	res.err, res.hung = r.operate(ctx, op)
	lane.clear()
	if err := lane.target.settle(ctx, lane); err != nil {
		return res, fmt.Errorf("after the strike, whose error was %v: %w", res.err, err)
	}
	after, err := lane.target.read(ctx, op)
	res.truth = err == nil
	res.rows, res.count = after.rows-before.rows, after.count-before.count
	res.fired, res.seen = r.fired, lane.messages()
	for dir := range res.seen {
		for typ := range res.seen[dir] {
			res.seen[dir][typ] -= sent[dir][typ]
		}
	}
	return res, err
}

// prepare brings the driver into the state in which the strike finds it.
func (r *strikeRun) prepare(ctx context.Context) error {
	switch r.state {
	case strikeReady:
		return r.lane.db.PingContext(ctx)
	case strikeWarm:
		return r.kind.run(ctx, r.lane.db, strikeOp{id: -int64(r.number), counter: -r.lane.worker, statements: r.statements})
	default:
		return nil
	}
}

// operate runs the operation with the faults in force.
func (r *strikeRun) operate(ctx context.Context, op strikeOp) (err error, hung bool) {
	patient, done := context.WithTimeout(ctx, strikePatience)
	defer done()
	ctx, cancel := context.WithCancel(patient)
	defer cancel()
	for _, f := range r.faults {
		r.arm(f)
	}
	if c := r.cancel; c != nil {
		r.add(faultproxy.Rule{Direction: c.dir, Action: faultproxy.Observe, Match: c.at(func(byte) bool {
			cancel()
			return false
		})})
	}
	err = r.kind.run(ctx, r.lane.db, op)
	hung = patient.Err() != nil
	close(r.over)
	r.holds.Wait()
	return err, hung
}

// add puts a rule in force on every proxy.
func (r *strikeRun) add(rule faultproxy.Rule) (armed []*faultproxy.Armed) {
	for _, p := range r.lane.proxies {
		armed = append(armed, p.MustAdd(rule))
	}
	return armed
}

// arm puts a fault in force.
func (r *strikeRun) arm(f strikeFault) {
	for _, armed := range r.add(f.rule(f.at(func(typ byte) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fired = append(r.fired, strikePoint{dir: f.dir, typ: typ})
		return true
	}))) {
		if f.action == faultproxy.Hold {
			r.holds.Go(func() { r.hold(f, armed) }) // ends when the operation does, at the latest
		}
	}
}

// hold ends a Hold, once, when its time has come.
func (r *strikeRun) hold(f strikeFault, armed *faultproxy.Armed) {
	select {
	case <-armed.Done():
	case <-r.over:
		return
	}
	for _, p := range r.lane.proxies {
		if f.all {
			defer p.Freeze()()
		}
	}
	timer := time.NewTimer(f.hold)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.over:
	}
	if f.reset {
		armed.End(faultproxy.Reset)
	}
	armed.Thaw()
}

// strikeTruth is what the servers hold of an operation.
type strikeTruth struct{ rows, count int64 }

func (t *strikeTarget) read(ctx context.Context, op strikeOp) (truth strikeTruth, err error) {
	if err := t.truth.QueryRowContext(ctx, "select count(*) from strike_log where id = $1", op.id).Scan(&truth.rows); err != nil {
		return truth, err
	}
	err = t.truth.QueryRowContext(ctx, "select n from strike_counter where id = $1", op.counter).Scan(&truth.count)
	return truth, err
}

// executions is how often the operation has run, by its rows and increments.
func (c *strike) executions(res strikeResult) (times int64, err error) {
	rows, count := c.kind.effect(c.statements)
	if rows > 0 {
		times = res.rows / rows
	} else {
		times = res.count / count
	}
	if res.rows != times*rows || res.count != times*count {
		return 0, fmt.Errorf("torn: %d rows and %d increments, one execution makes %d and %d", res.rows, res.count, rows, count)
	}
	return times, nil
}

// judge holds the caller's knowledge against the truth; nil means that it is
// right.
func (c *strike) judge(res strikeResult, fenced bool) error {
	times, err := c.executions(res)
	if err != nil {
		return err
	}
	out := driver.OutcomeOf(res.err)
	wrong := func(why string) error {
		return fmt.Errorf("%s: ran %d times, outcome %v, error %w", why, times, out, res.err)
	}
	own := c.kind.foreign || errors.Is(res.err, context.Canceled) || errors.Is(res.err, sql.ErrTxDone)
	switch {
	case times > 1:
		return wrong("double execution")
	case res.hung:
		return wrong("the operation hung")
	case out == driver.Committed && times != 1: // nil errors among them
		return wrong("a lost write")
	case (out == driver.NotSent || out == driver.DefinitelyAborted) && times != 0:
		return wrong("a false abort")
	case out == driver.CommitSent && fenced && c.kind.fenced:
		return wrong("the fence covers it, but the outcome is unknown")
	case out == driver.Unknown && !own:
		return wrong("an error without outcome")
	case out == driver.Unknown && c.kind.open && times != 0:
		return wrong("committed without COMMIT")
	default:
		return nil
	}
}
