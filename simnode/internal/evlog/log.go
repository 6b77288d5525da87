package evlog

import (
	"strings"
	"sync"
	"time"
)

// defaultCapacity keeps some 4,000 events: a demo of minutes with faults all the
// time makes a few hundred.
const defaultCapacity = 4096

// Log is a ring of the newest events and those who follow it. All methods are
// safe for concurrent use and never wait for a reader. A nil *Log takes events
// and forgets them.
type Log struct {
	start time.Time

	mu          sync.Mutex
	ring        []Event
	capacity    int
	last        uint64
	subscribers map[*Subscription]struct{}
}

// New makes a log of the newest capacity events; 0 means 4,096. Time counts from
// now.
func New(capacity int) *Log {
	if capacity <= 0 {
		capacity = defaultCapacity
	}
	return &Log{start: time.Now(), capacity: capacity, subscribers: map[*Subscription]struct{}{}}
}

// Add records an event. Subscribers whose buffer is full miss it.
func (l *Log) Add(source, kind, text string, fields ...Field) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Under the mutex, so that times never go back from one Seq to the next.
	l.last++
	e := Event{Seq: l.last, At: time.Since(l.start), Source: source, Kind: kind, Text: text, Fields: fields}
	if len(l.ring) < l.capacity {
		l.ring = append(l.ring, e)
	} else {
		l.ring[(e.Seq-1)%uint64(l.capacity)] = e
	}
	for s := range l.subscribers {
		select {
		case s.events <- e:
		default:
			s.lost++
		}
	}
}

// Events gives the newest events, oldest first. The first one's Seq tells how
// many went before.
func (l *Log) Events() []Event {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Event, 0, len(l.ring))
	if len(l.ring) == l.capacity {
		oldest := l.last % uint64(l.capacity)
		out = append(out, l.ring[oldest:]...)
		return append(out, l.ring[:oldest]...)
	}
	return append(out, l.ring...)
}

// Text gives Events one per line.
func (l *Log) Text() string {
	var b strings.Builder
	for _, e := range l.Events() {
		b.WriteString(e.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Subscription is one follower of a Log.
type Subscription struct {
	log    *Log
	events chan Event
	lost   uint64 // guarded by log.mu
}

// Subscribe follows the log from now on, with room for buffer events (at least
// one) that were not read yet. End it with Close.
func (l *Log) Subscribe(buffer int) *Subscription {
	s := &Subscription{log: l, events: make(chan Event, max(buffer, 1))}
	if l == nil {
		close(s.events)
		return s
	}
	l.mu.Lock()
	l.subscribers[s] = struct{}{}
	l.mu.Unlock()
	return s
}

// Events gives the channel of the events; it is closed by Close.
func (s *Subscription) Events() <-chan Event { return s.events }

// Lost counts the events that found the buffer full.
func (s *Subscription) Lost() uint64 {
	if s.log == nil {
		return 0
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.lost
}

// Close ends the subscription; events in the buffer can still be read. It is
// idempotent.
func (s *Subscription) Close() {
	if s.log == nil {
		return
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if _, on := s.log.subscribers[s]; on {
		delete(s.log.subscribers, s)
		close(s.events)
	}
}
