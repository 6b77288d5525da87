package sequence

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Fetch reserves count units of a sequence in the log and gives the first of them.
// Units are counted from 1 in each sequence. It must be safe for concurrent use.
type Fetch func(ctx context.Context, sequenceOID uint32, count int64) (first int64, err error)

// oidSequence is the sequence that numbers relations.
const oidSequence uint32 = 0

// The length of a block doubles with each fetch, from the first to the last of
// these: a sequence that is used once wastes at most 7 values when the node ends, and
// a busy one writes one log record in 256 values.
const (
	firstBlock = 8
	lastBlock  = 256
)

// Allocator is a node's stock of sequence values. Use NewAllocator. It is safe for
// concurrent use; no mutex is held while it fetches.
type Allocator struct {
	fetch Fetch

	mu     sync.Mutex
	blocks map[uint32]*block // guarded by mu
}

// block is the units in stock of one sequence: next … end-1.
type block struct {
	next, end int64
	size      int64 // of the last fetch
	// fetching is closed when the fetch that is under way has ended; nil without one.
	fetching chan struct{}
}

// NewAllocator makes an empty stock.
func NewAllocator(fetch Fetch) *Allocator {
	return &Allocator{fetch: fetch, blocks: make(map[uint32]*block)}
}

// NextOID gives an OID for a new relation, at or above catalog.FirstUserOID. Errors
// are those of Fetch, and context.Cause(ctx).
func (a *Allocator) NextOID(ctx context.Context) (uint32, error) {
	u, err := a.unit(ctx, oidSequence, 1)
	if err != nil {
		return 0, err
	}
	oid := int64(catalog.FirstUserOID) - 1 + u
	if oid > math.MaxUint32 {
		return 0, sqlerr.New("54000", "no more OIDs for new relations")
	}
	return uint32(oid), nil
}

// Next gives the next value of a sequence. At its end it fails with 2200H, unless
// the sequence cycles. Other errors are those of Fetch, and context.Cause(ctx).
func (a *Allocator) Next(ctx context.Context, s *catalog.Sequence) (int64, error) {
	u, err := a.unit(ctx, s.OID, s.BaseUnit)
	if err != nil {
		return 0, err
	}
	return value(s, u)
}

// Restart is setval: it gives the descriptor with which s goes on from v, or, if
// called, behind v. The caller stores it (mvcc.Txn.ReplaceSequence); until that
// commits, everybody goes on with the old one. Values outside the sequence's bounds
// are 22003.
func (a *Allocator) Restart(ctx context.Context, s *catalog.Sequence, v int64, called bool) (*catalog.Sequence, error) {
	if v < s.Min || v > s.Max {
		return nil, sqlerr.New("22003", "setval: value %d is out of bounds for sequence \"%s\" (%d..%d)", v, s.Name, s.Min, s.Max)
	}
	// Units already in some node's stock are below u and so void from now on.
	u, err := a.fetch(ctx, s.OID, 1)
	if err != nil {
		return nil, err
	}
	next := *s
	next.Base, next.BaseUnit = v, u
	if !called {
		next.BaseUnit = u + 1
	}
	return &next, nil
}

// unit takes a unit at or above minimum out of the stock.
func (a *Allocator) unit(ctx context.Context, oid uint32, minimum int64) (int64, error) {
	for {
		u, b, wait := a.take(oid, minimum)
		switch {
		case wait != nil:
			select {
			case <-wait:
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		case b == nil:
			return u, nil
		default:
			if err := a.refill(ctx, oid, b); err != nil {
				return 0, err
			}
		}
	}
}

// take gives a unit; or the block that the caller must refill; or a channel that is
// closed when another caller's refill has ended.
func (a *Allocator) take(oid uint32, minimum int64) (u int64, refill *block, wait <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.blocks[oid]
	if b == nil {
		b = &block{size: firstBlock / 2}
		a.blocks[oid] = b
	}
	b.next = max(b.next, min(minimum, b.end))
	if b.next < b.end {
		u = b.next
		b.next++
		return u, nil, nil
	}
	if b.fetching != nil {
		return 0, nil, b.fetching
	}
	b.fetching = make(chan struct{})
	b.size = min(b.size*2, lastBlock)
	return 0, b, nil
}

// refill fetches a block; only the caller that take chose is here.
func (a *Allocator) refill(ctx context.Context, oid uint32, b *block) error {
	first, err := a.fetch(ctx, oid, b.size)
	a.mu.Lock()
	defer a.mu.Unlock()
	close(b.fetching)
	b.fetching = nil
	if err != nil {
		return fmt.Errorf("sequence: reserve %d units of sequence %d: %w", b.size, oid, err)
	}
	b.next, b.end = first, first+b.size
	return nil
}

// value maps a unit to the sequence's value. All arithmetic is unsigned distance, so
// that the extremes of int8 cannot overflow.
func value(s *catalog.Sequence, unit int64) (int64, error) {
	n := uint64(unit - s.BaseUnit)
	step, room, length := uint64(s.Increment), uint64(s.Max)-uint64(s.Base), uint64(s.Max)-uint64(s.Min)
	restart, limit, name := s.Min, s.Max, "maximum"
	if s.Increment < 0 {
		step, room = -step, uint64(s.Base)-uint64(s.Min)
		restart, limit, name = s.Max, s.Min, "minimum"
	}
	if n <= room/step {
		return s.Base + int64(n)*s.Increment, nil
	}
	if !s.Cycle {
		return 0, sqlerr.New("2200H", "nextval: reached %s value of sequence \"%s\" (%d)", name, s.Name, limit)
	}
	n -= room/step + 1
	if cycle := length/step + 1; cycle != 0 {
		n %= cycle
	}
	return restart + int64(n)*s.Increment, nil
}
