package mvcc

import (
	"cmp"
	"iter"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/tidwall/btree"
)

// span is a stretch of keys: from is in, to is out; open means without an end.
type span[K cmp.Ordered] struct {
	from, to K
	open     bool
	reverse  bool
}

// A scan reads batches under the table's lock: the first is small, for scans that
// stop early (LIMIT, a unique key), the last size keeps the lock below 10 µs.
const (
	firstBatch = 8
	maxBatch   = 256
)

// item is one entry of a tree.
type item[K cmp.Ordered, V any] struct {
	key   K
	value V
}

// cursor reads a tree in batches, in the span's direction. It stays valid while the
// tree changes: each batch starts behind the last key of the one before.
type cursor[K cmp.Ordered, V any] struct {
	fill  func(dst []item[K, V], last *K) []item[K, V] // nil: an empty tree
	batch []item[K, V]
	pos   int
	size  int
	last  K
	begun bool
	done  bool
}

// next gives the next entry, nil at the end.
func (c *cursor[K, V]) next() *item[K, V] {
	if c.fill == nil {
		return nil
	}
	if c.pos < len(c.batch) {
		c.pos++
		return &c.batch[c.pos-1]
	}
	if c.done {
		return nil
	}
	c.size = min(max(c.size*4, firstBatch), maxBatch)
	var last *K
	if c.begun {
		last = &c.last
	}
	// A new slice each time: entries of the old one may still be in use.
	c.batch = c.fill(make([]item[K, V], 0, c.size), last)
	c.begun, c.pos = true, 0
	c.done = len(c.batch) < c.size
	if len(c.batch) == 0 {
		return nil
	}
	c.last = c.batch[len(c.batch)-1].key
	c.pos = 1
	return &c.batch[0]
}

// collectSpan appends entries of the span behind last until dst is full.
func collectSpan[K cmp.Ordered, V any](tree *btree.Map[K, V], s span[K], last *K, dst []item[K, V]) []item[K, V] {
	if s.reverse {
		return collectDown(tree, s, last, dst)
	}
	start := s.from
	if last != nil {
		start = *last
	}
	tree.Ascend(start, func(key K, value V) bool {
		if last != nil && key == *last {
			return true
		}
		if !s.open && key >= s.to {
			return false
		}
		dst = append(dst, item[K, V]{key, value})
		return len(dst) < cap(dst)
	})
	return dst
}

func collectDown[K cmp.Ordered, V any](tree *btree.Map[K, V], s span[K], last *K, dst []item[K, V]) []item[K, V] {
	visit := func(key K, value V) bool {
		if last != nil && key >= *last || !s.open && key >= s.to {
			return true
		}
		if key < s.from {
			return false
		}
		dst = append(dst, item[K, V]{key, value})
		return len(dst) < cap(dst)
	}
	switch {
	case last != nil:
		tree.Descend(*last, visit)
	case s.open:
		tree.Reverse(visit)
	default:
		tree.Descend(s.to, visit)
	}
	return dst
}

func rowCursor(td *tableData, s span[message.Key]) *cursor[message.Key, *rowEntry] {
	c := &cursor[message.Key, *rowEntry]{}
	if td != nil {
		c.fill = func(dst []item[message.Key, *rowEntry], last *message.Key) []item[message.Key, *rowEntry] {
			td.mu.RLock()
			defer td.mu.RUnlock()
			return collectSpan(&td.rows, s, last, dst)
		}
	}
	return c
}

func ownRowCursor(own *ownTable, s span[message.Key]) *cursor[message.Key, *ownRow] {
	c := &cursor[message.Key, *ownRow]{}
	if own != nil {
		c.fill = func(dst []item[message.Key, *ownRow], last *message.Key) []item[message.Key, *ownRow] {
			return collectSpan(&own.rows, s, last, dst)
		}
	}
	return c
}

func entryCursor(td *tableData, position int, s span[string]) *cursor[string, indexEntry] {
	c := &cursor[string, indexEntry]{}
	if td != nil {
		c.fill = func(dst []item[string, indexEntry], last *string) []item[string, indexEntry] {
			td.mu.RLock()
			defer td.mu.RUnlock()
			return collectSpan(td.indexes[position], s, last, dst)
		}
	}
	return c
}

func ownEntryCursor(own *ownTable, position int, s span[string]) *cursor[string, ownIndexEntry] {
	c := &cursor[string, ownIndexEntry]{}
	if own != nil {
		c.fill = func(dst []item[string, ownIndexEntry], last *string) []item[string, ownIndexEntry] {
			return collectSpan(own.indexes[position], s, last, dst)
		}
	}
	return c
}

// merge joins two cursors over the same keys: each key comes once, with what either
// side has of it (nil: nothing).
func merge[K cmp.Ordered, A, B any](a *cursor[K, A], b *cursor[K, B], reverse bool) iter.Seq2[*item[K, A], *item[K, B]] {
	return func(yield func(*item[K, A], *item[K, B]) bool) {
		x, y := a.next(), b.next()
		for x != nil || y != nil {
			order := 0
			switch {
			case x == nil:
				order = 1
			case y == nil:
				order = -1
			default:
				order = cmp.Compare(x.key, y.key)
				if reverse {
					order = -order
				}
			}
			left, right := x, y
			if order > 0 {
				left = nil
			} else {
				x = a.next()
			}
			if order < 0 {
				right = nil
			} else {
				y = b.next()
			}
			if !yield(left, right) {
				return
			}
		}
	}
}
