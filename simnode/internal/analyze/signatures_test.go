package analyze

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

var update = flag.Bool("update", false, "write signatures_gen.go anew")

// TestSignatures holds signatures_gen.go to a real server, and writes it:
//
//	go test ./simnode/internal/analyze -run TestSignatures -update
func TestSignatures(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	conn, err := pgx.Connect(t.Context(), server.DSN())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	sources := []types.OID{
		types.Bool, types.Bytea, types.Name, types.Int8, types.Int2, types.Int4, types.Text, types.OidOID, types.Float8,
		types.Varchar, types.DateOID, types.Timestamptz, types.Numeric, types.UUID, types.CharOID, types.RegclassOID,
		types.Int2Vector, types.NodeTree,
	}
	var b strings.Builder
	b.WriteString("// Code generated from pg_proc, pg_operator and pg_cast of PostgreSQL 15; DO NOT EDIT.\n\npackage analyze\n\n")
	b.WriteString("// postgresFunctionSignatures has all functions and aggregates with all their\n// signatures; see signatureTable.\n")
	fmt.Fprintf(&b, "const postgresFunctionSignatures = `\n%s`\n\n", signatures(t, conn, `
		select proname::text, array_to_string(proargtypes::oid[], ','), pronargdefaults, provariadic <> 0, provariadic
		from pg_proc where pronamespace = 'pg_catalog'::regnamespace
		order by 1, 2`))
	b.WriteString("// postgresOperatorSignatures has the same of operators; a prefix operator takes one\n// type.\n")
	fmt.Fprintf(&b, "const postgresOperatorSignatures = `\n%s`\n\n", signatures(t, conn, `
		select oprname::text, concat_ws(',', nullif(oprleft, 0), oprright), 0::int2, false, 0::oid
		from pg_operator where oprnamespace = 'pg_catalog'::regnamespace order by 1, 2`))
	b.WriteString("// postgresImplicitCasts has, for each type of the cluster, the types that a value of\n// it is taken for without being asked, itself first: from>to.\n")
	fmt.Fprintf(&b, "const postgresImplicitCasts = \" %s \"\n", implicitCasts(t, conn, sources))
	if *update {
		require.NoError(t, os.WriteFile("signatures_gen.go", []byte(b.String()), 0o644))
	}
	have, err := os.ReadFile("signatures_gen.go")
	require.NoError(t, err)
	require.True(t, b.String() == string(have), "signatures_gen.go is out of date; run this test with -update")
}

// signatures renders the lines of a table.
func signatures(t *testing.T, conn *pgx.Conn, query string) string {
	rows, err := conn.Query(t.Context(), query)
	require.NoError(t, err)
	byName := map[string][]string{}
	for rows.Next() {
		var name, args string
		var defaults int16
		var variadic bool
		var element uint32
		require.NoError(t, rows.Scan(&name, &args, &defaults, &variadic, &element))
		params := strings.Split(args, ",")
		if args == "" {
			params = nil
		}
		for n := len(params) - int(defaults); n < len(params); n++ {
			byName[name] = append(byName[name], strings.Join(params[:n], ","))
		}
		if variadic {
			params[len(params)-1] = fmt.Sprintf("%d*", element)
		}
		byName[name] = append(byName[name], strings.Join(params, ","))
	}
	require.NoError(t, rows.Err())
	var lines []string
	for name, list := range byName {
		slices.Sort(list)
		lines = append(lines, name+" "+strings.Join(slices.Compact(list), "|")+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func implicitCasts(t *testing.T, conn *pgx.Conn, sources []types.OID) string {
	var out []string
	for _, s := range sources {
		out = append(out, fmt.Sprintf("%d>%d", s, s))
	}
	rows, err := conn.Query(t.Context(), `
		select format('%s>%s', castsource, casttarget) from pg_cast where castcontext = 'i' and castsource = any($1)
		order by castsource, casttarget`, sources)
	require.NoError(t, err)
	casts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(append(out, casts...), " ")
}
