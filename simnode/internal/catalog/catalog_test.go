package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// names is a Reader over a list.
type names []*catalog.Relation

func (n names) RelationByName(schema, name string) (*catalog.Relation, bool) {
	for _, r := range n {
		if r.Schema == schema && r.Name == name {
			return r, true
		}
	}
	return nil, false
}

func (n names) Relations() []*catalog.Relation { return n }

func (n names) RelationByOID(oid uint32) (*catalog.Relation, bool) {
	for _, r := range n {
		if r.OID == oid {
			return r, true
		}
	}
	return nil, false
}

func relations() names {
	table := &catalog.Table{
		OID: 16384, Schema: "public", Name: "t",
		Columns: []catalog.Column{
			{Name: "id", Type: types.Int4, TypMod: types.NoTypmod, NotNull: true, Default: "nextval('t_id_seq')", Serial: 16386},
			{Name: "name", Type: types.Varchar, TypMod: 14},
		},
		Indexes: []catalog.Index{{OID: 16385, Name: "t_pkey", Columns: []int{0}, Unique: true, Primary: true}},
	}
	sequence := &catalog.Sequence{
		OID: 16386, Schema: "public", Name: "t_id_seq", Type: types.Int4, Start: 1, Increment: 1, Min: 1, Max: 1<<31 - 1,
		BaseUnit: 1, Base: 1, OwnedByTable: 16384,
	}
	return names{
		catalog.Initial()[0],
		{OID: 16384, Schema: "public", Name: "t", Kind: catalog.KindTable, Table: table.Seal()},
		{OID: 16385, Schema: "public", Name: "t_pkey", Kind: catalog.KindIndex, IndexOf: 16384},
		{OID: 16386, Schema: "public", Name: "t_id_seq", Kind: catalog.KindSequence, Sequence: sequence},
	}
}

func TestDescriptorsComeBack(t *testing.T) {
	for _, r := range relations() {
		row, err := catalog.EncodeRelation(r)
		require.NoError(t, err)
		system := catalog.Relations()
		b := types.EncodeRow(row, system.ColumnTypes())
		row, err = types.DecodeRow(b, system.ColumnTypes())
		require.NoError(t, err)
		back, err := catalog.DecodeRelation(row)
		require.NoError(t, err)
		require.Equal(t, r, back)
	}
	_, err := catalog.EncodeRelation(&catalog.Relation{Name: "x"})
	require.Error(t, err)
	for _, row := range []types.Row{
		{},
		{uint32(1), "", "x", "n", []byte("{")},
		{uint32(1), "public", "x", "q", []byte("{}")},
		{uint32(1), "public", "x", "r", []byte("{")},
	} {
		_, err := catalog.DecodeRelation(row)
		require.Error(t, err)
	}
}

func TestLookups(t *testing.T) {
	r := relations()
	table, err := catalog.FindTable(r, nil, "", "t")
	require.NoError(t, err)
	require.Equal(t, []types.OID{types.Int4, types.Varchar}, table.ColumnTypes())
	require.Same(t, &table.Indexes[0], table.Primary())
	require.Same(t, &table.Indexes[0], table.Index(16385))
	require.Nil(t, table.Index(1))
	i, ok := table.Column("name")
	require.True(t, ok)
	require.Equal(t, 1, i)
	_, ok = table.Column("nothing")
	require.False(t, ok)
	_, err = catalog.FindSequence(r, nil, "public", "t_id_seq")
	require.NoError(t, err)

	for _, c := range []struct{ schema, name, code, message string }{
		{"", "u", "42P01", `relation "u" does not exist`},
		{"public", "u", "42P01", `relation "public.u" does not exist`},
		{"nowhere", "t", "42P01", `relation "nowhere.t" does not exist`},
		{"", "t_pkey", "42809", `"t_pkey" is not a table`},
	} {
		_, err := catalog.FindTable(r, nil, c.schema, c.name)
		var e *sqlerr.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, c.code, e.Code)
		require.Equal(t, c.message, e.Message)
	}
	_, err = catalog.FindSequence(r, nil, "", "t")
	require.ErrorContains(t, err, `"t" is not a sequence`)
}

