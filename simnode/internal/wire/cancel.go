package wire

import (
	"crypto/rand"
	"crypto/subtle"
	"sync"
)

// CancelRegistry finds the connection that a cancel request speaks of by process
// ID and secret. Several servers of one process may share one, as a cluster's
// nodes do: then a cancel request may arrive at any of them. It is safe for
// concurrent use; create it with NewCancelRegistry.
type CancelRegistry struct {
	mu      sync.Mutex
	lastPID uint32
	entries map[uint32]cancelEntry
}

type cancelEntry struct {
	secret [4]byte
	cancel func()
}

// NewCancelRegistry gives an empty registry.
func NewCancelRegistry() *CancelRegistry {
	return &CancelRegistry{entries: map[uint32]cancelEntry{}}
}

// register enters a connection and gives its process ID, which is never 0 and
// fits an int32, and its secret.
func (r *CancelRegistry) register(cancel func()) (pid uint32, secret [4]byte) {
	// crypto/rand.Read never fails (it ends the process instead).
	_, _ = rand.Read(secret[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	for taken := true; taken; {
		r.lastPID = r.lastPID%0x7fffffff + 1
		_, taken = r.entries[r.lastPID]
	}
	r.entries[r.lastPID] = cancelEntry{secret, cancel}
	return r.lastPID, secret
}

func (r *CancelRegistry) unregister(pid uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.entries, pid)
}

// cancel cancels the running statement of a connection. A wrong process ID or
// secret does nothing, and nobody is told.
func (r *CancelRegistry) cancel(pid uint32, secret []byte) {
	r.mu.Lock()
	entry, ok := r.entries[pid]
	r.mu.Unlock()
	if ok && subtle.ConstantTimeCompare(entry.secret[:], secret) == 1 {
		entry.cancel()
	}
}
