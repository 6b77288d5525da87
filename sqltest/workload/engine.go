package workload

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anywriter/anywriter/sqltest/history"
)

// engine runs the clients of one workload; the workloads embed it.
type engine struct {
	cfg      Config
	recorder *history.Recorder
	meter    meter

	mu      sync.Mutex
	started bool
}

// client is one of the clients; only its own goroutine uses it.
type client struct {
	number int
	seq    int // of its operations
	rng    *rand.Rand
}

// id names a write of this client; no other client or run of this workload's
// tables has it.
func (c *client) id() string { return fmt.Sprintf("c%d-%d", c.number, c.seq) }

// Stats returns how the run is going. It may be called at any time from any
// goroutine.
func (e *engine) Stats() Stats { return e.meter.snapshot() }

// History returns the operations so far in the order of their invocation.
func (e *engine) History() []history.Op { return e.recorder.Ops() }

// Seed is the seed that the run's random choices come from.
func (e *engine) Seed() uint64 { return e.cfg.Seed }

// step does the next operation of a client: it fills in what the operation is
// and returns the function that carries it out. That function may set what the
// operation found out, such as Value, and counts its Attempts.
type step func(c *client) (history.Op, func(ctx context.Context, op *history.Op) error)

// run starts the clients and returns when all have ended: by Duration or Ops,
// or because the context did. It returns the context's error then. A workload
// runs once.
func (e *engine) run(ctx context.Context, next step) error {
	e.mu.Lock()
	again := e.started
	e.started = true
	e.mu.Unlock()
	if again {
		return errors.New("workload: Run was called twice; make a new workload for another run")
	}
	e.meter.begin(e.cfg.Clients)
	defer e.meter.finish()
	var wg sync.WaitGroup
	for number := range e.cfg.Clients {
		c := &client{number: number, rng: rand.New(rand.NewPCG(e.cfg.Seed, uint64(number)))}
		wg.Go(func() { e.drive(ctx, c, next) }) // ends with Duration, Ops or ctx
	}
	wg.Wait()
	return ctx.Err()
}

// drive is the life of one client.
func (e *engine) drive(ctx context.Context, c *client, next step) {
	period := time.Duration(float64(time.Second) / e.cfg.Rate)
	start := e.meter.start
	due := start.Add(time.Duration(c.rng.Int64N(int64(period) + 1))) // clients don't march in step
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for c.seq = 1; e.cfg.Ops == 0 || c.seq <= e.cfg.Ops; c.seq++ {
		if e.cfg.Duration > 0 && due.Sub(start) >= e.cfg.Duration {
			return
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		e.perform(ctx, c, next)
		due = due.Add(period)
		if now := time.Now(); due.Before(now) {
			due = now // what is late isn't made up for
		}
		timer.Reset(time.Until(due))
	}
}

// perform does one operation and records it.
func (e *engine) perform(ctx context.Context, c *client, next step) {
	op, do := next(c)
	op.Client = c.number
	n := e.recorder.Invoke(op)
	e.meter.invoke(c.number)
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	op.Err = do(ctx, &op)
	op.Outcome = e.cfg.Classify(op.Err)
	if op.Kind.IsRead() && op.Outcome == history.Unknown {
		op.Outcome = history.SafeFailure // a read changes nothing, whatever was lost
	}
	if op.Outcome == history.SafeFailure && run.Err() != nil {
		op.Outcome = history.Aborted // by whoever ended the run, not by the database
	}
	e.meter.done(e.recorder.Return(n, op))
}

// transact runs fn as a transaction of the workload and counts the attempts.
func (e *engine) transact(ctx context.Context, op *history.Op, fn func(ctx context.Context, tx *sql.Tx) error) error {
	opts := &sql.TxOptions{Isolation: e.cfg.Isolation}
	return e.cfg.Tx(ctx, e.cfg.DB, opts, func(ctx context.Context, tx *sql.Tx) error {
		op.Attempts++
		return fn(ctx, tx)
	})
}

// readOne reads one number in a statement of its own.
func (e *engine) readOne(ctx context.Context, op *history.Op, query string, args ...any) error {
	op.Attempts++
	return e.cfg.DB.QueryRowContext(ctx, query, args...).Scan(&op.Value)
}

func newEngine(cfg Config, name string) (*engine, error) {
	cfg, err := cfg.withDefaults(name)
	if err != nil {
		return nil, err
	}
	return &engine{cfg: cfg, recorder: history.NewRecorder()}, nil
}
