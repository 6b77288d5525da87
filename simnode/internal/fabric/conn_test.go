package fabric

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The cases of TestConnConformance are those that any net.Conn must pass. They
// run over the in-memory connection, over the wrapped TCP connection, and over
// plain TCP as the control.
func TestConnConformance(t *testing.T) {
	cases := map[string]func(t *testing.T, a, b net.Conn){
		"basic IO":           testBasicIO,
		"ping pong":          testPingPong,
		"racy read":          testRacyRead,
		"racy write":         testRacyWrite,
		"read timeout":       testReadTimeout,
		"write timeout":      testWriteTimeout,
		"past timeout":       testPastTimeout,
		"present timeout":    testPresentTimeout,
		"future timeout":     testFutureTimeout,
		"close unblocks":     testCloseUnblocks,
		"close ends peer":    testCloseEndsPeer,
		"concurrent methods": testConcurrentMethods,
		"half close":         testHalfClose,
		"reset by linger":    testResetByLinger,
		"unread is reset":    testUnreadIsReset,
		"write after close":  testWriteAfterClose,
		"addresses":          testAddresses,
	}
	for kind, pipe := range map[string]func(t testing.TB) (a, b net.Conn){
		"memory": memoryPipe, "wrapped": wrappedPipe, "tcp": tcpPipe,
	} {
		for name, test := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				a, b := pipe(t)
				test(t, a, b)
			})
		}
	}
}

func memoryPipe(t testing.TB) (a, b net.Conn) {
	f := New(Config{})
	t.Cleanup(f.Close)
	return dialPair(t, f)
}

func tcpPipe(t testing.TB) (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	b, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func wrappedPipe(t testing.TB) (a, b net.Conn) {
	f := New(Config{})
	a, b = tcpPipe(t)
	t.Cleanup(f.Close)
	return a, f.WrapConn(b, client, node1)
}

func testBasicIO(t *testing.T, a, b net.Conn) {
	want := make([]byte, 4<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	go func() { // ends when all is written
		rest := want
		for len(rest) > 0 {
			n := min(len(rest), 1+rng.IntN(100<<10))
			if _, err := a.Write(rest[:n]); err != nil {
				t.Error(err)
			}
			rest = rest[n:]
		}
		_ = a.Close()
	}()
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	n, err := b.Read(make([]byte, 1))
	assert.Zero(t, n)
	assert.Equal(t, io.EOF, err)
	n, err = a.Read(nil)
	assert.Zero(t, n)
	assert.Error(t, err)
}

func testPingPong(t *testing.T, a, b net.Conn) {
	var wg sync.WaitGroup
	echo := func(c net.Conn) {
		var buf [8]byte
		for {
			if _, err := io.ReadFull(c, buf[:]); err != nil {
				return
			}
			v := binary.LittleEndian.Uint64(buf[:]) + 1
			if v > 1000 {
				return
			}
			binary.LittleEndian.PutUint64(buf[:], v)
			_, err := c.Write(buf[:])
			assert.NoError(t, err)
			if v == 1000 {
				return
			}
		}
	}
	wg.Go(func() { echo(b) }) // ends at 1000
	_, err := a.Write(make([]byte, 8))
	require.NoError(t, err)
	echo(a)
	_ = a.Close()
	wg.Wait()
}

func testRacyRead(t *testing.T, a, b net.Conn) {
	go func() { // ends when b is closed
		for {
			if _, err := b.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	}()
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { // ends after ten reads
			buf := make([]byte, 1024)
			for j := range 10 {
				_ = a.SetReadDeadline(time.Now().Add(time.Duration(i*j) * time.Millisecond / 10))
				_, err := a.Read(buf)
				assert.True(t, err == nil || isTimeout(err), err)
			}
		})
	}
	wg.Wait()
	_, _ = a.Close(), b.Close()
}

func testRacyWrite(t *testing.T, a, b net.Conn) {
	go func() { _, _ = io.Copy(io.Discard, b) }() // ends when a is closed
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { // ends after ten writes
			for j := range 10 {
				_ = a.SetWriteDeadline(time.Now().Add(time.Duration(i*j) * time.Millisecond / 10))
				_, err := a.Write(make([]byte, 1024))
				assert.True(t, err == nil || isTimeout(err), err)
			}
		})
	}
	wg.Wait()
	_ = a.Close()
}

