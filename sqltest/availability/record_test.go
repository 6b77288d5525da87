package availability_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest/availability"
)

// told is an error that says whether it is ambiguous.
type told bool

func (t told) Error() string   { return "told" }
func (t told) Ambiguous() bool { return bool(t) }

// safe is an error that says whether it is safe to try again.
type safe bool

func (s safe) Error() string     { return "safe" }
func (s safe) SafeToRetry() bool { return bool(s) }

func TestClassify(t *testing.T) {
	code := func(c string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: c}) }
	for _, c := range []struct {
		err  error
		want availability.Outcome // of a write
	}{
		{nil, availability.OK},
		{told(true), availability.Unknown},
		{told(false), availability.Failed},
		{fmt.Errorf("%w after %w", told(false), code("57P01")), availability.Failed},
		{code("40001"), availability.Failed},
		{code("23505"), availability.Failed},
		{code("25006"), availability.Failed},
		{code("40003"), availability.Unknown},
		{code("08006"), availability.Unknown},
		{code("57P01"), availability.Unknown},
		{code("57014"), availability.Unknown},
		{code("XX000"), availability.Unknown},
		{safe(true), availability.Failed},
		{safe(false), availability.Unknown},
		{driver.ErrBadConn, availability.Failed},
		{context.DeadlineExceeded, availability.Unknown},
		{errors.New("EOF"), availability.Unknown},
	} {
		assert.Equal(t, c.want, availability.Classify(true, c.err), "%v", c.err)
		if c.err != nil {
			assert.Equal(t, availability.Failed, availability.Classify(false, c.err), "a read that fails does no harm: %v", c.err)
		}
	}
	assert.Equal(t, availability.OK, availability.Classify(false, nil))
}

// at returns an operation that began and ended so many milliseconds after the
// epoch.
func at(began, ended int, o availability.Outcome) availability.Op {
	epoch := time.Unix(0, 0)
	return availability.Op{
		Began: epoch.Add(time.Duration(began) * time.Millisecond), Ended: epoch.Add(time.Duration(ended) * time.Millisecond),
		Outcome: o, Write: true,
	}
}

func TestRecord(t *testing.T) {
	r := availability.Record{
		at(0, 10, availability.OK), at(5, 20, availability.OK), at(0, 100, availability.Failed),
		at(110, 120, availability.Unknown), at(115, 150, availability.OK), at(120, 160, availability.OK),
	}
	ms := func(n int) time.Time { return time.Unix(0, 0).Add(time.Duration(n) * time.Millisecond) }
	assert.Equal(t, 130*time.Millisecond, r.LongestGap(ms(0), ms(160)), "failures are no successes")
	assert.Equal(t, 60*time.Millisecond, r.LongestGap(ms(90), ms(155)), "from its beginning on")
	assert.Equal(t, 840*time.Millisecond, r.LongestGap(ms(0), ms(1000)), "and to its end")
	assert.Equal(t, 50*time.Millisecond, r.LongestGap(ms(50), ms(100)), "nothing succeeded")
	assert.Equal(t, 100*time.Millisecond, r.Longest().Wait())
	assert.Equal(t, 4, r.Count(availability.OK))
	assert.Len(t, r.Between(ms(20), ms(150)), 3, "from is in, to is out")
	assert.Empty(t, r.Between(ms(150), ms(20)))
	assert.Len(t, r.Since(ms(150)), 2)
	assert.InDelta(t, 20.0, r.Rate(ms(0), ms(100)), 1e-9, "two successes in a tenth of a second")
	assert.Zero(t, r.Rate(ms(5), ms(5)))
	assert.Equal(t, 2, r.WritesAt(ms(119)))
	assert.Equal(t, 100*time.Millisecond, r.Quantile(0.99))
	assert.Equal(t, 35*time.Millisecond, r.Quantile(0.5))
	var none availability.Record
	assert.Zero(t, none.Longest().Wait())
	assert.Zero(t, none.Quantile(1))
	assert.Equal(t, time.Second, none.LongestGap(ms(0), ms(1000)))
	assert.Empty(t, none.Since(ms(0)))
	stalled := at(0, 100, availability.OK)
	stalled.Stalled = 60 * time.Millisecond
	assert.Equal(t, 40*time.Millisecond, stalled.Wait())
}

func TestLoadRefusesNonsense(t *testing.T) {
	_, err := availability.NewLoad(availability.Config{})
	require.ErrorContains(t, err, "Config.DB is nil")
	_, err = availability.NewLoad(availability.Config{DB: &sql.DB{}, Workers: -1})
	require.ErrorContains(t, err, "Workers -1")
}

// connector opens connections on which every operation takes half a second and
// then fails with err.
type connector struct{ err error }

func (c connector) Connect(context.Context) (driver.Conn, error) { return conn(c), nil }
func (c connector) Driver() driver.Driver                        { return nil }

type conn connector

func (c conn) Prepare(string) (driver.Stmt, error) {
	time.Sleep(500 * time.Millisecond) // in virtual time
	return nil, c.err
}
func (conn) Close() error              { return nil }
func (conn) Begin() (driver.Tx, error) { return nil, errors.ErrUnsupported }

func TestLoadKeepsItsPaceAndCountsFromStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(connector{told(true)})
		defer func() { require.NoError(t, db.Close()) }()
		began := time.Now()
		load, err := availability.NewLoad(availability.Config{
			DB: db, Workers: 3, Pace: 100 * time.Millisecond,
			Stalled: func() time.Time { return began.Add(400 * time.Millisecond) },
		})
		require.NoError(t, err)
		load.Start()
		time.Sleep(time.Second)
		r := load.Stop()
		assert.NotEmpty(t, r)
		for _, op := range r {
			assert.Equal(t, op.Write, op.Outcome == availability.Unknown)
		}
		first := r[0]
		assert.Equal(t, 500*time.Millisecond, first.Ended.Sub(first.Began))
		assert.Equal(t, 300*time.Millisecond, first.Stalled, "it began at 100 ms and the process stood still until 400 ms")
	})
}

// TestTruth writes a log by hand and compares it with what was said of it.
func TestTruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := simTarget(t, true, "")
		db := g.open(t)
		defer func() { require.NoError(t, db.Close()) }()
		_, err := db.ExecContext(t.Context(), "insert into availability_log values (0, 1), (1, 1), (1, 1), (2, 1), (3, 1)")
		require.NoError(t, err)
		op := func(worker int, o availability.Outcome) availability.Op {
			return availability.Op{Worker: worker, Number: 1, Write: true, Outcome: o}
		}
		r := availability.Record{
			op(0, availability.OK), op(1, availability.OK), op(2, availability.Failed), op(3, availability.Unknown),
			op(4, availability.OK), op(5, availability.Failed), op(6, availability.Unknown),
		}
		truth, err := availability.Compare(t.Context(), r, db)
		require.NoError(t, err)
		assert.Equal(t, availability.Truth{Lost: 1, Twice: 1, Denied: 1, Found: 1, Missing: 1}, truth)
	})
}
