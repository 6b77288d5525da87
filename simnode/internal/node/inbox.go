package node

import (
	"sync"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
)

// item is a message from the fabric, or a command (run) of a session.
type item struct {
	from fabric.Addr
	msg  message.Message
	run  func(now time.Duration)
}

// inbox is the queue in front of the loop. It never blocks who puts.
type inbox struct {
	wake chan struct{} // has room for one token

	mu    sync.Mutex
	items []item // guarded by mu
	spare []item // guarded by mu: the slice that the loop has finished with
}

func (in *inbox) put(it item) {
	in.mu.Lock()
	in.items = append(in.items, it)
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default: // the loop will look anyway
	}
}

// take gives what has come in. The slice is the loop's until the next take.
func (in *inbox) take() []item {
	in.mu.Lock()
	defer in.mu.Unlock()
	clear(in.spare)
	batch := in.items
	in.items, in.spare = in.spare[:0], batch
	return batch
}