func testReadTimeout(t *testing.T, a, _ net.Conn) {
	start := time.Now()
	require.NoError(t, a.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
	_, err := a.Read(make([]byte, 1))
	checkTimeout(t, err)
	assert.GreaterOrEqual(t, time.Since(start), 5*time.Millisecond)
	_, err = a.Write([]byte("x"))
	require.NoError(t, err, "a read deadline is not for writes")
}

func testWriteTimeout(t *testing.T, a, _ net.Conn) {
	require.NoError(t, a.SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
	var err error
	for err == nil {
		_, err = a.Write(make([]byte, 64<<10))
	}
	checkTimeout(t, err)
	require.NoError(t, a.SetWriteDeadline(time.Time{}))
}

func testPastTimeout(t *testing.T, a, b net.Conn) {
	_, err := b.Write([]byte("there"))
	require.NoError(t, err)
	require.NoError(t, a.SetDeadline(time.Unix(1, 0)))
	n, err := a.Write(make([]byte, 1))
	assert.Zero(t, n)
	checkTimeout(t, err)
	n, err = a.Read(make([]byte, 10))
	assert.Zero(t, n)
	checkTimeout(t, err)
	require.NoError(t, a.SetDeadline(time.Time{}))
	go func() { _, _ = a.Write(make([]byte, 1)) }() // ends at once
	_, err = b.Read(make([]byte, 1))
	require.NoError(t, err)
	n, err = a.Read(make([]byte, 10))
	require.NoError(t, err)
	assert.NotZero(t, n)
}

// testPresentTimeout moves the deadline into the past while calls are waiting.
func testPresentTimeout(t *testing.T, a, _ net.Conn) {
	require.NoError(t, a.SetDeadline(time.Now().Add(time.Hour)))
	var wg sync.WaitGroup
	started := make(chan struct{}, 2)
	wg.Go(func() { // ends with the deadline
		started <- struct{}{}
		_, err := a.Read(make([]byte, 1))
		checkTimeout(t, err)
	})
	wg.Go(func() { // ends with the deadline
		started <- struct{}{}
		var err error
		for err == nil {
			_, err = a.Write(make([]byte, 64<<10))
		}
		checkTimeout(t, err)
	})
	<-started
	<-started
	require.NoError(t, a.SetDeadline(time.Now()))
	wg.Wait()
}

func testFutureTimeout(t *testing.T, a, b net.Conn) {
	require.NoError(t, a.SetDeadline(time.Now().Add(20*time.Millisecond)))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { // ends with the deadline
			_, err := a.Read(make([]byte, 1))
			checkTimeout(t, err)
		})
	}
	wg.Wait()
	go func() { // ends with b
		_, _ = io.Copy(b, b)
	}()
	require.NoError(t, a.SetDeadline(time.Time{}))
	_, err := a.Write([]byte("again"))
	require.NoError(t, err)
	buf := make([]byte, 5)
	_, err = io.ReadFull(a, buf)
	require.NoError(t, err)
	assert.Equal(t, "again", string(buf))
	_ = a.Close()
}

func testCloseUnblocks(t *testing.T, a, b net.Conn) {
	var wg sync.WaitGroup
	for _, c := range []net.Conn{a, b} {
		started := make(chan struct{}, 4)
		for range 2 {
			wg.Go(func() { // ends with Close
				started <- struct{}{}
				_, err := c.Read(make([]byte, 1))
				assert.ErrorIs(t, err, net.ErrClosed)
			})
			wg.Go(func() { // ends with Close
				started <- struct{}{}
				var err error
				for err == nil {
					_, err = c.Write(make([]byte, 64<<10))
				}
				assert.True(t, errors.Is(err, net.ErrClosed) || isReset(err), err)
			})
		}
		for range 4 {
			<-started
		}
		if c == a {
			// b's reader would get what a's writers sent.
			require.NoError(t, a.Close())
			break
		}
	}
	wg.Wait()
	assert.ErrorIs(t, a.Close(), net.ErrClosed)
	for _, err := range []error{a.SetDeadline(time.Time{}), a.SetReadDeadline(time.Time{}), a.SetWriteDeadline(time.Time{})} {
		assert.ErrorIs(t, err, net.ErrClosed)
	}
}

func testCloseEndsPeer(t *testing.T, a, b net.Conn) {
	_, err := a.Write([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	assert.Equal(t, "bye", string(got))
	for err == nil { // TCP takes one write before it knows
		_, err = b.Write([]byte("x"))
	}
	assert.True(t, isReset(err), err)
}

func testConcurrentMethods(t *testing.T, a, b net.Conn) {
	go func() { _, _ = io.Copy(b, b) }() // ends with a
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { // ends by itself
			_ = a.LocalAddr()
			_ = a.RemoteAddr()
			_, err := a.Write([]byte("x"))
			assert.NoError(t, err)
			_, err = a.Read(make([]byte, 1))
			assert.NoError(t, err)
			assert.NoError(t, a.SetDeadline(time.Now().Add(time.Minute)))
			assert.NoError(t, a.SetReadDeadline(time.Now().Add(time.Minute)))
			assert.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Minute)))
		})
	}
	wg.Wait()
	_ = a.Close()
}

