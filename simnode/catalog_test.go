package simnode_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

// asRole connects to a node as somebody else than postgres.
func asRole(t *testing.T, sim *simnode.Sim, node int, role string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", role, sim.Node(node).Addr()))
	require.NoError(t, err)
	cfg.DialFunc = sim.Dial
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// describe reads a table's descriptor as a client without joins does: one query per
// catalog, joined by hand.
func describe(t *testing.T, conn *pgx.Conn, mode pgx.QueryExecMode, schema, table string) string {
	t.Helper()
	ctx := context.Background()
	var namespace, class, owner uint32
	var schemaOwner, tableOwner, kind string
	row := conn.QueryRow(ctx, "select oid, pg_catalog.pg_get_userbyid(nspowner) from pg_catalog.pg_namespace where nspname = $1", mode, schema)
	require.NoError(t, row.Scan(&namespace, &schemaOwner))
	row = conn.QueryRow(ctx, `select oid, relkind::text, relowner, pg_get_userbyid(relowner) from pg_catalog.pg_class
		where relnamespace = $1 and relname = $2`, mode, namespace, table)
	require.NoError(t, row.Scan(&class, &kind, &owner, &tableOwner))
	var super bool
	require.NoError(t, conn.QueryRow(ctx, "select rolsuper from pg_catalog.pg_roles where oid = $1", mode, owner).Scan(&super))
	var out strings.Builder
	fmt.Fprintf(&out, "%s of %s, %s %s of %s, superuser %t:", schema, schemaOwner, kind, table, tableOwner, super)
	rows, err := conn.Query(ctx, `select attname, atttypid, attnotnull, atthasdef from pg_catalog.pg_attribute
		where attrelid = $1 and attnum > 0 and not attisdropped order by attnum`, mode, class)
	require.NoError(t, err)
	for rows.Next() {
		var name string
		var oid uint32
		var notNull, hasDefault bool
		require.NoError(t, rows.Scan(&name, &oid, &notNull, &hasDefault))
		fmt.Fprintf(&out, " %s/%d/%t/%t", name, oid, notNull, hasDefault)
	}
	require.NoError(t, rows.Err())
	var indkey string
	require.NoError(t, conn.QueryRow(ctx, `select indkey::text from pg_catalog.pg_index
		where indrelid = $1 and indisprimary and indpred is null`, mode, class).Scan(&indkey))
	fmt.Fprintf(&out, " key %s", indkey)
	return out.String()
}

func TestCatalogsOnEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := start(t, simnode.Config{InMemory: true, Roles: map[string]string{"bob": "", "alice": ""}})
		alice, bob := asRole(t, sim, 1, "alice"), asRole(t, sim, 2, "bob")
		exec(t, alice, "create schema app")
		exec(t, bob, "create table app.t (note text, id uuid primary key, ok bool not null default true)")
		want := "app of alice, r t of bob, superuser true: note/25/false/false id/2950/true/false ok/16/true/true key 2"
		for n := range sim.Nodes() {
			conn := connect(t, sim, n+1)
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
				require.Equal(t, want, describe(t, conn, mode, "app", "t"), "node %d, %v", n+1, mode)
			}
			require.Equal(t, "16384", value(t, conn, "select oid from pg_roles where rolname = 'alice'"))
			require.Equal(t, "16385", value(t, conn, "select oid from pg_roles where rolname = 'bob'"))
			require.Equal(t, "2200", value(t, conn, "select oid from pg_namespace where nspname = 'public'"))
			require.Equal(t, "pg_database_owner", value(t, conn, "select pg_get_userbyid(nspowner) from pg_namespace where oid = 2200"))
		}
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
			var kind rune
			var class uint32
			row := alice.QueryRow(context.Background(), "select relkind, 'app.t'::regclass::oid from pg_class where oid = to_regclass($1)", mode, "app.t")
			require.NoError(t, row.Scan(&kind, &class), "%v", mode)
			require.Equal(t, 'r', kind)
		}
	})
}

// A catalog is read at the statement's snapshot, like any other table.
func TestCatalogsAreTransactional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		seen := func(conn *pgx.Conn) string {
			t.Helper()
			return value(t, conn, "select count(*) from pg_class where relname = 'c'") +
				value(t, conn, "select count(*) from pg_namespace where nspname = 's'") +
				value(t, conn, "select count(*) from pg_attribute where attname = 'only_here'")
		}
		exec(t, b, "begin isolation level repeatable read")
		require.Equal(t, "000", seen(b))
		exec(t, a, "begin; create schema s; create table s.c (only_here int)")
		require.Equal(t, "111", seen(a), "one's own")
		exec(t, a, "savepoint x; drop table s.c")
		require.Equal(t, "010", seen(a))
		exec(t, a, "rollback to x; commit")
		require.Equal(t, "000", seen(b), "the old snapshot")
		exec(t, b, "commit")
		require.Equal(t, "111", seen(b))
	})
}
