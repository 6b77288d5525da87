package volume

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// world is a head, six storage nodes and what is on its way between them, in one
// goroutine and with a clock that tests move.
type world struct {
	now     time.Duration
	mutants Mutant
	head    *Head
	storage [StorageNodes]*StorageNode // nil: stopped
	durable [StorageNodes]Durable
	onWay   []posted
}

type posted struct {
	from, to Party
	msg      message.Message
}

func newWorld(members []message.NodeID, mutants Mutant) *world {
	w := &world{mutants: mutants, head: NewHead(HeadConfig{Members: members, Mutants: mutants})}
	for i := range w.storage {
		w.start(message.StorageID(i + 1))
	}
	return w
}

func (w *world) start(id message.StorageID) {
	w.storage[id-1] = NewStorageNode(id, &w.durable[id-1], w.now, w.mutants)
}

func (w *world) stop(id message.StorageID) { w.storage[id-1] = nil }

func (w *world) step(to, from Party, m message.Message) []Output {
	switch {
	case to == Party{}:
		return w.head.Step(w.now, from, m)
	case to.Storage != 0 && w.storage[to.Storage-1] != nil:
		return w.storage[to.Storage-1].Step(w.now, from, m)
	default:
		return nil
	}
}

func (w *world) tick() []Output { return w.head.Tick(w.now) }

// post puts messages on their way, except those to nodes, which are the tests'.
func (w *world) post(from Party, outs []Output) {
	for _, o := range outs {
		for _, to := range o.To {
			if to.Node == 0 {
				w.onWay = append(w.onWay, posted{from, to, o.Msg})
			}
		}
	}
}

// take gives what is on its way to one party.
func (w *world) take(to Party) (out []posted) {
	rest := w.onWay[:0]
	for _, e := range w.onWay {
		if e.to == to {
			out = append(out, e)
		} else {
			rest = append(rest, e)
		}
	}
	w.onWay = rest
	return out
}
