package fabric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	node1  = Addr{KindNode, 1}
	node2  = Addr{KindNode, 2}
	node3  = Addr{KindNode, 3}
	client = Addr{KindClient, 1}
)

// arrivals records what an address receives and when.
type arrivals struct {
	start time.Time

	mu   sync.Mutex
	msgs []string
	at   []time.Duration
}

func record(f *Fabric, addr Addr) *arrivals {
	r := &arrivals{start: time.Now()}
	f.Attach(addr, func(from Addr, payload []byte) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.msgs = append(r.msgs, from.String()+" "+string(payload))
		r.at = append(r.at, time.Since(r.start))
	})
	return r
}

func (r *arrivals) get() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.msgs...)
}

func (r *arrivals) times() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]time.Duration{}, r.at...)
}

func bubble(t *testing.T, cfg Config, test func(t *testing.T, f *Fabric)) {
	synctest.Test(t, func(t *testing.T) {
		f := New(cfg)
		defer f.Close()
		test(t, f)
	})
}

func TestAddrText(t *testing.T) {
	for _, a := range []Addr{node1, client, {KindHead, 0}, {KindStorage, 6}, {KindSupervisor, 65535}} {
		got, err := ParseAddr(a.String())
		require.NoError(t, err)
		assert.Equal(t, a, got)
	}
	for _, bad := range []string{"", "node", "node/", "node/x", "node/65536", "unknown/1", "host:5432"} {
		_, err := ParseAddr(bad)
		assert.ErrorContains(t, err, fmt.Sprintf("%q", bad))
	}
}

func TestMessagesArriveInOrder(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, f *Fabric) {
		got := record(f, node2)
		var want []string
		for i := range 1000 {
			f.Send(node1, node2, fmt.Append(nil, i))
			want = append(want, fmt.Sprintf("node/1 %d", i))
		}
		f.Send(node1, node3, []byte("nobody is there"))
		synctest.Wait()
		assert.Equal(t, want, got.get())
		assert.Zero(t, time.Since(got.start))
	})
}

func TestMessageLatencyKeepsOrder(t *testing.T) {
	bubble(t, Config{Link: Link{Latency: 5 * time.Millisecond}}, func(t *testing.T, f *Fabric) {
		got := record(f, node2)
		var want []string
		for i := range 20 {
			f.Send(node1, node2, fmt.Append(nil, i))
			want = append(want, fmt.Sprintf("node/1 %d", i))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		assert.Equal(t, want, got.get())
		for i, at := range got.times() {
			assert.Equal(t, time.Duration(5+i)*time.Millisecond, at)
		}
	})
}

func TestMessageJitterBounds(t *testing.T) {
	bubble(t, Config{Seed: 7}, func(t *testing.T, f *Fabric) {
		undo := f.SetLink(node1, node2, Link{Latency: 10 * time.Millisecond, Jitter: 10 * time.Millisecond})
		got := record(f, node2)
		for range 500 {
			f.Send(node1, node2, nil)
		}
		time.Sleep(time.Second)
		times := got.times()
		require.Len(t, times, 500)
		assert.GreaterOrEqual(t, times[0], 10*time.Millisecond)
		assert.Less(t, times[0], 11*time.Millisecond)
		assert.Greater(t, times[499], 19*time.Millisecond)
		assert.Less(t, times[499], 20*time.Millisecond)
		undo()
		undo()
		before := time.Since(got.start)
		f.Send(node1, node2, nil)
		synctest.Wait()
		assert.Equal(t, before, got.times()[500])
	})
}

func TestLossAndDuplicatesFollowTheSeed(t *testing.T) {
	run := func(seed uint64) (fates []string) {
		bubble(t, Config{Seed: seed, Link: Link{Loss: 0.3, Duplicate: 0.3}}, func(t *testing.T, f *Fabric) {
			got := record(f, node2)
			for i := range 1000 {
				f.Send(node1, node2, fmt.Append(nil, i))
			}
			synctest.Wait()
			fates = got.get()
		})
		return fates
	}
	first := run(1)
	assert.Equal(t, first, run(1))
	assert.NotEqual(t, first, run(2))
	assert.InDelta(t, 910, len(first), 80) // 0.7 × 1.3 × 1000
}

func TestBlackHolePartitionIsolate(t *testing.T) {
	others := []Addr{node2, node3}
	for name, c := range map[string]struct {
		fault   func(f *Fabric) func()
		blocked []string
	}{
		"black hole": {func(f *Fabric) func() { return f.SetLink(node1, node2, Link{BlackHole: true}) }, []string{"1>2"}},
		"partition":  {func(f *Fabric) func() { return f.Partition([]Addr{node1}, others) }, []string{"1>2", "1>3", "2>1", "3>1"}},
		"one way":    {func(f *Fabric) func() { return f.PartitionOneWay([]Addr{node1}, others) }, []string{"1>2", "1>3"}},
		"isolate":    {func(f *Fabric) func() { return f.Isolate(node1) }, []string{"1>2", "1>3", "2>1", "3>1"}},
		"down":       {func(f *Fabric) func() { return f.Down(node1) }, []string{"1>1", "1>2", "1>3", "2>1", "3>1"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, f *Fabric) {
				nodes := []Addr{node1, node2, node3}
				for _, a := range nodes {
					f.Attach(a, func(Addr, []byte) {})
				}
				lost := func() []string {
					var out []string
					for _, from := range nodes {
						for _, to := range nodes {
							hit := false
							in := newProbe(f, to, &hit)
							f.Send(from, to, nil)
							synctest.Wait()
							in()
							if !hit {
								out = append(out, fmt.Sprintf("%d>%d", from.ID, to.ID))
							}
						}
					}
					return out
				}
				assert.Empty(t, lost())
				undo1, undo2 := c.fault(f), c.fault(f)
				assert.Equal(t, c.blocked, lost())
				undo1()
				undo1()
				assert.Equal(t, c.blocked, lost(), "the second fault is still in force")
				undo2()
				assert.Empty(t, lost())
			})
		})
	}
}

