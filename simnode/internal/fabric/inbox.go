package fabric

import (
	"sync"
	"time"
)

// envelope is a message on its way. A zero at means that it is there.
type envelope struct {
	from    Addr
	payload []byte
	at      time.Time
	seq     uint64 // order of equal arrivals
}

// inbox delivers the messages of one address from one goroutine. Messages
// without delay pass through ready, the others wait in later: neither needs a
// goroutine or a timer of its own.
type inbox struct {
	recv func(from Addr, payload []byte)
	news chan struct{} // capacity 1: something changed
	done chan struct{} // run has returned

	mu      sync.Mutex
	ready   []envelope
	head    int        // of ready
	later   []envelope // heap by (at, seq)
	seq     uint64
	paused  bool
	stopped bool
}

func newInbox(recv func(Addr, []byte)) *inbox {
	return &inbox{recv: recv, news: make(chan struct{}, 1), done: make(chan struct{})}
}

// push takes a message in; it never blocks.
func (in *inbox) push(env envelope) {
	in.mu.Lock()
	if in.stopped {
		in.mu.Unlock()
		return
	}
	if env.at.IsZero() {
		in.ready = append(in.ready, env)
	} else {
		in.seq++
		env.seq = in.seq
		in.later = heapPush(in.later, env)
	}
	in.mu.Unlock()
	signal(in.news)
}

func (in *inbox) setPaused(paused bool) {
	in.mu.Lock()
	changed := in.paused != paused
	in.paused = paused
	in.mu.Unlock()
	if changed {
		signal(in.news)
	}
}

// clear drops everything that was not delivered yet.
func (in *inbox) clear() {
	in.mu.Lock()
	in.ready, in.head, in.later = nil, 0, nil
	in.mu.Unlock()
}

// stop ends run and waits until it has returned.
func (in *inbox) stop() {
	in.mu.Lock()
	in.stopped = true
	in.mu.Unlock()
	signal(in.news)
	<-in.done
}

func (in *inbox) run() {
	defer close(in.done)
	var timer *time.Timer
	for {
		env, what, wait := in.next()
		switch {
		case what == nextStop:
			return
		case what == nextMessage:
			in.recv(env.from, env.payload)
		case wait == 0:
			<-in.news
		default:
			timer = in.sleep(timer, wait)
		}
	}
}

// sleep waits for news or for the next arrival, on a timer that is used again.
func (in *inbox) sleep(timer *time.Timer, wait time.Duration) *time.Timer {
	if timer == nil {
		timer = time.NewTimer(wait)
	} else {
		timer.Reset(wait)
	}
	defer timer.Stop()
	select {
	case <-in.news:
	case <-timer.C:
	}
	return timer
}

type nextKind uint8

const (
	nextNothing nextKind = iota
	nextMessage
	nextStop
)

// next gives the message to deliver now, or how long until one arrives (0:
// nothing is on its way).
func (in *inbox) next() (env envelope, what nextKind, wait time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.stopped {
		return env, nextStop, 0
	}
	if in.paused {
		return env, nextNothing, 0
	}
	if len(in.later) > 0 {
		now := time.Now()
		for len(in.later) > 0 && !in.later[0].at.After(now) {
			in.later, env = heapPop(in.later)
			in.ready = append(in.ready, env)
		}
		if len(in.later) > 0 {
			wait = in.later[0].at.Sub(now)
		}
	}
	if in.head == len(in.ready) {
		return env, nextNothing, wait
	}
	env = in.ready[in.head]
	in.ready[in.head] = envelope{}
	in.head++
	// Half of it delivered: move the rest down, so that a queue that never runs
	// empty doesn't grow for ever.
	if in.head*2 >= len(in.ready) {
		n := copy(in.ready, in.ready[in.head:])
		clear(in.ready[n:])
		in.ready, in.head = in.ready[:n], 0
	}
	return env, nextMessage, 0
}

// signal leaves a token in a channel of capacity 1 unless one is there.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func earlier(a, b envelope) bool {
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.seq < b.seq
}

// heapPush and heapPop are container/heap without its interface values, which
// would cost an allocation per message.
func heapPush(h []envelope, env envelope) []envelope {
	h = append(h, env)
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !earlier(h[i], h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
	return h
}

func heapPop(h []envelope) ([]envelope, envelope) {
	top, last := h[0], len(h)-1
	h[0], h[last] = h[last], envelope{}
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && earlier(h[child+1], h[child]) {
			child++
		}
		if !earlier(h[child], h[i]) {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	return h, top
}
