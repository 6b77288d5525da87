package stmtcache

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func add(c *Cache, sql string) string {
	name := c.NextName()
	c.Put(sql, &Entry{Desc: &pgconn.StatementDescription{Name: name, SQL: sql}})
	return name
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	c := New(2)
	a, b := add(c, "a"), add(c, "b")
	require.NotEqual(t, a, b)
	require.NotNil(t, c.Get("a"))
	add(c, "c")
	require.Nil(t, c.Get("b"))
	require.Equal(t, []string{b}, c.Stale())
	c.Deallocated()
	require.Empty(t, c.Stale())
	c.Forget()
	require.Nil(t, c.Get("a"))
	require.Len(t, c.Stale(), 2)
}

// The cache against a model: what was used last is there, every name that was
// ever handed out is either in the cache or stale.
func TestCacheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 5).Draw(t, "capacity")
		c := New(capacity)
		var order []string // most recent last
		names := map[string]bool{}
		touch := func(sql string) {
			for i, s := range order {
				if s == sql {
					order = append(order[:i], order[i+1:]...)
					break
				}
			}
			order = append(order, sql)
			if len(order) > capacity {
				order = order[1:]
			}
		}
		for _, n := range rapid.SliceOf(rapid.IntRange(0, 8)).Draw(t, "uses") {
			sql := fmt.Sprint("s", n)
			if e := c.Get(sql); e == nil {
				require.NotContains(t, order, sql)
				name := add(c, sql)
				require.False(t, names[name])
				names[name] = true
			} else {
				require.Contains(t, order, sql)
			}
			touch(sql)
		}
		for _, sql := range order {
			delete(names, c.Get(sql).Desc.Name)
		}
		for _, name := range c.Stale() {
			delete(names, name)
		}
		require.Empty(t, names)
	})
}