func testHalfClose(t *testing.T, a, b net.Conn) {
	type halfCloser interface{ CloseWrite() error }
	_, err := a.Write([]byte("question"))
	require.NoError(t, err)
	require.NoError(t, a.(halfCloser).CloseWrite())
	_, err = a.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.EPIPE)
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	assert.Equal(t, "question", string(got))
	_, err = b.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	got, err = io.ReadAll(a)
	require.NoError(t, err)
	assert.Equal(t, "answer", string(got))
}

func testResetByLinger(t *testing.T, a, b net.Conn) {
	read := make(chan error)
	go func() { // ends with the reset
		_, err := a.Read(make([]byte, 1))
		read <- err
	}()
	require.NoError(t, b.(interface{ SetLinger(sec int) error }).SetLinger(0))
	require.NoError(t, b.Close())
	require.ErrorIs(t, <-read, syscall.ECONNRESET)
	_, err := a.Write([]byte("x"))
	assert.True(t, isReset(err), err)
}

func testUnreadIsReset(t *testing.T, a, b net.Conn) {
	_, err := a.Write([]byte("never read"))
	require.NoError(t, err)
	_, err = b.Write([]byte("last words"))
	require.NoError(t, err)
	_, err = b.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	got, err := io.ReadAll(a)
	assert.Equal(t, "last words", string(got))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// A client that writes to a server that has said why it closes still reads that.
func testWriteAfterClose(t *testing.T, a, b net.Conn) {
	_, err := b.Write([]byte("last words"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	_, err = a.Write([]byte("x"))
	require.NoError(t, err, "the first write finds out for the next")
	words := make([]byte, len("last words"))
	_, err = io.ReadFull(a, words)
	require.NoError(t, err)
	require.Equal(t, "last words", string(words))
	for deadline := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(deadline); {
		_, err = a.Write([]byte("x"))
	}
	require.True(t, isReset(err), err)
}

func testAddresses(t *testing.T, a, b net.Conn) {
	assert.Equal(t, a.LocalAddr().String(), b.RemoteAddr().String())
	assert.Equal(t, b.LocalAddr().String(), a.RemoteAddr().String())
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func checkTimeout(t *testing.T, err error) {
	t.Helper()
	var ne net.Error
	if assert.ErrorAs(t, err, &ne) {
		assert.True(t, ne.Timeout())
	}
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// Every wait of a connection must let virtual time go on.
func TestConnWaitsAreDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Config{})
		defer f.Close()
		c, s := dialPair(t, f)
		start := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { // ends with Close
				_, err := c.Read(make([]byte, 1))
				assert.ErrorIs(t, err, net.ErrClosed)
			})
			wg.Go(func() { // ends with Close
				_, err := c.Write(make([]byte, 2*window))
				assert.ErrorIs(t, err, net.ErrClosed)
			})
		}
		time.Sleep(time.Hour)
		_, _ = c.Close(), s.Close()
		wg.Wait()
		assert.Equal(t, time.Hour, time.Since(start))
	})
}

// Many readers and writers on one connection: no wake-up may be lost.
func TestConnManyReadersAndWriters(t *testing.T) {
	f := New(Config{})
	defer f.Close()
	c, s := dialPair(t, f)
	const each, size = 200, 3000
	var writers, readers sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 4 {
		writers.Go(func() { // ends after its writes
			for range each {
				_, err := c.Write(make([]byte, size))
				assert.NoError(t, err)
			}
		})
		readers.Go(func() { // ends at EOF
			buf := make([]byte, 700)
			for {
				n, err := s.Read(buf)
				mu.Lock()
				total += n
				mu.Unlock()
				if err != nil {
					assert.Equal(t, io.EOF, err)
					return
				}
			}
		})
	}
	writers.Wait()
	require.NoError(t, c.Close())
	readers.Wait()
	assert.Equal(t, 4*each*size, total)
}

