package stmtcache

import (
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/internal/stmtclass"
)

// Cache is the least-recently-used list of prepared statements of one
// server connection. It isn't safe for concurrent use: a connection has one
// user at a time. The zero value is empty and keeps nothing; see New.
type Cache struct {
	capacity int
	entries  map[string]*Entry
	head     Entry // ring: head.next is the most recently used
	serial   uint64
	stale    []string // names to deallocate with the next prepare
}

// Entry is one prepared statement and what is needed to run it again.
type Entry struct {
	Desc       *pgconn.StatementDescription
	Info       stmtclass.Info
	Formats    []int16 // result formats, one per column
	prev, next *Entry
}

// New returns an empty cache for that many statements; with a capacity of zero
// it keeps none.
func New(capacity int) *Cache {
	c := &Cache{capacity: capacity, entries: make(map[string]*Entry)}
	c.head.prev, c.head.next = &c.head, &c.head
	return c
}

// Get returns the entry for a statement text and marks it as used, or nil.
func (c *Cache) Get(sql string) *Entry {
	e := c.entries[sql]
	if e == nil {
		return nil
	}
	if c.head.next != e {
		e.unlink()
		c.pushFront(e)
	}
	return e
}

// NextName returns a name that no statement of this connection has had. The
// prefix keeps clear of the names that applications and pgx choose.
func (c *Cache) NextName() string {
	c.serial++
	return "anywriter_" + strconv.FormatUint(c.serial, 36)
}

// Put adds an entry and queues the deallocation of those that it displaces.
func (c *Cache) Put(sql string, e *Entry) {
	if old := c.entries[sql]; old != nil {
		c.Drop(sql)
	}
	c.entries[sql] = e
	c.pushFront(e)
	for len(c.entries) > c.capacity {
		last := c.head.prev
		c.Drop(last.Desc.SQL)
	}
}

// Capacity returns how many statements the cache keeps.
func (c *Cache) Capacity() int { return c.capacity }

// Stale returns the names that wait to be deallocated; the caller must not
// change them.
func (c *Cache) Stale() []string { return c.stale }

// Deallocated forgets the stale names: the server has dropped them.
func (c *Cache) Deallocated() { c.stale = c.stale[:0] }

// Drop removes a statement and queues its deallocation.
func (c *Cache) Drop(sql string) {
	e := c.entries[sql]
	if e == nil {
		return
	}
	delete(c.entries, sql)
	e.unlink()
	if e.Desc.Name != "" {
		c.stale = append(c.stale, e.Desc.Name)
	}
}

// Forget removes every statement and queues its deallocation, for when the
// server may have dropped some: closing a statement that is gone is no error
// in the protocol.
func (c *Cache) Forget() {
	for sql := range c.entries {
		c.Drop(sql)
	}
}

func (c *Cache) pushFront(e *Entry) {
	e.prev, e.next = &c.head, c.head.next
	e.prev.next, e.next.prev = e, e
}

func (e *Entry) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}
