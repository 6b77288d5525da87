package availability

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// DefaultWorkers is Config.Workers' default. With DefaultPace it is the load of
	// the fault matrix: 3,200 operations a second.
	DefaultWorkers = 16
	// DefaultPace is Config.Pace's default.
	DefaultPace = 5 * time.Millisecond
	// DefaultDeadline is Config.Deadline's default.
	DefaultDeadline = 2 * time.Second
	// stallWorthAsking is the wait from which on it is asked whether the client
	// itself stood still.
	stallWorthAsking = 100 * time.Millisecond
	// points is the number of rows that are read.
	points = 16
)

// Doer runs the two operations of a load. *sql.DB is one; a test that spreads
// operations over several databases itself is another. Its methods are called
// from many goroutines.
type Doer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Config says what a Load does. The zero value of each field but DB is its
// default.
type Config struct {
	// DB is asked; required.
	DB Doer
	// Workers is the number of goroutines.
	Workers int
	// Pace is the time from one operation of a worker to its next; if an
	// operation takes longer, those in between are left out.
	Pace time.Duration
	// Deadline is how long each operation may take.
	Deadline time.Duration
	// Stalled, if not nil, returns when the client's process was last found to
	// have stood still. Waits are counted from then: what a stopped client adds
	// says nothing about the database or its driver. It may be called at any time.
	Stalled func() time.Time
}

// Load is operations at a fixed pace, half of them autocommit INSERTs of a unique
// row and half point SELECTs. Create it with NewLoad. Start and Stop are called
// once each, in this order; the other methods at any time.
type Load struct {
	cfg     Config
	stop    chan struct{}
	running sync.WaitGroup
	ops     [][]Op // by worker
}

// NewLoad returns a load that does nothing yet. A configuration that makes no
// sense is an error.
func NewLoad(cfg Config) (*Load, error) {
	if cfg.DB == nil {
		return nil, errors.New("availability: Config.DB is nil")
	}
	if cfg.Workers < 0 || cfg.Pace < 0 || cfg.Deadline < 0 {
		return nil, fmt.Errorf("availability: Workers %d, Pace %v and Deadline %v may not be negative", cfg.Workers, cfg.Pace, cfg.Deadline)
	}
	if cfg.Workers == 0 {
		cfg.Workers = DefaultWorkers
	}
	if cfg.Pace == 0 {
		cfg.Pace = DefaultPace
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = DefaultDeadline
	}
	return &Load{cfg: cfg, stop: make(chan struct{}), ops: make([][]Op, cfg.Workers)}, nil
}

// Setup makes the tables of the load in one database, without those of an
// earlier load. Independent databases each need it.
func Setup(ctx context.Context, db *sql.DB) error {
	for _, text := range []string{
		"drop table if exists availability_points", "drop table if exists availability_log",
		"create table availability_points (id int primary key)",
		"create table availability_log (worker int, number int)",
		fmt.Sprintf("insert into availability_points (id) select i from generate_series(0, %d) i", points-1),
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("availability: %s: %w", text, err)
		}
	}
	return nil
}

// Start begins the load.
func (l *Load) Start() {
	for w := range l.cfg.Workers {
		l.running.Go(func() { l.work(w) }) // ends when Stop closes l.stop
	}
}

// Stop ends the load, waits for operations that are under way, and returns what
// was seen.
func (l *Load) Stop() Record {
	close(l.stop)
	l.running.Wait()
	var all []Op
	for _, ops := range l.ops {
		all = append(all, ops...)
	}
	return sorted(all)
}

// work is one worker.
func (l *Load) work(worker int) {
	tick := time.NewTicker(l.cfg.Pace)
	defer tick.Stop()
	for number := 0; ; number++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		l.ops[worker] = append(l.ops[worker], l.operate(worker, number))
	}
}

// operate runs one operation.
func (l *Load) operate(worker, number int) Op {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Deadline)
	defer cancel()
	op := Op{Worker: worker, Number: number, Write: number%2 == 1, Began: time.Now()}
	if op.Write {
		_, op.Err = l.cfg.DB.ExecContext(ctx, "insert into availability_log (worker, number) values ($1, $2)", worker, number)
	} else {
		id := -1
		op.Err = l.cfg.DB.QueryRowContext(ctx, "select id from availability_points where id = $1", worker%points).Scan(&id)
		op.Begun = op.Err != nil && id >= 0
		if op.Err == nil && id != worker%points {
			op.Err = fmt.Errorf("availability: asked for the row %d, got %d", worker%points, id)
		}
	}
	op.Ended, op.Outcome = time.Now(), Classify(op.Write, op.Err)
	if wait := op.Ended.Sub(op.Began); wait > stallWorthAsking && l.cfg.Stalled != nil {
		if last := l.cfg.Stalled(); last.After(op.Began) {
			op.Stalled = min(last.Sub(op.Began), wait)
		}
	}
	return op
}

// Truth is what the databases hold, compared with what a load was told.
type Truth struct {
	// Lost counts writes that were acknowledged and aren't there; Twice those that
	// are there more than once; Denied those that are there although their error
	// said that they had no effect. Each must be 0.
	Lost, Twice, Denied int
	// Found and Missing count the unknown writes that are there, and aren't.
	Found, Missing int
}

// Compare reads the log of every database given, which must be independent of
// each other, and compares them with a record.
func Compare(ctx context.Context, r Record, dbs ...*sql.DB) (Truth, error) {
	type key struct{ worker, number int }
	times := make(map[key]int)
	for _, db := range dbs {
		rows, err := db.QueryContext(ctx, "select worker, number from availability_log")
		if err != nil {
			return Truth{}, fmt.Errorf("availability: read the log: %w", err)
		}
		for rows.Next() {
			var k key
			if err := rows.Scan(&k.worker, &k.number); err != nil {
				return Truth{}, errors.Join(fmt.Errorf("availability: read the log: %w", err), rows.Close())
			}
			times[k]++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return Truth{}, fmt.Errorf("availability: read the log: %w", err)
		}
	}
	var truth Truth
	for i := range r {
		if r[i].Write {
			truth.judge(r[i].Outcome, times[key{r[i].Worker, r[i].Number}])
		}
	}
	return truth, nil
}

// judge takes one write that is there so many times.
func (t *Truth) judge(o Outcome, times int) {
	if times > 1 {
		t.Twice++
	}
	switch {
	case o == OK && times == 0:
		t.Lost++
	case o == Failed && times > 0:
		t.Denied++
	case o == Unknown && times > 0:
		t.Found++
	case o == Unknown:
		t.Missing++
	}
}
