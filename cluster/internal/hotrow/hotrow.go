package hotrow

import (
	"container/list"
	"hash/maphash"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Row returns what a conflict was about, by the DETAIL of a 40001: table and key,
// as the server writes them, for example `table "accounts", key (id)=(7)`. It is
// "" if the text doesn't name a row. The form is the simulated cluster's:
//
//	Conflict on table "accounts", key (id)=(7): transaction 2.1/99 is committing it.
func Row(detail string) string {
	what, found := strings.CutPrefix(detail, "Conflict on ")
	if !found {
		return ""
	}
	// What follows the last colon is the server's own; a key may contain others.
	end := strings.LastIndex(what, ": ")
	if end < 0 || !strings.HasPrefix(what, `table "`) || len(what[:end]) > maxRow {
		return ""
	}
	return what[:end]
}

// maxRow bounds the text that is kept of a row: a key that is longer is hardly
// one that many wait for.
const maxRow = 512

// Op stands for a statement by itself, or for a transaction that begins with it,
// and its arguments, by a hash of them. The zero value stands for none.
type Op uint64

// Size and Age bound what is remembered. A thousand rows are more than a client
// can be busy with at the same time; ten seconds without a conflict or a wait say
// that a row isn't hot any more, and to learn it again costs one conflict.
const (
	Size = 1024
	Age  = 10 * time.Second
)

// Memory remembers which row work that begins with a statement is about. It holds
// Size of them, those used last, and each until Age has passed since it was
// learned or renewed. It is safe for concurrent use. Create it with New; a nil
// Memory learns nothing.
type Memory struct {
	seed   maphash.Seed
	length atomic.Int64 // of order

	mu    sync.Mutex
	known map[Op]*list.Element
	order *list.List // of *entry, the one used last in front
}

type entry struct {
	op    Op
	row   string
	until time.Time
}

// New returns an empty memory.
func New() *Memory {
	return &Memory{seed: maphash.MakeSeed(), known: make(map[Op]*list.Element), order: list.New()}
}

// Op returns what stands for a statement, or 0 if an argument is of a type that
// can't be compared cheaply: only numbers, booleans, texts, bytes, times, arrays
// of these and nil can.
func (m *Memory) Op(tx bool, sql string, args []any) Op {
	if m == nil {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(m.seed)
	maphash.WriteComparable(&h, tx) // a plain SELECT isn't what a transaction makes of it
	h.WriteString(sql)
	for _, a := range args {
		switch a := a.(type) {
		case nil:
			h.WriteByte(0)
		case []byte:
			h.WriteByte(1)
			maphash.WriteComparable(&h, string(a))
		case time.Time:
			h.WriteByte(2)
			maphash.WriteComparable(&h, a.UnixNano())
		default:
			if !plain(reflect.TypeOf(a)) {
				return 0
			}
			h.WriteByte(3)
			maphash.WriteComparable(&h, a)
		}
	}
	return Op(max(h.Sum64(), 1))
}

// plain reports whether values of a type are compared by what they show.
func plain(t reflect.Type) bool {
	switch k := t.Kind(); {
	case k >= reflect.Bool && k <= reflect.Complex128 && k != reflect.Uintptr, k == reflect.String:
		return true
	case k == reflect.Array:
		return plain(t.Elem())
	default:
		return false
	}
}

// Learn notes that work which began with op met a conflict about the row.
func (m *Memory) Learn(op Op, row string, now time.Time) {
	if m == nil || op == 0 || row == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.known[op]; e != nil {
		m.forget(e)
	}
	m.known[op] = m.order.PushFront(&entry{op: op, row: row, until: now.Add(Age)})
	for m.order.Len() > Size {
		m.forget(m.order.Back())
	}
	m.length.Store(int64(m.order.Len()))
}

// Recall returns the row that work which begins with op is about, or "".
func (m *Memory) Recall(op Op, now time.Time) string {
	if m == nil || op == 0 || m.length.Load() == 0 {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.known[op]
	if e == nil {
		return ""
	}
	known := e.Value.(*entry)
	if !now.Before(known.until) {
		m.forget(e)
		m.length.Store(int64(m.order.Len()))
		return ""
	}
	m.order.MoveToFront(e)
	return known.row
}

// Renew notes that the row is still wanted by several: somebody had to wait for
// it. What was forgotten meanwhile stays so.
func (m *Memory) Renew(op Op, now time.Time) {
	if m == nil || op == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.known[op]; e != nil {
		e.Value.(*entry).until = now.Add(Age)
	}
}

// Len returns how many statements are remembered, those included that nobody has
// asked for since their time was over.
func (m *Memory) Len() int {
	if m == nil {
		return 0
	}
	return int(m.length.Load())
}

// forget removes an element. The caller holds mu.
func (m *Memory) forget(e *list.Element) {
	delete(m.known, e.Value.(*entry).op)
	m.order.Remove(e)
}
