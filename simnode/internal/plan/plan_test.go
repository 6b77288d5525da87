package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/parse"
	"github.com/anywriter/anywriter/simnode/internal/plan"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// reader knows one table.
type reader struct{ table *catalog.Table }

func (r reader) RelationByName(_, name string) (*catalog.Relation, bool) {
	if name != r.table.Name {
		return nil, false
	}
	return &catalog.Relation{OID: r.table.OID, Name: name, Kind: catalog.KindTable, Table: r.table}, true
}

func (r reader) RelationByOID(uint32) (*catalog.Relation, bool) {
	return r.RelationByName("", r.table.Name)
}

func (r reader) Relations() []*catalog.Relation {
	rel, _ := r.RelationByOID(r.table.OID)
	return []*catalog.Relation{rel}
}

func column(name string, t types.OID, notNull bool) catalog.Column {
	return catalog.Column{Name: name, Type: t, TypMod: types.NoTypmod, NotNull: notNull}
}

// testTable is t(id int4, a int4, b text, c int8 null, d varchar not null) with the
// keys (id), (a, b), (d), and the index (c).
func testTable() *catalog.Table {
	return (&catalog.Table{
		OID: 100, Schema: "public", Name: "t",
		Columns: []catalog.Column{
			column("id", types.Int4, true), column("a", types.Int4, true), column("b", types.Text, true),
			column("c", types.Int8, false), column("d", types.Varchar, true),
		},
		Indexes: []catalog.Index{
			{OID: 101, Name: "t_pkey", Columns: []int{0}, Unique: true, Primary: true},
			{OID: 102, Name: "t_a_b_key", Columns: []int{1, 2}, Unique: true},
			{OID: 103, Name: "t_d_key", Columns: []int{4}, Unique: true},
			{OID: 104, Name: "t_c_idx", Columns: []int{3}},
		},
	}).Seal()
}

func TestChoose(t *testing.T) {
	table := testTable()
	datadriven.RunTest(t, "testdata/choose", func(t *testing.T, d *datadriven.TestData) string {
		stmts, err := parse.Parse("select * from t " + d.Input)
		require.NoError(t, err)
		s, err := analyze.Analyze(analyze.Context{Catalog: reader{table}, Parse: parse.Parse}, stmts[0], nil)
		require.NoError(t, err, d.Input)
		q := s.Command.(*analyze.Select)
		var order []plan.Order
		for _, k := range q.Sort {
			c := q.Targets[k.Target].(*analyze.Column)
			order = append(order, plan.Order{Column: c.Index, Desc: k.Desc, NullsFirst: k.NullsFirst})
		}
		return describe(table, plan.Choose(table, q.Where, order, q.Limit != nil)) + "\n"
	})
}

func describe(t *catalog.Table, p plan.Path) string {
	var parts []string
	next := 0
	if p.Index == nil {
		parts = append(parts, "whole table")
	} else {
		parts = append(parts, p.Index.Name)
	}
	for i, values := range p.Equal {
		name := t.Columns[p.Index.Columns[i]].Name
		parts = append(parts, fmt.Sprintf("%s = %d value(s)", name, len(values)))
		next = i + 1
	}
	for _, b := range []struct {
		bound *plan.Bound
		sign  string
	}{{p.Low, ">"}, {p.High, "<"}} {
		if b.bound == nil {
			continue
		}
		if b.bound.Inclusive {
			b.sign += "="
		}
		parts = append(parts, t.Columns[p.Index.Columns[next]].Name+" "+b.sign)
	}
	if p.Reverse {
		parts = append(parts, "reverse")
	}
	if p.Ordered {
		parts = append(parts, "ordered")
	}
	return strings.Join(parts, ", ")
}

func TestChooseIgnoresRowsOwnValues(t *testing.T) {
	table := testTable()
	for _, where := range []string{"id = a", "id = id + 1", "id = c", "id > random()", "id = 1 or a = 2", "not id = 1"} {
		stmts, err := parse.Parse("delete from t where " + where)
		require.NoError(t, err)
		s, err := analyze.Analyze(analyze.Context{Catalog: reader{table}, Parse: parse.Parse}, stmts[0], nil)
		require.NoError(t, err, where)
		require.Equal(t, plan.Path{}, plan.Choose(table, s.Command.(*analyze.Delete).Where, nil, false), where)
	}
}
