package pool

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server makes connections that are numbers, and knows which are open.
type server struct {
	delay   time.Duration // of an Open
	linger  time.Duration // of a Close
	refused atomic.Pointer[error]

	mu   sync.Mutex
	made int
	open map[int]bool
	peak int
}

// opened returns how many connections were made.
func (s *server) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// most returns how many connections were open at once.
func (s *server) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

func (s *server) connect(ctx context.Context) (int, error) {
	select {
	case <-time.After(s.delay):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err := s.refused.Load(); err != nil {
		return 0, *err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	s.open[s.made] = true
	s.peak = max(s.peak, len(s.open))
	return s.made, nil
}

func (s *server) disconnect(n int) {
	time.Sleep(s.linger) // what a server takes to say goodbye, in virtual time
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open[n] {
		panic("closed twice")
	}
	delete(s.open, n)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func nanos() int64 { return time.Now().UnixNano() }

// start makes a pool of connections to a server, which a test may change before.
func start(t *testing.T, s *server, change func(*Config[int])) *Pool[int] {
	t.Helper()
	s.open = make(map[int]bool)
	config := Config[int]{
		Open: s.connect, Close: s.disconnect, Max: 2, MaxAge: time.Hour, MaxIdle: 30 * time.Minute, Now: nanos,
	}
	if change != nil {
		change(&config)
	}
	p := New(config)
	p.Start()
	return p
}

func acquire(t *testing.T, p *Pool[int]) *Conn[int] {
	t.Helper()
	c, err := p.Acquire(t.Context(), nanos(), false)
	require.NoError(t, err)
	return c
}

// inBubble runs a test in virtual time with a pool that is closed in the end.
func inBubble(t *testing.T, s *server, change func(*Config[int]), test func(t *testing.T, p *Pool[int])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, s, change)
		test(t, p)
		p.Close()
		require.Zero(t, s.count(), "Close has closed all")
		require.Equal(t, Stat{}, p.Stat())
		require.Zero(t, p.queued.Load(), "nobody is said to wait")
	})
}

// The connection that was used last is taken first, so that the others grow old.
func TestLastUsedFirst(t *testing.T) {
	s := &server{}
	inBubble(t, s, nil, func(t *testing.T, p *Pool[int]) {
		require.Nil(t, p.Take(nanos()), "nothing is opened by Take")
		a, b := acquire(t, p), acquire(t, p)
		require.Equal(t, Stat{Total: 2, Lent: 2}, p.Stat())
		p.Release(a, nanos())
		time.Sleep(time.Nanosecond)
		p.Release(b, nanos())
		require.Equal(t, Stat{Total: 2, Idle: 2}, p.Stat())
		time.Sleep(nearFor) // until then each processor has its own
		require.Same(t, b, p.Take(nanos()))
		require.Same(t, a, acquire(t, p))
		require.Nil(t, p.Take(nanos()))
		p.Release(a, nanos())
		p.Release(b, nanos())
		require.Equal(t, 2, s.opened())
	})
}

// Who comes when all are in use waits, in turn, for a connection or for the room
// that one leaves behind when it has been closed.
func TestQueue(t *testing.T) {
	s := &server{linger: time.Second}
	inBubble(t, s, nil, func(t *testing.T, p *Pool[int]) {
		a, b := acquire(t, p), acquire(t, p)
		got := make(chan *Conn[int], 3)
		for range 3 {
			go func() { got <- acquire(t, p) }() // ends when it is given a connection
			synctest.Wait()
		}
		p.Release(a, nanos())
		require.Same(t, a, <-got, "handed on")
		p.Discard(b)
		synctest.Wait()
		require.Empty(t, got, "b still counts as long as it is being closed")
		require.Equal(t, Stat{Total: 2, Lent: 1}, p.Stat())
		c := <-got
		require.Equal(t, 3, c.Value, "a new one took its place")
		p.Release(c, nanos())
		require.Same(t, c, <-got)
		p.Release(a, nanos())
		p.Release(c, nanos())
		require.Equal(t, 2, s.most())
	})
}

