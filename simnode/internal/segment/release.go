package segment

import (
	"sync"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
)

// A release is repeated so that a few lost messages don't make anybody wait for the
// lease of a process that is gone; all copies within a fifth of that lease.
const (
	releaseCopies = 4
	releasePause  = 10 * time.Millisecond
)

// supervisors stands for the processes that watch over the nodes' processes: what
// they still have to say, and how to make them stop.
type supervisors struct {
	quit   chan struct{} // closed by close
	joined sync.WaitGroup

	mu     sync.Mutex
	closed bool // guarded by mu: no goroutine is added to joined any more
}

// Release tells every storage node, and every other node, that life inc of node and
// any before it has exited and reads no more. Only whoever has seen the process end
// may say so: a lease that is released while its owner reads breaks strict reads.
// The messages cross the fabric from the supervisor of the node's host, at once and
// then a few times more. Release does not wait for that. Inc 0 is no life and says
// nothing. After Close, Release has no effect.
func (v *Volume) Release(node message.NodeID, inc message.Incarnation) {
	if inc == 0 {
		return
	}
	payload := message.Encode(message.Release{Node: node, Inc: inc})
	v.sendRelease(node, payload)
	s := &v.supervisors
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	// Ends after the last copy, or when close closes quit.
	s.joined.Go(func() {
		ticker := time.NewTicker(releasePause)
		defer ticker.Stop()
		for range releaseCopies - 1 {
			select {
			case <-ticker.C:
				v.sendRelease(node, payload)
			case <-s.quit:
				return
			}
		}
	})
}

func (v *Volume) sendRelease(node message.NodeID, payload []byte) {
	from := fabric.Addr{Kind: fabric.KindSupervisor, ID: uint16(node)}
	for _, s := range v.storage {
		v.cfg.Fabric.Send(from, StorageAddr(s.id), payload)
	}
	for _, peer := range v.cfg.Members {
		if peer != node {
			v.cfg.Fabric.Send(from, fabric.Addr{Kind: fabric.KindNode, ID: uint16(peer)}, payload)
		}
	}
}

func (s *supervisors) close() {
	s.mu.Lock()
	s.closed = true
	close(s.quit)
	s.mu.Unlock()
	s.joined.Wait()
}

// believed reports whether a message may come from that sender: a Release only from
// the supervisor of the node that it speaks of. A node that doesn't answer may live
// and read, so nobody else's word ends its lease.
func believed(from fabric.Addr, m message.Message) bool {
	r, ok := m.(message.Release)
	return !ok || from == fabric.Addr{Kind: fabric.KindSupervisor, ID: uint16(r.Node)}
}
