package history

import (
	"sync"
	"time"
)

// Recorder collects operations. Make it with NewRecorder; its methods may be
// called from any goroutine.
type Recorder struct {
	start time.Time

	mu  sync.Mutex
	ops []Op
}

// NewRecorder starts the clock of a recording.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Start is the moment from which times are measured.
func (r *Recorder) Start() time.Time { return r.start }

// Invoke records that an operation begins, and returns its number for Return.
// The operation's Invoked and Outcome are set here.
func (r *Recorder) Invoke(op Op) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.Invoked = time.Since(r.start)
	op.Outcome = Pending
	r.ops = append(r.ops, op)
	return len(r.ops) - 1
}

// Return records the end of operation n, with everything that op now says, and
// gives back the complete record. The time and number of its start stay.
func (r *Recorder) Return(n int, op Op) Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.Invoked = r.ops[n].Invoked
	op.Returned = time.Since(r.start)
	r.ops[n] = op
	return op
}

// Ops returns a copy of all operations in the order of their invocation.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Op(nil), r.ops...)
}