// Who stops waiting leaves nothing behind: neither a place in the queue nor a
// connection that was opened for him, which the next one gets.
func TestGivesUp(t *testing.T) {
	s := &server{delay: time.Second}
	inBubble(t, s, nil, func(t *testing.T, p *Pool[int]) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := p.Acquire(ctx, nanos(), false)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = p.Acquire(ctx, nanos(), false)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, Stat{Total: 1}, p.Stat())
		time.Sleep(time.Second)
		require.Equal(t, Stat{Total: 1, Idle: 1}, p.Stat(), "opened for nobody, and kept")

		a, b := acquire(t, p), acquire(t, p)
		ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = p.Acquire(ctx, nanos(), false)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		p.Release(a, nanos())
		require.Equal(t, Stat{Total: 2, Idle: 1, Lent: 1}, p.Stat(), "nobody waits")
		p.Release(b, nanos())
		require.Equal(t, 2, s.opened())
	})
}

// What was granted to somebody who gives up at the same moment goes on to the
// next, be it a connection or the room for one.
func TestGrantIsPassedOn(t *testing.T) {
	s := &server{}
	inBubble(t, s, func(c *Config[int]) { c.Max = 1 }, func(t *testing.T, p *Pool[int]) {
		for _, discard := range []bool{false, true} {
			a := acquire(t, p)
			quitter := &waiter[int]{granted: make(chan *Conn[int], 1)}
			p.mu.Lock()
			p.queued.Add(1)
			quitter.place = p.waiting.PushBack(quitter)
			p.mu.Unlock()
			got := make(chan *Conn[int])
			go func() { got <- acquire(t, p) }() // ends when it is given a connection
			synctest.Wait()
			if discard {
				p.Discard(a)
			} else {
				p.Release(a, nanos())
			}
			synctest.Wait()
			require.Len(t, quitter.granted, 1)
			p.quit(quitter)
			p.Release(<-got, nanos())
			require.Equal(t, Stat{Total: 1, Idle: 1}, p.Stat())
		}
		require.Equal(t, 2, s.opened())
	})
}

// An error of Open is that of whoever wanted the connection, and the next one in
// the queue may try.
func TestOpenFails(t *testing.T) {
	s := &server{delay: time.Second}
	boom := errors.New("boom")
	inBubble(t, s, func(c *Config[int]) { c.Max = 1 }, func(t *testing.T, p *Pool[int]) {
		s.refused.Store(&boom)
		errs := make(chan error)
		go func() { // ends with the failure
			_, err := p.Acquire(t.Context(), nanos(), false)
			s.refused.Store(nil)
			errs <- err
		}()
		synctest.Wait()
		go func() { // ends when it has a connection
			c, err := p.Acquire(t.Context(), nanos(), false)
			p.Release(c, nanos())
			errs <- err
		}()
		require.ErrorIs(t, <-errs, boom)
		require.NoError(t, <-errs)
		require.Equal(t, Stat{Total: 1, Idle: 1}, p.Stat())
	})
}

type key struct{}

// Open sees the values of the context, and its end only if the pool is closed.
func TestContextOfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan context.Context, 1)
		p := New(Config[int]{Max: 1, Now: nanos, Close: func(int) {}, Open: func(ctx context.Context) (int, error) {
			entered <- ctx
			<-ctx.Done()
			return 0, ctx.Err()
		}})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		errs := make(chan error)
		go func() { // ends with the context
			_, err := p.Acquire(ctx, nanos(), false)
			errs <- err
		}()
		opening := <-entered
		require.Equal(t, "value", opening.Value(key{}))
		go func() { // waits behind the other; ends with the pool
			_, err := p.Acquire(t.Context(), nanos(), false)
			errs <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-errs, context.Canceled)
		require.NoError(t, opening.Err())
		p.Close()
		require.ErrorIs(t, opening.Err(), context.Canceled)
		require.ErrorIs(t, <-errs, ErrClosed)
		_, err := p.Acquire(t.Context(), nanos(), false)
		require.ErrorIs(t, err, ErrClosed)
		require.Nil(t, p.Take(nanos()))
		p.Close() // again
	})
}