// newProbe puts a receiver in the place of whoever is attached to addr.
func newProbe(f *Fabric, addr Addr, hit *bool) (restore func()) {
	in := f.inboxes[addr]
	old := in.recv
	in.recv = func(Addr, []byte) { *hit = true }
	return func() { in.recv = old }
}

func TestFreezeHoldsMessagesInOrder(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, f *Fabric) {
		got2, got3 := record(f, node2), record(f, node3)
		thaw := f.Freeze(node2)
		again := f.Freeze(node2)
		for i := range 5 {
			f.Send(node1, node2, fmt.Append(nil, "to", i))
			f.Send(node2, node3, fmt.Append(nil, "from", i))
		}
		f.Send(node1, node3, []byte("other"))
		time.Sleep(time.Minute)
		assert.Empty(t, got2.get())
		assert.Equal(t, []string{"node/1 other"}, got3.get())
		thaw()
		thaw()
		time.Sleep(time.Second)
		assert.Empty(t, got2.get())
		again()
		synctest.Wait()
		assert.Equal(t, []string{"node/1 to0", "node/1 to1", "node/1 to2", "node/1 to3", "node/1 to4"}, got2.get())
		assert.Equal(t, []string{
			"node/1 other", "node/2 from0", "node/2 from1", "node/2 from2", "node/2 from3", "node/2 from4",
		}, got3.get())
		assert.Equal(t, 61*time.Second, got2.times()[0])
	})
}

func TestFreezeThenDownLosesWhatWasHeld(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, f *Fabric) {
		got2, got3 := record(f, node2), record(f, node3)
		thaw := f.Freeze(node2)
		f.Send(node1, node2, []byte("to"))
		f.Send(node2, node3, []byte("from"))
		up := f.Down(node2)
		up()
		thaw()
		synctest.Wait()
		assert.Empty(t, got2.get())
		assert.Empty(t, got3.get())
	})
}

func TestDetachJoinsAndFreesTheAddress(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, f *Fabric) {
		release, entered := make(chan struct{}), make(chan struct{})
		detach := f.Attach(node1, func(Addr, []byte) { close(entered); <-release })
		assert.PanicsWithValue(t, "fabric.Attach: node/1 is attached already", func() { f.Attach(node1, nil) })
		f.Send(node2, node1, nil)
		<-entered
		gone := make(chan struct{})
		go func() { detach(); close(gone) }() // ends when recv returns
		synctest.Wait()
		assert.False(t, isClosed(gone), "detach returned while recv was running")
		close(release)
		<-gone
		detach()
		got := record(f, node1)
		f.Send(node2, node1, []byte("again"))
		synctest.Wait()
		assert.Equal(t, []string{"node/2 again"}, got.get())
	})
}