func TestSearchPath(t *testing.T) {
	r := relations()
	r = append(r, (&catalog.Schema{OID: 20000, Name: "App"}).Relation(),
		&catalog.Relation{OID: 20001, Schema: "App", Name: "t", Kind: catalog.KindTable, Table: &catalog.Table{OID: 20001}},
		&catalog.Relation{OID: 20003, Schema: "App", Name: "pg_class", Kind: catalog.KindTable, Table: &catalog.Table{OID: 20003}})
	require.ErrorContains(t, catalog.CheckSchema(r, "nowhere"), `schema "nowhere" does not exist`)
	require.ErrorContains(t, catalog.CheckSchema(r, ""), `schema "" does not exist`)
	for _, name := range []string{"public", "App", "pg_catalog"} {
		require.NoError(t, catalog.CheckSchema(r, name))
	}
	for _, c := range []struct {
		path     catalog.Path
		name     string
		oid      uint32 // 0: not found
		creation string
	}{
		{nil, "t", 16384, "public"},
		{catalog.Path{}, "t", 0, ""},
		{catalog.Path{}, "pg_class", 1259, ""},
		{catalog.Path{"nowhere", "App", "public"}, "t", 20001, "App"},
		{catalog.Path{"public", "App"}, "t", 16384, "public"},
		{catalog.Path{"App"}, "pg_class", 1259, "App"},
		{catalog.Path{"App", "pg_catalog"}, "pg_class", 20003, "App"},
		{catalog.Path{"pg_catalog", "App"}, "t", 20001, "pg_catalog"},
		{catalog.Path{"nowhere"}, "t", 0, ""},
	} {
		require.Equal(t, c.creation, c.path.Creation(r), "%q", c.path)
		rel, ok := c.path.Lookup(r, "", c.name)
		require.Equal(t, c.oid != 0, ok, "%q %s", c.path, c.name)
		if ok {
			require.Equal(t, c.oid, rel.OID, "%q %s", c.path, c.name)
			require.True(t, c.path.Shows(r, rel))
		}
	}
	table, _ := catalog.Path(nil).Lookup(r, "App", "t")
	require.Equal(t, `table "App".t`, catalog.Path{"public", "App"}.Describe(r, table))
	require.Equal(t, `table t`, catalog.Path{"App"}.Describe(r, table))
	require.Equal(t, `table "App".t`, catalog.Path{}.Describe(r, table))
}

func TestQuotesAsPostgreSQLDoes(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	conn, err := pgconn.Connect(t.Context(), server.DSN())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	words, err := conn.Exec(t.Context(), `select w, quote_ident(w) from (select word from pg_get_keywords()
		union all values ('a'), ('_'), ('a1'), ('1a'), ('a$'), ('A'), ('ä'), ('a b'), ('a"b'), ('""'), ('')) k(w)`).ReadAll()
	require.NoError(t, err)
	require.Greater(t, len(words[0].Rows), 400)
	for _, row := range words[0].Rows {
		require.Equal(t, string(row[1]), catalog.QuoteIdentifier(string(row[0])))
	}
}

func TestNamesAreNumbered(t *testing.T) {
	r := relations()
	require.Equal(t, "t_pkey1", catalog.ChooseName(r, "public", "t", "", "pkey", nil))
	require.Equal(t, "t_id_seq1", catalog.ChooseName(r, "public", "t", "id", "seq", nil))
	taken := func(name string) bool { return name == "u_a_key" }
	require.Equal(t, "u_a_key1", catalog.ChooseName(r, "public", "u", "a", "key", taken))
}

func TestNamesAsPostgreSQLMakesThem(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	conn, err := pgconn.Connect(t.Context(), server.DSN())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	long, wide := strings.Repeat("x", 60), strings.Repeat("ä", 30)
	for i, c := range []struct{ table, column string }{
		{"t", "c"}, {long, "c"}, {"t", long}, {long, long}, {wide, "c"}, {"x" + wide, wide}, {wide, long},
	} {
		sql := fmt.Sprintf(`create schema s%d; create table s%[1]d."%s" ("%s" int unique primary key);
			select indexname from pg_indexes where schemaname = 's%[1]d' order by indexdef ~ 'pkey', indexname`, i, c.table, c.column)
		results, err := conn.Exec(t.Context(), sql).ReadAll()
		require.NoError(t, err)
		var got []string
		for _, row := range results[len(results)-1].Rows {
			got = append(got, string(row[0]))
		}
		require.ElementsMatch(t, got, []string{
			catalog.ChooseName(names{}, "public", c.table, "", "pkey", nil),
		}, "primary key and unique on one column are one index")
		sql = fmt.Sprintf(`create table s%d.u ("%s" int unique); alter table s%[1]d.u rename to u2;
			create table s%[1]d.v ("%[2]s" serial); select pg_get_serial_sequence('s%[1]d.v', '%[2]s')`, i, c.column)
		results, err = conn.Exec(t.Context(), sql).ReadAll()
		require.NoError(t, err)
		want := string(results[len(results)-1].Rows[0][0])
		_, want, _ = strings.Cut(want, ".")
		require.Equal(t, strings.Trim(want, `"`), catalog.ChooseName(names{}, "public", "v", c.column, "seq", nil))
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string][]string{
		"a": {"a"}, "A.b": {"a", "b"}, `"A"."b c"`: {"A", "b c"}, ` a . "x""y" `: {"a", `x"y`},
		"": nil, ".": nil, "a.": nil, `"a`: nil, `""`: nil, "a b": nil, `a"b"`: nil,
	} {
		got, ok := catalog.SplitName(text)
		require.Equal(t, want != nil, ok, text)
		if ok {
			require.Equal(t, want, got, text)
		}
	}
}