// A dial that Close cuts short ends in ErrClosed: it says nothing of the node.
func TestCloseCutsDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &server{delay: time.Hour}, nil)
		errs := make(chan error)
		go func() { // ends with the pool
			_, err := p.Acquire(t.Context(), nanos(), false)
			errs <- err
		}()
		synctest.Wait()
		began := time.Now()
		p.Close()
		require.ErrorIs(t, <-errs, ErrClosed)
		require.Zero(t, time.Since(began))
	})
}

// Close waits for what is in use.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{linger: time.Second}
		p := start(t, s, nil)
		c, began := acquire(t, p), time.Now()
		time.AfterFunc(time.Minute, func() { p.Release(c, nanos()) })
		p.Close()
		require.Equal(t, time.Minute+time.Second, time.Since(began))
		require.Zero(t, s.count())
	})
}

// A connection that is too old is closed where it is met: when it is taken, when
// it is given back, and when the idle ones are looked through.
func TestAge(t *testing.T) {
	s := &server{}
	jitter := func(c *Config[int]) { c.AgeJitter = 10 * time.Minute }
	inBubble(t, s, jitter, func(t *testing.T, p *Pool[int]) {
		c := acquire(t, p)
		time.Sleep(59 * time.Minute)
		p.Release(c, nanos())
		require.Same(t, c, p.Take(nanos()))
		time.Sleep(12 * time.Minute)
		p.Release(c, nanos())
		synctest.Wait()
		require.Zero(t, s.count(), "too old when it was given back")

		c = acquire(t, p)
		time.Sleep(55 * time.Minute)
		p.Release(c, nanos())
		require.Nil(t, p.Take(nanos()+int64(16*time.Minute)), "too old when it would have been taken")
		synctest.Wait()
		require.Zero(t, s.count())

		c = acquire(t, p)
		time.Sleep(55 * time.Minute)
		p.Release(c, nanos())
		time.Sleep(17 * time.Minute) // the tender looks every minute
		require.Zero(t, s.count(), "too old though nobody asked")
	})
}

// Those opened together don't end together.
func TestAgeJitter(t *testing.T) {
	jitter := func(c *Config[int]) { c.Max, c.AgeJitter = 20, 10*time.Minute }
	inBubble(t, &server{}, jitter, func(t *testing.T, p *Pool[int]) {
		ends := make(map[int64]bool)
		var all []*Conn[int]
		for range 20 {
			c := acquire(t, p)
			age := time.Duration(c.expires - nanos())
			require.GreaterOrEqual(t, age, time.Hour)
			require.LessOrEqual(t, age, 70*time.Minute)
			ends[c.expires] = true
			all = append(all, c)
		}
		require.Greater(t, len(ends), 10)
		for _, c := range all {
			p.Release(c, nanos())
		}
	})
}

// What nobody uses for MaxIdle is closed, however much the others are used.
func TestIdleTooLong(t *testing.T) {
	s := &server{}
	short := func(c *Config[int]) { c.MaxIdle = 10 * time.Minute }
	inBubble(t, s, short, func(t *testing.T, p *Pool[int]) {
		a, b := acquire(t, p), acquire(t, p)
		p.Release(a, nanos())
		p.Release(b, nanos())
		for range 9 {
			time.Sleep(time.Minute)
			c := p.Take(nanos())
			require.Same(t, b, c)
			p.Release(c, nanos())
		}
		require.Equal(t, 2, s.count())
		time.Sleep(3 * time.Minute)
		require.Equal(t, Stat{Total: 1, Idle: 1}, p.Stat())
		require.Equal(t, 1, s.count())
		time.Sleep(5 * time.Minute)
		require.Equal(t, 1, s.count())
		time.Sleep(4 * time.Minute)
		require.Zero(t, s.count())
	})
}

