package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// cutFate is what a verdict promises about the rows.
type cutFate uint8

const (
	fateNever  cutFate = iota // none of them, ever
	fateMaybe                 // all or none
	fateOnce                  // all of them, once
	fateBroken                // the verdict itself is wrong, whatever is written
)

// cutResult is one line of the ledger.
type cutResult struct {
	work   cutWork
	warmUp bool
	err    error
	took   time.Duration
	hits   []faultproxy.Hit
	nodes  []int // that gave connections to the work, in order
	fate   cutFate
	word   string // the verdict, for the report
}

// longestCut is what no operation may take. Nothing in a plan lasts longer than
// a second, but a machine that is busy with other things may take its time.
const longestCut = time.Minute

// judge translates what the caller was told.
func (r *cutResult) judge() {
	out := driver.OutcomeOf(r.err)
	var early errBeforeCommit
	var pgErr *pgconn.PgError
	r.word = out.String()
	switch {
	case r.took > longestCut:
		r.fate, r.word = fateBroken, "stuck"
	case errors.Is(r.err, errRolledBack):
		r.fate, r.word = fateNever, "rolled back"
	case r.err == nil && (r.work.kind == cutFailing || r.work.kind == cutRolledBack):
		r.fate, r.word = fateBroken, "success of what must fail"
	case out == driver.Committed:
		r.fate = fateOnce
	case out == driver.NotSent, out == driver.DefinitelyAborted:
		r.fate = fateNever
	case out == driver.CommitSent && errors.As(r.err, &early):
		r.fate, r.word = fateBroken, "in doubt before COMMIT"
	case out == driver.CommitSent && r.work.fenced():
		r.fate, r.word = fateBroken, "in doubt in spite of the fence"
	case out == driver.CommitSent:
		r.fate = fateMaybe
	case errors.As(r.err, &pgErr) && pgErr.Severity == "ERROR":
		r.fate, r.word = fateNever, "server's error" // of COPY
	case r.work.kind == cutCopy:
		r.fate, r.word = fateMaybe, "pgx's"
	case fromDatabaseSQL(r.err) && r.work.kind == cutRideAlong && !errors.As(r.err, &early):
		r.fate, r.word = fateMaybe, "database/sql's, late" // of Commit: COMMIT had gone out with the statement before
	case fromDatabaseSQL(r.err):
		r.fate, r.word = fateNever, "database/sql's" // which says so before it asks the driver
	default:
		r.fate, r.word = fateBroken, "no outcome"
	}
}

// fromDatabaseSQL reports whether an error is database/sql's own answer to a
// context that had ended before the driver was asked.
func fromDatabaseSQL(err error) bool {
	var early errBeforeCommit
	if errors.As(err, &early) {
		err = early.error
	}
	return err == context.Canceled || err == context.DeadlineExceeded || err == sql.ErrTxDone
}

// String describes the result for whoever has to find out what went wrong.
func (r *cutResult) String() string {
	return fmt.Sprintf("%v\n    %s after %v: %v\n    hits: %v, nodes: %v", r.work.cutPlan, r.word, r.took.Round(time.Microsecond), r.err, r.hits, r.nodes)
}

// witness is the node that is asked what was written: another one than that of
// the cut, if there is one.
func (r *cutResult) witness(nodes int) int {
	if len(r.hits) == 0 {
		return r.work.id % nodes
	}
	return (r.hits[0].Route + 1) % nodes
}

// moved reports whether the work was cut on one node and went on on another.
func (r *cutResult) moved() bool {
	return len(r.hits) > 0 && len(r.nodes) > 1 && r.nodes[0] == r.hits[0].Route && r.nodes[len(r.nodes)-1] != r.nodes[0]
}

// cutLedger collects the results of all workers.
type cutLedger struct {
	mu       sync.Mutex
	results  []*cutResult
	messages [3][256]int64 // that came past, by direction
}

func (l *cutLedger) add(r *cutResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results = append(l.results, r)
}

// count adds what came through a proxy.
func (l *cutLedger) count(proxy *faultproxy.Proxy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, dir := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
		for typ := range 256 {
			l.messages[dir][typ] += proxy.Messages(dir, byte(typ))
		}
	}
}

// cutTruth is what was really written.
type cutTruth struct {
	rows     map[int]map[int]int // by id and part
	counters map[int]int
}

func readTruth(ctx context.Context, db *sql.DB) (*cutTruth, error) {
	truth := &cutTruth{rows: map[int]map[int]int{}, counters: map[int]int{}}
	rows, err := db.QueryContext(ctx, "select id, part from cuts")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, part int
		if err := rows.Scan(&id, &part); err != nil {
			return nil, err
		}
		if truth.rows[id] == nil {
			truth.rows[id] = map[int]int{}
		}
		truth.rows[id][part]++
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows, err = db.QueryContext(ctx, "select id, n from cut_counters")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, n int
		if err := rows.Scan(&id, &n); err != nil {
			return nil, err
		}
		truth.counters[id] = n
	}
	return truth, rows.Err()
}

// check compares one result with the truth and says what is wrong, or "".
func (t *cutTruth) check(r *cutResult) string {
	written, twice := 0, 0
	inserts := strings.Count(r.work.writes, "i")
	for part, letter := range r.work.writes {
		n := t.rows[r.work.id][part]
		if n > 1 {
			twice++
		}
		if n > 0 && letter == 'i' {
			written++
		}
	}
	switch {
	case r.fate == fateBroken:
		return r.word
	case twice > 0:
		return "written twice"
	case written != 0 && written != inserts:
		return fmt.Sprintf("%d of %d rows of one commit written", written, inserts)
	case r.fate == fateOnce && written != inserts:
		return "acknowledged and not written"
	case r.fate == fateNever && written != 0:
		return "denied and written"
	default:
		return ""
	}
}

// checkCounters compares each counter with the confirmed and unknown steps. Where
// a commit has rows too, they tell whether its steps were taken.
func (t *cutTruth) checkCounters(results []*cutResult) []string {
	low, high := map[int]int{}, map[int]int{}
	for _, r := range results {
		steps := strings.Count(r.work.writes, "u")
		rows := strings.Contains(r.work.writes, "i")
		switch {
		case rows && len(t.rows[r.work.id]) > 0, !rows && r.fate == fateOnce:
			low[r.work.slot] += steps
			high[r.work.slot] += steps
		case !rows && r.fate != fateNever:
			high[r.work.slot] += steps
		}
	}
	var wrong []string
	for slot, n := range t.counters {
		if n < low[slot] || n > high[slot] {
			wrong = append(wrong, fmt.Sprintf("counter %d is %d, must be %d to %d", slot, n, low[slot], high[slot]))
		}
	}
	return wrong
}
