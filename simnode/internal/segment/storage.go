package segment

import (
	"sync"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/volume"
)

// storageNode runs one storage node. It needs no goroutine or timer of its own:
// all it does is answer, in the goroutine that the fabric delivers from.
type storageNode struct {
	id    message.StorageID
	cfg   Config
	start time.Time
	addr  fabric.Addr

	// running serialises run and halt; the fabric's goroutine never takes it.
	running sync.Mutex
	detach  func()         // nil while stopped
	durable volume.Durable // the machine's while it runs
}

func newStorageNode(cfg Config, id message.StorageID, start time.Time) *storageNode {
	return &storageNode{id: id, cfg: cfg, start: start, addr: StorageAddr(id)}
}

// run starts it; false if it runs already.
func (s *storageNode) run() bool {
	s.running.Lock()
	defer s.running.Unlock()
	if s.detach != nil {
		return false
	}
	machine := volume.NewStorageNode(s.id, &s.durable, time.Since(s.start), s.cfg.Mutants)
	s.detach = s.cfg.Fabric.Attach(s.addr, func(from fabric.Addr, payload []byte) {
		m, err := message.Decode(payload)
		if err != nil || !believed(from, m) {
			return // a sender's bug must not stop the storage
		}
		now := time.Since(s.start)
		for _, o := range machine.StepBytes(now, partyOf(from), m, payload) {
			reply := message.Encode(o.Msg)
			for _, to := range o.To {
				s.cfg.Fabric.Send(s.addr, addrOf(to), reply)
			}
		}
	})
	return true
}

// halt stops it and waits for the message at work; false if it stood still.
func (s *storageNode) halt() bool {
	s.running.Lock()
	defer s.running.Unlock()
	if s.detach == nil {
		return false
	}
	s.detach()
	s.detach = nil
	return true
}