func TestSendWhileFaultsChange(t *testing.T) {
	f := New(Config{Seed: 3})
	var (
		wg    sync.WaitGroup
		count sync.Map
	)
	for id := uint16(1); id <= 3; id++ {
		f.Attach(Addr{KindNode, id}, func(from Addr, payload []byte) { count.Store(string(payload), true) })
	}
	for g := range 4 {
		wg.Go(func() { // ends after its messages
			for i := range 500 {
				f.Send(Addr{KindNode, uint16(g%3 + 1)}, Addr{KindNode, uint16(i%3 + 1)}, fmt.Append(nil, g, i))
			}
		})
		wg.Go(func() { // ends after its faults
			for range 50 {
				undo := []func(){f.Freeze(node1), f.Isolate(node2), f.Down(node3), f.SetLink(node1, node2, Link{Jitter: time.Microsecond})}
				for _, u := range undo {
					u()
				}
			}
		})
	}
	wg.Wait()
	got := make(chan struct{})
	f.Attach(client, func(Addr, []byte) { close(got) })
	f.Send(node1, client, nil)
	<-got
	f.Close()
	f.Close()
	f.Send(node1, client, nil)
	f.Attach(client, nil)()
}

func dialPair(t testing.TB, f *Fabric) (cl, srv *Conn) {
	t.Helper()
	l := f.Listen(node1)
	defer l.Close()
	c, err := f.Dial(context.Background(), client, node1)
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	return c.(*Conn), s.(*Conn)
}

func TestConnLatencyJitterAndOrder(t *testing.T) {
	bubble(t, Config{Seed: 9}, func(t *testing.T, f *Fabric) {
		c, s := dialPair(t, f)
		f.SetLink(client, node1, Link{Latency: 10 * time.Millisecond, Jitter: 10 * time.Millisecond})
		start := time.Now()
		for i := range 200 {
			_, err := c.Write([]byte{byte(i)})
			require.NoError(t, err)
		}
		assert.Zero(t, time.Since(start), "writing must not wait for the link")
		var one [1]byte
		for i := range 200 {
			_, err := io.ReadFull(s, one[:])
			require.NoError(t, err)
			require.Equal(t, byte(i), one[0])
			assert.GreaterOrEqual(t, time.Since(start), 10*time.Millisecond)
			assert.Less(t, time.Since(start), 20*time.Millisecond)
		}
		// The other direction is fast.
		start = time.Now()
		_, _ = s.Write([]byte("x"))
		_, err := c.Read(one[:])
		require.NoError(t, err)
		assert.Zero(t, time.Since(start))
		// The end takes as long as the bytes do.
		require.NoError(t, c.Close())
		_, err = s.Read(one[:])
		assert.Equal(t, io.EOF, err)
		assert.GreaterOrEqual(t, time.Since(start), 10*time.Millisecond)
	})
}

func TestConnLossCostsTimeNotBytes(t *testing.T) {
	bubble(t, Config{Seed: 4, Link: Link{Loss: 0.5}}, func(t *testing.T, f *Fabric) {
		c, s := dialPair(t, f)
		start := time.Now()
		go func() { // ends after its bytes
			for i := range 100 {
				_, _ = c.Write([]byte{byte(i)})
			}
			_ = c.Close()
		}()
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Len(t, got, 100)
		for i, b := range got {
			require.Equal(t, byte(i), b)
		}
		assert.GreaterOrEqual(t, time.Since(start), retransmit)
	})
}

func TestConnBlackHoleHoldsUntilHealed(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, f *Fabric) {
		c, s := dialPair(t, f)
		heal := f.PartitionOneWay([]Addr{client}, []Addr{node1})
		_, err := c.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, s.SetReadDeadline(time.Now().Add(3*time.Second)))
		buf := make([]byte, 10)
		_, err = s.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = s.Write([]byte("this way is open"))
		require.NoError(t, err)
		n, err := c.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "this way i", string(buf[:n]))
		// Close isn't seen either, and the window bounds what a writer gets rid of.
		_, err = s.Write(make([]byte, window-100))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.NoError(t, s.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err = s.Write(make([]byte, 2*window))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, window, n, "a closed peer that can't say so")
		require.NoError(t, s.SetDeadline(time.Time{}))
		go func() { time.Sleep(time.Second); heal() }() // ends with heal
		n, err = s.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(buf[:n]))
		_, err = s.Read(buf)
		require.ErrorIs(t, err, syscall.ECONNRESET, "closed with bytes unread")
		_, err = s.Write(buf)
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestConnFreezeAndThaw(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, f *Fabric) {
		c, s := dialPair(t, f)
		_, err := c.Write([]byte("before"))
		require.NoError(t, err)
		thaw := f.Freeze(node1)
		read := make(chan string)
		go func() { // ends with the thaw
			buf := make([]byte, 20)
			n, err := s.Read(buf)
			read <- fmt.Sprint(string(buf[:n]), err)
		}()
		_, err = s.Write([]byte("from a frozen process"))
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		thaw()
		assert.Equal(t, "before<nil>", <-read)
		buf := make([]byte, 30)
		n, err := c.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "from a frozen process", string(buf[:n]))
	})
}