// So many are idle from the beginning, and again half a second after one has been
// closed, but never more than there is room for.
func TestMinIdle(t *testing.T) {
	s := &server{}
	keep := func(c *Config[int]) { c.Max, c.MinIdle = 3, 2 }
	inBubble(t, s, keep, func(t *testing.T, p *Pool[int]) {
		synctest.Wait()
		require.Equal(t, Stat{Total: 2, Idle: 2}, p.Stat())
		a := acquire(t, p)
		p.Discard(a)
		synctest.Wait()
		require.Equal(t, Stat{Total: 1, Idle: 1}, p.Stat(), "those that end together are replaced together")
		time.Sleep(refillDelay)
		synctest.Wait()
		require.Equal(t, Stat{Total: 2, Idle: 2}, p.Stat())

		a, b := acquire(t, p), acquire(t, p)
		time.Sleep(tendEvery)
		synctest.Wait()
		require.Equal(t, Stat{Total: 3, Idle: 1, Lent: 2}, p.Stat())
		require.NoError(t, p.Grow(t.Context()), "no room: nothing to do")
		p.Release(a, nanos())
		p.Release(b, nanos())
		require.NoError(t, p.Grow(t.Context()), "enough are idle")
		require.Equal(t, Stat{Total: 3, Idle: 3}, p.Stat())

		boom := errors.New("boom")
		s.refused.Store(&boom)
		for range 3 {
			p.Discard(acquire(t, p))
		}
		require.Eventually(t, func() bool { return p.Stat().Total == 0 }, time.Second, time.Millisecond)
		require.ErrorIs(t, p.Grow(t.Context()), boom)
		time.Sleep(10 * tendEvery)
		require.Equal(t, Stat{}, p.Stat())
		s.refused.Store(nil)
		time.Sleep(tendEvery)
		synctest.Wait()
		require.Equal(t, Stat{Total: 2, Idle: 2}, p.Stat(), "the next round tries again")
	})
}

var (
	seed  = flag.Uint64("pool.seed", 0, "seed of TestRandom; 0 draws one")
	steps = flag.Int("pool.steps", 300, "steps of each user in TestRandom")
)

// Many users do whatever the pool allows while connections grow old, dials fail
// and contexts end; no connection has two users, no more than Max are open, and
// in the end all are closed.
func TestRandom(t *testing.T) {
	base := *seed
	if base == 0 {
		base = rand.Uint64()
	}
	t.Logf("replay: go test ./cluster/internal/pool -run TestRandom -pool.seed %d -pool.steps %d", base, *steps)
	s := &server{delay: time.Millisecond, linger: time.Millisecond}
	short := func(c *Config[int]) {
		c.Max, c.MinIdle, c.MaxAge, c.AgeJitter, c.MaxIdle = 5, 2, 40*time.Millisecond, 10*time.Millisecond, 20*time.Millisecond
	}
	boom := errors.New("boom")
	inBubble(t, s, short, func(t *testing.T, p *Pool[int]) {
		var users [1 << 16]atomic.Int32 // of each connection
		var all sync.WaitGroup
		for user := range 12 {
			r := rand.New(rand.NewPCG(base, uint64(user)))
			all.Go(func() { // ends after its steps
				for range *steps {
					if r.IntN(20) == 0 {
						s.refused.Store(&boom)
					} else {
						s.refused.Store(nil)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(4000))*time.Microsecond)
					c, err := p.Acquire(ctx, nanos(), false)
					cancel()
					if err != nil {
						continue
					}
					require.EqualValues(t, 1, users[c.Value].Add(1))
					time.Sleep(time.Duration(r.IntN(3000)) * time.Microsecond)
					users[c.Value].Add(-1)
					if r.IntN(10) == 0 {
						p.Discard(c)
					} else {
						p.Release(c, nanos())
					}
				}
			})
		}
		all.Wait()
		require.LessOrEqual(t, s.most(), 5)
		require.Zero(t, p.Stat().Lent)
	})
}

// TestOpenEndsItsGoroutine: an Open that never returns, as that of a test whose hook
// has called FailNow, takes no place and holds up neither its caller nor Close.
func TestOpenEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config[int]{
			Max: 1, Now: func() int64 { return time.Now().UnixNano() }, MaxAge: time.Hour, MaxIdle: time.Hour, Close: func(int) {},
			Open: func(context.Context) (int, error) {
				runtime.Goexit()
				return 0, nil
			},
		})
		for range 3 {
			_, err := p.Acquire(t.Context(), time.Now().UnixNano(), false)
			require.ErrorIs(t, err, errNeverOpened)
			require.Zero(t, p.Stat().Total)
		}
		p.Close()
	})
}
