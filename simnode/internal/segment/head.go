package segment

import (
	"sync"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/volume"
)

// tick is how often storage nodes that have not answered are looked at: a third
// of the protocol's append retry, so that an Accept is late by at most that.
const tick = 20 * time.Millisecond

// head runs the volume's head: messages are decoded in the fabric's goroutine and
// acted on in one of our own, which takes all that is queued at once and sends
// when it has seen it all.
type head struct {
	fabric *fabric.Fabric
	start  time.Time
	detach func()

	news    chan struct{} // capacity 1
	asks    chan func(*volume.Head)
	closing chan struct{}
	done    chan struct{}

	machine *volume.Head // run's; when done is closed anyone's, to read

	mu    sync.Mutex
	queue []delivery
}

type delivery struct {
	from fabric.Addr
	msg  message.Message
}

func startHead(cfg Config, start time.Time) *head {
	h := &head{
		fabric:  cfg.Fabric,
		start:   start,
		news:    make(chan struct{}, 1),
		asks:    make(chan func(*volume.Head)),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		machine: volume.NewHead(volume.HeadConfig{Members: cfg.Members, Mutants: cfg.Mutants}),
	}
	// Ends when close closes closing.
	go h.run()
	h.detach = cfg.Fabric.Attach(HeadAddr(), h.receive)
	return h
}

// receive drops what is not a message: a sender's bug must not stop the storage.
func (h *head) receive(from fabric.Addr, payload []byte) {
	m, err := message.Decode(payload)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.queue = append(h.queue, delivery{from, m})
	h.mu.Unlock()
	select {
	case h.news <- struct{}{}:
	default:
	}
}

func (h *head) run() {
	defer close(h.done)
	timer := time.NewTimer(tick)
	defer timer.Stop()
	var batch []delivery
	for {
		// Without anything to repeat there is no tick, so that an idle volume
		// costs nothing in virtual time.
		var due <-chan time.Time
		if !h.machine.Idle() {
			due = timer.C
		}
		select {
		case <-h.news:
			batch = h.work(batch)
		case <-due:
			timer.Reset(tick)
			h.send(nil, h.machine.Tick(time.Since(h.start)))
		case ask := <-h.asks:
			ask(h.machine)
		case <-h.closing:
			return
		}
	}
}

// work does what is queued; it gives batch back to be used again.
func (h *head) work(batch []delivery) []delivery {
	h.mu.Lock()
	batch, h.queue = h.queue, batch[:0]
	h.mu.Unlock()
	now := time.Since(h.start)
	var out []outgoing
	for i := range batch {
		for _, o := range h.machine.Step(now, partyOf(batch[i].from), batch[i].msg) {
			out = append(out, outgoing{o.To, message.Encode(o.Msg)})
		}
	}
	clear(batch)
	h.send(out, nil)
	return batch
}

// outgoing is a message in bytes.
type outgoing struct {
	to      []volume.Party
	payload []byte
}

func (h *head) send(out []outgoing, more []volume.Output) {
	for _, o := range more {
		out = append(out, outgoing{o.To, message.Encode(o.Msg)})
	}
	for _, o := range out {
		for _, to := range o.to {
			h.fabric.Send(HeadAddr(), addrOf(to), o.payload)
		}
	}
}

// ask runs f, which only reads, where it may look at the machine; after close
// too.
func (h *head) ask(f func(*volume.Head)) {
	finished := make(chan struct{})
	select {
	case h.asks <- func(m *volume.Head) { f(m); close(finished) }:
		<-finished
	case <-h.done:
		f(h.machine) // nobody changes it any more
	}
}

func (h *head) close() {
	h.detach()
	close(h.closing)
	<-h.done
}
