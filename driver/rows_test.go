package driver_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Two results of one connection are open at the same time if the first was read
// ahead. Each keeps its rows and the types of its columns.
func TestTwoResultsAtOnce(t *testing.T) {
	db, ctx := open(t), t.Context()
	_, err := db.Exec("drop table if exists two; create table two (id int, name text)")
	require.NoError(t, err)
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	defer conn.Close()

	first, err := conn.QueryContext(ctx, "insert into two values (1, 'a'), (2, 'b') returning id, name")
	require.NoError(t, err)
	defer first.Close()
	var id int
	var name string
	require.True(t, first.Next())
	require.NoError(t, first.Scan(&id, &name))
	require.Equal(t, 1, id)
	require.Equal(t, "a", name)

	second, err := conn.QueryContext(ctx, "select 'c'::text, true, 0.5::float8")
	require.NoError(t, err)
	defer second.Close()
	var yes bool
	var half float64
	require.True(t, second.Next())

	require.True(t, first.Next())
	require.NoError(t, first.Scan(&id, &name))
	require.Equal(t, 2, id)
	require.Equal(t, "b", name)
	require.False(t, first.Next())
	require.NoError(t, first.Err())

	require.NoError(t, second.Scan(&name, &yes, &half))
	require.Equal(t, "c", name)
	require.True(t, yes)
	require.InDelta(t, 0.5, half, 0)
	require.False(t, second.Next())
	require.NoError(t, second.Err())
}
