package wire

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// aheadDelay is how long a command runs before the server begins to read
	// ahead. Most commands are over by then and never pay for a goroutine.
	aheadDelay = 5 * time.Millisecond
	// aheadBytes is how much is read ahead of the command that runs. A client that
	// vanishes after having sent more is noticed when the server writes to it.
	aheadBytes = 256 << 10
	aheadChunk = 4 << 10
)

// ahead is the reading side of a connection. While a command runs it goes on
// reading in the background, so that the end of the connection is noticed. Read,
// close and join are the connection's own goroutine's.
type ahead struct {
	nc      net.Conn
	gone    func() // called when the connection has ended under a running command
	timer   *time.Timer
	arrived chan struct{} // a token: something below changed
	joined  sync.WaitGroup

	mu       sync.Mutex
	watching bool // a command runs
	armed    bool // the timer will call background
	reading  bool // background owns the connection's reading side
	closed   bool
	data     []byte
	err      error
}

func newAhead(nc net.Conn, gone func()) *ahead {
	a := &ahead{nc: nc, gone: gone, arrived: make(chan struct{}, 1)}
	a.timer = time.AfterFunc(time.Hour, a.background)
	a.timer.Stop()
	return a
}

// Read gives what was read ahead, or reads from the connection. Calling it says
// that no command runs.
func (a *ahead) Read(p []byte) (int, error) {
	for {
		a.mu.Lock()
		if len(a.data) > 0 {
			n := copy(p, a.data)
			a.data = a.data[n:]
			if len(a.data) == 0 {
				a.data = nil
			}
			a.mu.Unlock()
			return n, nil
		}
		err, reading := a.err, a.reading
		a.watching = false
		a.disarm()
		a.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if !reading {
			return a.nc.Read(p)
		}
		<-a.arrived
	}
}

// watch begins to look after the connection, a while from now; the next Read ends
// that.
func (a *ahead) watch() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watching = true
	if a.armed || a.reading || a.closed || a.err != nil {
		return
	}
	a.armed = true
	a.joined.Add(1)
	a.timer.Reset(aheadDelay)
}

// disarm stops the timer; the mutex is held.
func (a *ahead) disarm() {
	if a.armed && a.timer.Stop() {
		a.armed = false
		a.joined.Done()
	}
}

// background runs in the timer's goroutine. It ends when a byte or an error
// arrives after the command is over, when enough was read, or when the connection
// is closed.
func (a *ahead) background() {
	defer a.joined.Done()
	a.mu.Lock()
	a.armed = false
	start := a.watching && !a.reading && !a.closed && a.err == nil
	a.reading = a.reading || start
	a.mu.Unlock()
	chunk := make([]byte, aheadChunk)
	for more := start; more; {
		n, err := a.nc.Read(chunk)
		more = a.took(chunk[:n], err)
	}
}

// took keeps what background read and reports whether it shall go on.
func (a *ahead) took(data []byte, err error) bool {
	a.mu.Lock()
	a.data = append(a.data, data...)
	woken := errors.Is(err, os.ErrDeadlineExceeded)
	if !woken {
		a.err = err
	}
	ended := a.err != nil && a.watching
	a.reading = err == nil && a.watching && !a.closed && len(a.data) < aheadBytes
	more := a.reading
	a.mu.Unlock()
	select {
	case a.arrived <- struct{}{}:
	default:
	}
	if ended {
		a.gone()
	}
	return more
}

// join waits for the background; the connection must be closed already.
func (a *ahead) join() {
	a.mu.Lock()
	a.closed = true
	a.disarm()
	a.mu.Unlock()
	a.joined.Wait()
}
