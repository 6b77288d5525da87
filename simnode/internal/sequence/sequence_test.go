package sequence

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is the log's side: it hands out units one after another.
type tape struct {
	mu      sync.Mutex
	next    map[uint32]int64
	fetches int
}

func (l *tape) fetch(_ context.Context, oid uint32, count int64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next = map[uint32]int64{}
	}
	first := l.next[oid] + 1
	l.next[oid] += count
	l.fetches++
	return first, nil
}

func ascending() *catalog.Sequence {
	return &catalog.Sequence{OID: 17000, Name: "s", Start: 1, Increment: 1, Min: 1, Max: math.MaxInt64, BaseUnit: 1, Base: 1}
}

func requireCode(t *testing.T, err error, code, message string) {
	t.Helper()
	var e *sqlerr.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
	require.Equal(t, message, e.Message)
}

func TestValuesRunOnAndBlocksGrow(t *testing.T) {
	l := &tape{}
	a := NewAllocator(l.fetch)
	for want := int64(1); want <= 1000; want++ {
		v, err := a.Next(t.Context(), ascending())
		require.NoError(t, err)
		require.Equal(t, want, v)
	}
	require.Equal(t, 8, l.fetches, "8+16+32+64+128+256+256+256")
	oid, err := a.NextOID(t.Context())
	require.NoError(t, err)
	require.Equal(t, catalog.FirstUserOID, oid)
}

func TestTwoNodesNeverShareAValue(t *testing.T) {
	l := &tape{}
	nodes := []*Allocator{NewAllocator(l.fetch), NewAllocator(l.fetch)}
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { // ends after its values
			last := int64(0)
			for range 500 {
				v, err := nodes[i%2].Next(context.Background(), ascending())
				assert.NoError(t, err)
				assert.Greater(t, v, last, "values rise for each caller")
				last = v
				mu.Lock()
				assert.False(t, seen[v], "%d twice", v)
				seen[v] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 4000)
}

func TestBoundsAndCycles(t *testing.T) {
	take := func(s catalog.Sequence, n int) (values []int64, err error) {
		s.OID, s.BaseUnit, s.Name = 1, 1, "s"
		s.Base = s.Start
		a := NewAllocator((&tape{}).fetch)
		for range n {
			var v int64
			if v, err = a.Next(context.Background(), &s); err != nil {
				return values, err
			}
			values = append(values, v)
		}
		return values, nil
	}
	values, err := take(catalog.Sequence{Start: 2, Increment: 3, Min: 1, Max: 9}, 9)
	require.Equal(t, []int64{2, 5, 8}, values)
	requireCode(t, err, "2200H", `nextval: reached maximum value of sequence "s" (9)`)

	values, err = take(catalog.Sequence{Start: 2, Increment: 3, Min: 1, Max: 9, Cycle: true}, 9)
	require.NoError(t, err)
	require.Equal(t, []int64{2, 5, 8, 1, 4, 7, 1, 4, 7}, values)

	values, err = take(catalog.Sequence{Start: -1, Increment: -2, Min: -4, Max: -1}, 9)
	require.Equal(t, []int64{-1, -3}, values)
	requireCode(t, err, "2200H", `nextval: reached minimum value of sequence "s" (-4)`)

	values, err = take(catalog.Sequence{Start: -3, Increment: -2, Min: -4, Max: -1, Cycle: true}, 5)
	require.NoError(t, err)
	require.Equal(t, []int64{-3, -1, -3, -1, -3}, values)

	values, err = take(catalog.Sequence{Start: math.MaxInt64 - 1, Increment: 1, Min: math.MinInt64, Max: math.MaxInt64, Cycle: true}, 4)
	require.NoError(t, err)
	require.Equal(t, []int64{math.MaxInt64 - 1, math.MaxInt64, math.MinInt64, math.MinInt64 + 1}, values)

	values, err = take(catalog.Sequence{Start: math.MinInt64, Increment: math.MaxInt64, Min: math.MinInt64, Max: math.MaxInt64}, 9)
	require.Equal(t, []int64{math.MinInt64, -1, math.MaxInt64 - 1}, values)
	require.Error(t, err)
}

// setval: other nodes throw away what they have in stock as soon as they use the new
// descriptor.
func TestRestart(t *testing.T) {
	l := &tape{}
	a, b := NewAllocator(l.fetch), NewAllocator(l.fetch)
	s := ascending()
	for _, n := range []*Allocator{a, b} {
		_, err := n.Next(t.Context(), s)
		require.NoError(t, err)
	}
	called, err := a.Restart(t.Context(), s, 500, true)
	require.NoError(t, err)
	v, err := b.Next(t.Context(), called)
	require.NoError(t, err)
	require.Greater(t, v, int64(500))
	require.Less(t, v, int64(540))
	back, err := b.Restart(t.Context(), called, 3, false)
	require.NoError(t, err)
	v, err = b.Next(t.Context(), back)
	require.NoError(t, err)
	require.Equal(t, int64(3), v)
	v, err = a.Next(t.Context(), back)
	require.NoError(t, err)
	require.Greater(t, v, int64(3))
	_, err = a.Restart(t.Context(), s, 0, false)
	requireCode(t, err, "22003", `setval: value 0 is out of bounds for sequence "s" (1..9223372036854775807)`)
}

func TestOneFetchForManyWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &tape{}
		release := make(chan struct{})
		failing := errors.New("no majority")
		fail := true
		a := NewAllocator(func(ctx context.Context, oid uint32, count int64) (int64, error) {
			<-release
			if fail {
				fail = false
				return 0, failing
			}
			return l.fetch(ctx, oid, count)
		})
		results := make(chan error, 5)
		for range 5 {
			go func() { // ends with its value
				_, err := a.Next(t.Context(), ascending())
				results <- err
			}()
		}
		synctest.Wait()
		close(release)
		var failed []error
		for range 5 {
			if err := <-results; err != nil {
				failed = append(failed, err)
			}
		}
		require.Len(t, failed, 1, "the others try again")
		require.ErrorIs(t, failed[0], failing)
		require.Equal(t, 1, l.fetches)
	})
}

func TestWaiterGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		a := NewAllocator(func(context.Context, uint32, int64) (int64, error) { <-release; return 1, nil })
		go func() { _, _ = a.NextOID(t.Context()) }() // ends when release is closed
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := a.NextOID(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)
	})
}

func TestSession(t *testing.T) {
	a := NewAllocator((&tape{}).fetch)
	s := a.NewSession()
	one, two := ascending(), ascending()
	two.OID, two.Name = 17001, "two"
	_, err := s.Currval(one)
	requireCode(t, err, "55000", `currval of sequence "s" is not yet defined in this session`)
	_, err = s.Lastval()
	requireCode(t, err, "55000", "lastval is not yet defined in this session")
	var got []int64
	for _, seq := range []*catalog.Sequence{one, one, two} {
		v, err := s.Nextval(t.Context(), seq)
		require.NoError(t, err)
		got = append(got, v)
	}
	v, err := s.Currval(one)
	require.NoError(t, err)
	got = append(got, v)
	v, err = s.Lastval()
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2, 1, 2, 1}, slices.Concat(got, []int64{v}))
	s.Set(one, 77)
	v, err = s.Currval(one)
	require.NoError(t, err)
	require.EqualValues(t, 77, v)
	s.Discard()
	_, err = s.Lastval()
	require.Error(t, err)
}
