package fence

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTable(t *testing.T) {
	for in, want := range map[string]string{
		DefaultTable:          `"anywriter"."fence"`,
		"App.Fence_2$":        `"app"."fence_2$"`,
		`"My App".fence`:      `"My App"."fence"`,
		`a."b.c""d"`:          `"a"."b.c""d"`,
		"größe.zaun":          `"größe"."zaun"`,
		`"pg x".fence`:        `"pg x"."fence"`,
		`s."drop table x;--"`: `"s"."drop table x;--"`,
	} {
		got, err := ParseTable(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got.String())
		again, err := ParseTable(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again, "String is a way to write it")
	}
	for in, want := range map[string]string{
		"":                              "empty",
		"fence":                         "needs its schema",
		".fence":                        "empty",
		"a.":                            "empty",
		"a.b.c":                         "more than schema.name",
		"a.b c":                         "more than schema.name",
		"1a.b":                          "double quotes",
		"a.$b":                          "double quotes",
		`"a.b`:                          "isn't closed",
		`a."b`:                          "isn't closed",
		"a.\"b\x00\"":                   "NUL",
		"pg_temp.fence":                 "schema pg_temp",
		"PG_CATALOG.fence":              "schema pg_catalog",
		"information_schema.x":          "schema information_schema",
		"a." + strings.Repeat("x", 64):  "64 bytes",
		`a.b"; drop table x; --`:        "more than schema.name",
		"\"\".fence":                    "empty",
		"anywriter.fence; drop table x": "more than schema.name",
	} {
		_, err := ParseTable(in)
		require.ErrorContains(t, err, want, "%q", in)
	}
}

func FuzzParseTable(f *testing.F) {
	for _, s := range []string{DefaultTable, `"a"".b".c`, "a.b.c", `"`, "pg_temp.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		table, err := ParseTable(s)
		if err != nil {
			return
		}
		again, err := ParseTable(table.String())
		require.NoError(t, err)
		require.Equal(t, table, again)
		require.NotContains(t, table.Schema+table.Name, "\x00")
	})
}

// good is a table as Install makes it.
func good() Relation {
	return Relation{
		Found: true, Kind: "r", Persistence: "p",
		Owner: Role{Name: "app", Trusted: true}, SchemaOwner: Role{Name: "app", Trusted: true},
		Columns: []Column{
			{"id", UUIDOID, true, false}, {"aborted", BoolOID, true, false}, {"created_at", 1184, true, true},
		},
		UniqueOnID: true,
	}
}

func TestCheck(t *testing.T) {
	require.NoError(t, good().Check(""))
	stranger := Role{Name: "mallory"}
	for want, change := range map[string]func(*Relation){
		"doesn't exist":                      func(r *Relation) { r.Found = false },
		"no ordinary table (relkind v)":      func(r *Relation) { r.Kind = "v" },
		"relpersistence u":                   func(r *Relation) { r.Persistence = "u" },
		"relpersistence t":                   func(r *Relation) { r.Persistence = "t" },
		"belongs to role mallory":            func(r *Relation) { r.Owner = stranger },
		"its schema belongs to role mallory": func(r *Relation) { r.SchemaOwner = stranger },
		"rules":                              func(r *Relation) { r.Rules = true },
		"triggers":                           func(r *Relation) { r.Triggers = true },
		"row security":                       func(r *Relation) { r.RowSecurity = true },
		"unique index":                       func(r *Relation) { r.UniqueOnID = false },
		"no column id":                       func(r *Relation) { r.Columns = r.Columns[1:] },
		"no column id of type uuid":          func(r *Relation) { r.Columns[0].TypeOID = 25 },
		"id of type uuid not null":           func(r *Relation) { r.Columns[0].NotNull = false },
		"no column aborted":                  func(r *Relation) { r.Columns = append(r.Columns[:1:1], r.Columns[2]) },
		"aborted of type boolean":            func(r *Relation) { r.Columns[1].TypeOID = 25 },
		"boolean not null":                   func(r *Relation) { r.Columns[1].NotNull = false },
		"column extra takes no NULL":         func(r *Relation) { r.Columns = append(r.Columns, Column{"extra", 25, true, false}) },
	} {
		r := good()
		change(&r)
		require.ErrorContains(t, r.Check(""), want)
	}
	r := good()
	r.Owner, r.SchemaOwner = stranger, stranger
	require.NoError(t, r.Check("mallory"), "named as fence_owner")
	require.Error(t, r.Check("alice"))
}
