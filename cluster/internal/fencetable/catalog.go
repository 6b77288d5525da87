package fencetable

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/internal/fence"
)

// lookup runs a catalog query with text parameters. Every value in its rows is
// text; NULL is "".
func lookup(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([][]string, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	res := conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, res.Err
	}
	rows := make([][]string, len(res.Rows))
	for i, row := range res.Rows {
		for _, v := range row {
			rows[i] = append(rows[i], string(v))
		}
	}
	return rows, nil
}

// Read reads what the catalog says about a table, one plain query per
// catalog: not every server that speaks PostgreSQL's protocol can join them.
func Read(ctx context.Context, conn *pgconn.PgConn, t fence.Table) (fence.Relation, error) {
	var r fence.Relation
	schema, err := lookup(ctx, conn,
		"select oid, pg_catalog.pg_get_userbyid(nspowner) from pg_catalog.pg_namespace where nspname = $1", t.Schema)
	if err != nil || len(schema) == 0 {
		return r, err
	}
	class, err := lookup(ctx, conn, "select oid, relkind, relpersistence, relhasrules, relhastriggers, relrowsecurity, "+
		"pg_catalog.pg_get_userbyid(relowner) from pg_catalog.pg_class where relnamespace = $1 and relname = $2",
		schema[0][0], t.Name)
	if err != nil || len(class) == 0 {
		return r, err
	}
	row := class[0]
	r = fence.Relation{
		Found: true, Kind: row[1], Persistence: row[2],
		Rules: row[3] == "t", Triggers: row[4] == "t", RowSecurity: row[5] == "t",
	}
	if r.Owner, err = readRole(ctx, conn, row[6]); err != nil {
		return r, err
	}
	if r.SchemaOwner, err = readRole(ctx, conn, schema[0][1]); err != nil {
		return r, err
	}
	return r, readColumns(ctx, conn, &r, row[0])
}

// readRole finds out whether a role is trusted with the fence.
func readRole(ctx context.Context, conn *pgconn.PgConn, name string) (fence.Role, error) {
	role := fence.Role{Name: name}
	for _, ask := range []string{
		"select current_user::text = $1",
		"select rolsuper from pg_catalog.pg_roles where rolname = $1",
		// pg_database_owner is the owner of the schema public since PostgreSQL 14.
		"select true from pg_catalog.pg_database where datname = pg_catalog.current_database() " +
			"and ($1 = 'pg_database_owner' or pg_catalog.pg_get_userbyid(datdba) = $1)",
	} {
		rows, err := lookup(ctx, conn, ask, name)
		if err != nil {
			return role, err
		}
		if len(rows) == 1 && rows[0][0] == "t" {
			role.Trusted = true
			break
		}
	}
	return role, nil
}

// readColumns reads the columns of a relation, and whether id is a key.
func readColumns(ctx context.Context, conn *pgconn.PgConn, r *fence.Relation, oid string) error {
	columns, err := lookup(ctx, conn, "select attname, atttypid, attnotnull, atthasdef, attnum from pg_catalog.pg_attribute "+
		"where attrelid = $1 and attnum > 0 and not attisdropped", oid)
	if err != nil {
		return err
	}
	key := ""
	for _, c := range columns {
		typeOID, err := strconv.ParseUint(c[1], 10, 32)
		if err != nil {
			return fmt.Errorf("pg_attribute.atttypid is %q", c[1])
		}
		r.Columns = append(r.Columns, fence.Column{Name: c[0], TypeOID: uint32(typeOID), NotNull: c[2] == "t", Default: c[3] == "t"})
		if c[0] == "id" {
			key = c[4]
		}
	}
	unique, err := lookup(ctx, conn, "select indkey from pg_catalog.pg_index where indrelid = $1 and indisunique and indisvalid "+
		"and indimmediate and indnkeyatts = 1 and indpred is null and indexprs is null", oid)
	for _, u := range unique {
		// indkey also lists included columns, after the key.
		if attributes := strings.Fields(u[0]); len(attributes) > 0 && attributes[0] == key {
			r.UniqueOnID = true
		}
	}
	return err
}