func TestWrapConnFaults(t *testing.T) {
	setup := func(t *testing.T) (f *Fabric, far, near net.Conn) {
		f = New(Config{})
		a, b := tcpPipe(t)
		t.Cleanup(f.Close)
		return f, a, f.WrapConn(b, client, node1)
	}
	stalls := map[string]func(f *Fabric) func(){
		"freeze":     func(f *Fabric) func() { return f.Freeze(node1) },
		"black hole": func(f *Fabric) func() { return f.Isolate(node1) },
	}
	for name, fault := range stalls {
		t.Run(name+" holds both directions", func(t *testing.T) {
			f, far, near := setup(t)
			undo := fault(f)
			_, err := far.Write([]byte("in"))
			require.NoError(t, err)
			require.NoError(t, near.SetDeadline(time.Now().Add(20*time.Millisecond)))
			_, err = near.Read(make([]byte, 9))
			checkTimeout(t, err)
			_, err = near.Write([]byte("out"))
			checkTimeout(t, err)
			require.NoError(t, near.SetDeadline(time.Time{}))
			wrote := make(chan error)
			go func() { _, err := near.Write([]byte("out")); wrote <- err }() // ends with undo
			require.NoError(t, far.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
			_, err = far.Read(make([]byte, 9))
			checkTimeout(t, err)
			undo()
			require.NoError(t, <-wrote)
			require.NoError(t, far.SetReadDeadline(time.Time{}))
			buf := make([]byte, 9)
			n, err := far.Read(buf)
			require.NoError(t, err)
			assert.Equal(t, "out", string(buf[:n]))
			n, err = near.Read(buf[:1])
			require.NoError(t, err)
			assert.Equal(t, "i", string(buf[:n]))
			n, err = near.Read(buf)
			require.NoError(t, err)
			assert.Equal(t, "n", string(buf[:n]))
		})
		t.Run("close frees a "+name, func(t *testing.T) {
			f, far, near := setup(t)
			fault(f)
			_, err := far.Write([]byte("in"))
			require.NoError(t, err)
			errs := make(chan error)
			go func() { _, err := near.Read(make([]byte, 9)); errs <- err }() // ends with Close
			go func() { _, err := near.Write([]byte("x")); errs <- err }()    // ends with Close
			require.NoError(t, near.Close())
			require.ErrorIs(t, <-errs, net.ErrClosed)
			require.ErrorIs(t, <-errs, net.ErrClosed)
			require.ErrorIs(t, near.Close(), net.ErrClosed)
		})
	}
	t.Run("reset", func(t *testing.T) {
		f, far, near := setup(t)
		read := make(chan error)
		go func() { _, err := near.Read(make([]byte, 9)); read <- err }() // ends with the reset
		f.Reset(client, node1)
		require.ErrorIs(t, <-read, syscall.ECONNRESET)
		_, err := near.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = far.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		assert.Empty(t, f.conns)
	})
	t.Run("down", func(t *testing.T) {
		f := New(Config{})
		defer f.Close()
		f.Down(node1)
		a, b := tcpPipe(t)
		near := f.WrapConn(b, client, node1)
		_, err := a.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = near.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
	t.Run("latency", func(t *testing.T) {
		f, far, near := setup(t)
		f.SetLink(client, node1, Link{Latency: 20 * time.Millisecond})
		f.SetLink(node1, client, Link{Latency: 30 * time.Millisecond})
		go func() { _, _ = io.Copy(near, near) }() // ends with far
		start := time.Now()
		_, err := far.Write([]byte("x"))
		require.NoError(t, err)
		_, err = far.Read(make([]byte, 1))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
		_ = far.Close()
	})
}

func BenchmarkSend(b *testing.B) {
	run := func(b *testing.B, send func(payload []byte), got <-chan struct{}) {
		payload := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			send(payload)
			<-got
		}
	}
	b.Run("fabric", func(b *testing.B) {
		f := New(Config{})
		defer f.Close()
		got := make(chan struct{}, 1)
		f.Attach(node2, func(Addr, []byte) { got <- struct{}{} })
		run(b, func(p []byte) { f.Send(node1, node2, p) }, got)
	})
	b.Run("channel", func(b *testing.B) {
		ch, got := make(chan []byte, 1), make(chan struct{}, 1)
		go func() { // ends when ch is closed
			for range ch {
				got <- struct{}{}
			}
		}()
		defer close(ch)
		run(b, func(p []byte) { ch <- p }, got)
	})
}

// BenchmarkSendStream doesn't wait for each message.
func BenchmarkSendStream(b *testing.B) {
	f := New(Config{})
	defer f.Close()
	f.Attach(node2, func(Addr, []byte) {})
	payload := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		f.Send(node1, node2, payload)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	kinds := []struct {
		name string
		pipe func(testing.TB) (net.Conn, net.Conn)
	}{
		{"memory", memoryPipe},
		{"net.Pipe", func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }},
		{"tcp", tcpPipe},
		{"wrapped", wrappedPipe},
	}
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			x, y := k.pipe(b)
			go func() { _, _ = io.CopyBuffer(struct{ io.Writer }{y}, struct{ io.Reader }{y}, make([]byte, 4096)) }() // ends with x
			buf := make([]byte, 100)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = x.Write(buf)
				_, _ = io.ReadFull(x, buf)
			}
			_ = x.Close()
		})
	}
}

func BenchmarkDial(b *testing.B) {
	f := New(Config{})
	defer f.Close()
	l := f.Listen(node1)
	b.ReportAllocs()
	for b.Loop() {
		c, err := f.Dial(context.Background(), client, node1)
		if err != nil {
			b.Fatal(err)
		}
		s, _ := l.Accept()
		_, _ = c.Close(), s.Close()
	}
}
