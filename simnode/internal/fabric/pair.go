package fabric

import (
	"io"
	"sync"
	"syscall"
	"time"
)

// window is how many bytes a direction holds before writes wait: about what
// Linux gives a loopback socket for sending and receiving together before it
// tunes them (tcp_wmem's 16 KiB and tcp_rmem's 128 KiB defaults, rounded up).
const window = 256 << 10

// ending is how a direction of a connection is over.
type ending uint8

const (
	endNone    ending = iota
	endWrite          // the sender wrote its last byte and still reads
	endClosed         // the sender closed: it reads no more either
	endReset          // the sender closed with a reset
	endSevered        // a fault reset the connection: no wait, no bytes left
)

// segment is a run of bytes that arrive together.
type segment struct {
	n  int
	at time.Time // zero: at once
}

// half is one direction of a connection. The pair's mutex guards it, except for
// the channels and the link.
type half struct {
	link     *link
	canRead  chan struct{} // capacity 1, as canWrite: see Conn.Read
	canWrite chan struct{}

	buf    []byte
	off    int // of the first byte not read
	segs   []segment
	segOff int
	last   time.Time // arrival of the newest segment: order is kept under jitter
	end    ending
	endAt  time.Time

	refused bool // the receiver had closed when something was sent
}

// pair is a connection: half[i] carries what side i writes.
type pair struct {
	fabric *Fabric
	addrs  [2]Addr

	mu     sync.Mutex
	half   [2]half
	closed [2]bool
}

func newPair(f *Fabric, a, b Addr) *pair {
	p := &pair{fabric: f, addrs: [2]Addr{a, b}}
	for i := range p.half {
		p.half[i].link = f.link(p.addrs[i], p.addrs[1-i])
		p.half[i].canRead = make(chan struct{}, 1)
		p.half[i].canWrite = make(chan struct{}, 1)
	}
	return p
}

func (p *pair) ends() (a, b Addr) { return p.addrs[0], p.addrs[1] }

func (p *pair) wake() {
	for i := range p.half {
		signal(p.half[i].canRead)
		signal(p.half[i].canWrite)
	}
}

func (p *pair) sever() {
	p.mu.Lock()
	for i := range p.half {
		h := &p.half[i]
		h.end, h.endAt = endSevered, time.Time{}
		h.drop()
	}
	p.mu.Unlock()
	p.wake()
}

// arrival is when something sent now gets there.
func (h *half) arrival() time.Time {
	at := h.last
	if !h.link.plain.Load() {
		if t := time.Now().Add(h.link.segment()); t.After(at) {
			at = t
		}
	}
	if !at.IsZero() && !at.After(time.Now()) {
		at = time.Time{}
	}
	h.last = at
	return at
}

// here reports whether something that arrives at at can be seen now.
func (h *half) here(at time.Time) bool {
	return !h.link.stalled.Load() && (at.IsZero() || !at.After(time.Now()))
}

// ended is what the receiver can know of the end by now.
func (h *half) ended() ending {
	if h.end == endNone || h.end == endSevered || h.here(h.endAt) {
		return h.end
	}
	return endNone
}

func (h *half) buffered() int { return len(h.buf) - h.off }

// put takes in as much of p as there is room for.
func (h *half) put(p []byte) int {
	n := min(len(p), window-h.buffered())
	if n <= 0 {
		return 0
	}
	if h.off > 0 && len(h.buf)+n > cap(h.buf) {
		h.buf = h.buf[:copy(h.buf, h.buf[h.off:])]
		h.off = 0
	}
	h.buf = append(h.buf, p[:n]...)
	at := h.arrival()
	if last := len(h.segs) - 1; last >= h.segOff && h.segs[last].at.Equal(at) {
		h.segs[last].n += n
	} else {
		h.segs = append(h.segs, segment{n, at})
	}
	return n
}

// take reads what has arrived. Without bytes or an end it gives the time to look
// again; zero: when told.
func (h *half) take(p []byte) (n int, again time.Time, err error) {
	if h.end == endSevered {
		return 0, again, syscall.ECONNRESET
	}
	for h.segOff < len(h.segs) && n < len(p) {
		s := &h.segs[h.segOff]
		if !h.here(s.at) {
			again = s.at
			break
		}
		k := copy(p[n:], h.buf[h.off:h.off+s.n])
		n, h.off, s.n = n+k, h.off+k, s.n-k
		if s.n == 0 {
			h.segOff++
		}
	}
	if h.segOff == len(h.segs) {
		h.segs, h.segOff = h.segs[:0], 0
		h.buf, h.off = h.buf[:0], 0
	}
	if n > 0 {
		return n, again, nil
	}
	if len(h.segs) == 0 {
		switch h.ended() {
		case endWrite, endClosed:
			return 0, again, io.EOF
		case endReset:
			return 0, again, syscall.ECONNRESET
		case endNone, endSevered:
			again = h.endAt
		}
	}
	if h.link.stalled.Load() {
		again = time.Time{} // the end of the stall will tell
	}
	return 0, again, nil
}

// gone is when the receiver will know of an end that it doesn't know of yet;
// zero: when told, or never.
func (h *half) gone() time.Time {
	if h.link.stalled.Load() || !h.endAt.After(time.Now()) {
		return time.Time{}
	}
	return h.endAt
}

// readable reports whether another reader would find something.
func (h *half) readable() bool {
	return h.end != endNone || h.segOff < len(h.segs)
}

// finish ends the direction with e, after the bytes under way; a reset overtakes
// those that have not arrived.
func (h *half) finish(e ending) {
	if h.end >= e {
		return
	}
	if e == endReset {
		h.dropLate()
	}
	h.end, h.endAt = e, h.arrival()
}

func (h *half) drop() {
	h.buf, h.off, h.segs, h.segOff = nil, 0, nil, 0
}

// dropLate forgets the bytes that have not arrived.
func (h *half) dropLate() {
	keep := 0
	for i := h.segOff; i < len(h.segs); i++ {
		if !h.here(h.segs[i].at) {
			h.segs = h.segs[:i]
			break
		}
		keep += h.segs[i].n
	}
	h.buf = h.buf[:h.off+keep]
	h.last = time.Time{}
}
