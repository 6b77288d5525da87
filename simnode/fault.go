package simnode

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/evlog"
	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
)

// Undo takes one fault back. It is idempotent and safe for concurrent use.
type Undo func()

// Partition cuts every link between the two groups, in both directions: messages
// and bytes vanish without a word, as behind a broken switch. Connections stay
// open, and go on when it is undone or healed.
func (s *Sim) Partition(a, b []Endpoint) Undo {
	return s.network("partition", text(a)+" | "+text(b), s.fabric.Partition(addresses(a), addresses(b)))
}

// PartitionOneWay cuts what from sends to to; the other direction works.
func (s *Sim) PartitionOneWay(from, to []Endpoint) Undo {
	return s.network("partition", text(from)+" > "+text(to), s.fabric.PartitionOneWay(addresses(from), addresses(to)))
}

// SetLatency delays everything between two places by latency and up to jitter
// more, in both directions each.
func (s *Sim) SetLatency(a, b Endpoint, latency, jitter time.Duration) (Undo, error) {
	return s.setLink(a, b, fabric.Link{Latency: latency, Jitter: jitter}, "latency")
}

// SetLoss drops that share (0 to 1) of the messages between two places, in both
// directions. On client connections, as in TCP, it costs time and no bytes.
func (s *Sim) SetLoss(a, b Endpoint, share float64) (Undo, error) {
	return s.setLink(a, b, fabric.Link{Latency: s.cfg.Latency, Jitter: s.cfg.Jitter, Loss: share}, "loss")
}

func (s *Sim) setLink(a, b Endpoint, link fabric.Link, kind string) (Undo, error) {
	if err := link.Validate(); err != nil {
		return nil, fmt.Errorf("simnode: %w", err)
	}
	var undos []func()
	for _, x := range a.addrs {
		for _, y := range b.addrs {
			undos = append(undos, s.fabric.SetLink(x, y, link), s.fabric.SetLink(y, x, link))
		}
	}
	undo := func() {
		for _, u := range undos {
			u()
		}
	}
	where := fmt.Sprintf("%v - %v latency=%v jitter=%v loss=%v", a, b, link.Latency, link.Jitter, link.Loss)
	return s.network(kind, where, undo), nil
}

// network remembers a network fault for Heal and reports it.
func (s *Sim) network(kind, where string, undo func()) Undo {
	s.record("network", kind, where)
	once := sync.OnceFunc(func() {
		undo()
		s.record("network", "heal", kind+" "+where)
	})
	s.mu.Lock()
	s.heals = append(s.heals, once)
	s.mu.Unlock()
	return once
}

// Heal takes back every network fault that is still in force: partitions,
// latency, loss and isolation. Killed and frozen nodes stay as they are.
func (s *Sim) Heal() {
	s.mu.Lock()
	heals := s.heals
	s.heals = nil
	s.mu.Unlock()
	for _, heal := range heals {
		heal()
	}
}

// StopStorage stops storage node n, 1 to 6, as a crash would: what it stored is
// kept, its leases are forgotten. With four of six running writes go on, with
// fewer they wait.
func (s *Sim) StopStorage(n int) (Undo, error) {
	id := message.StorageID(n)
	if err := s.volume.StopStorage(id); err != nil {
		return nil, fmt.Errorf("simnode: %w", err)
	}
	// Starting a storage node that exists cannot fail.
	return sync.OnceFunc(func() { _ = s.volume.StartStorage(id) }), nil
}

// StopAZ stops every storage node of an availability zone, 1 to 3.
func (s *Sim) StopAZ(az int) (Undo, error) {
	if err := s.volume.StopAZ(az); err != nil {
		return nil, fmt.Errorf("simnode: %w", err)
	}
	return sync.OnceFunc(func() { _ = s.volume.StartAZ(az) }), nil
}

// Event is something that happened to the cluster, such as a fault.
type Event struct {
	// Seq counts from 1 without gaps: a watcher sees what it missed.
	Seq uint64
	// At is the time since the cluster was built.
	At time.Duration
	// Source says who, such as "node/2", Kind what in one word, such as "kill".
	Source, Kind, Text string
}

// String gives one line.
func (e Event) String() string {
	return fmt.Sprintf("%10.3fs %-10s %-9s %s", e.At.Seconds(), e.Source, e.Kind, e.Text)
}

// Watch gives the events from now on until stop is called or the cluster is
// closed, both of which close the channel. A watcher that is more than 256 events behind misses some.
func (s *Sim) Watch() (events <-chan Event, stop func()) {
	sub := s.log.Subscribe(256)
	out := make(chan Event)
	quit := make(chan struct{})
	var joined sync.WaitGroup
	// Ends when stop closes the subscription or nobody reads any more.
	joined.Go(func() {
		defer close(out)
		for e := range sub.Events() {
			select {
			case out <- event(e):
			case <-quit:
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(quit)
		sub.Close()
		joined.Wait()
	})
	s.mu.Lock()
	s.watchers = append(s.watchers, stop)
	closed := s.closed
	s.mu.Unlock()
	if closed {
		stop()
	}
	return out, stop
}

// Events gives the newest events, oldest first.
func (s *Sim) Events() []Event {
	var out []Event
	for _, e := range s.log.Events() {
		out = append(out, event(e))
	}
	return out
}

func event(e evlog.Event) Event {
	words := []string{e.Text}
	for _, f := range e.Fields {
		words = append(words, f.Key+"="+f.Value)
	}
	return Event{Seq: e.Seq, At: e.At, Source: e.Source, Kind: e.Kind, Text: strings.TrimSpace(strings.Join(words, " "))}
}

func text(places []Endpoint) string {
	names := make([]string, len(places))
	for i, place := range places {
		names[i] = place.String()
	}
	return strings.Join(names, ", ")
}