func TestReset(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, f *Fabric) {
		for name, fault := range map[string]func() func(){
			"reset":                   func() func() { return f.Reset(node1, client) },
			"down":                    func() func() { return f.Down(node1) },
			"reset in a black hole":   func() func() { u := f.Isolate(node1); f.Reset(client, node1); return u },
			"reset of a frozen node":  func() func() { u := f.Freeze(node1); f.Reset(client, node1); return u },
			"down of the client side": func() func() { return f.Down(client) },
		} {
			c, s := dialPair(t, f)
			_, err := c.Write([]byte("lost"))
			require.NoError(t, err)
			errs := make(chan error)
			go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()         // ends with the reset
			go func() { _, err := s.Write(make([]byte, 2*window)); errs <- err }() // ends with the reset
			synctest.Wait()
			go func() { _, _ = io.Copy(io.Discard, c) }() // ends with the reset
			undo := fault()
			for range 2 {
				err := <-errs
				if err != nil {
					require.ErrorIs(t, err, syscall.ECONNRESET, name)
				}
			}
			_, err = s.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET, name)
			_, err = c.Write([]byte("x"))
			require.ErrorIs(t, err, syscall.ECONNRESET, name)
			require.NoError(t, c.Close())
			require.NoError(t, s.Close())
			undo()
		}
		assert.Empty(t, f.conns, "closed connections must not be kept")
	})
}

func TestDialRefusedHeldAndFrozen(t *testing.T) {
	bubble(t, Config{Link: Link{Latency: 10 * time.Millisecond}}, func(t *testing.T, f *Fabric) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := f.Dial(ctx, client, node1)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "no listener")
		assert.EqualError(t, err, "dial fabric client/1->node/1: dial: connection refused")

		l := f.Listen(node1)
		start := time.Now()
		c, err := f.Dial(ctx, client, node1)
		require.NoError(t, err)
		assert.Equal(t, 20*time.Millisecond, time.Since(start))
		assert.Equal(t, net.Addr(client), c.LocalAddr())
		assert.Equal(t, net.Addr(node1), c.RemoteAddr())

		up := f.Down(node1)
		_, err = f.Dial(ctx, client, node1)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		up()

		heal := f.Isolate(node1)
		_, err = f.Dial(ctx, client, node1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var ne net.Error
		require.True(t, errors.As(err, &ne) && ne.Timeout())
		go func() { time.Sleep(time.Second); heal() }() // ends with heal
		_, err = f.Dial(context.Background(), client, node1)
		require.NoError(t, err)

		thaw := f.Freeze(node1)
		c, err = f.Dial(context.Background(), client, node1)
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		thaw()

		require.NoError(t, l.Close())
		require.ErrorIs(t, l.Close(), net.ErrClosed)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET, "nobody accepted it")
	})
}

func TestCloseFreesEveryone(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, f *Fabric) {
		l := f.Listen(node2)
		c, s := dialPair(t, f)
		f.Isolate(node3)
		errs := make(chan error, 4)
		go func() { _, err := l.Accept(); errs <- err }()                                 // ends with Close
		go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()                    // ends with Close
		go func() { _, err := s.Read(make([]byte, 1)); errs <- err }()                    // ends with Close
		go func() { _, err := f.Dial(context.Background(), node3, node2); errs <- err }() // ends with Close
		synctest.Wait()
		f.Close()
		for range 4 {
			assert.Error(t, <-errs)
		}
		_, err := f.Listen(node2).Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = f.Dial(context.Background(), client, node2)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestLinkValidate(t *testing.T) {
	f := New(Config{})
	defer f.Close()
	for _, l := range []Link{{Latency: -1}, {Jitter: -1}, {Loss: 1.1}, {Loss: -0.1}, {Duplicate: 2}} {
		require.Error(t, l.Validate())
		assert.Panics(t, func() { f.SetLink(node1, node2, l) })
		assert.Panics(t, func() { New(Config{Link: l}) })
	}
}
