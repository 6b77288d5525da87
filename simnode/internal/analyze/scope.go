package analyze

import (
	"fmt"
	"strconv"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// scope is what an expression can refer to, and where it stands.
type scope struct {
	*analyzer
	relations []relation
	// clause names the place for messages about what isn't allowed there.
	clause string
	// query collects aggregates; nil where none are allowed.
	query *Select
	// aggregate is set inside the argument of an aggregate.
	aggregate bool
	// bare is the first column used outside an aggregate.
	bare *bareColumn
}

type bareColumn struct {
	name     string
	position int32
}

// relation is one thing in FROM.
type relation struct {
	schema   string // "" if hidden by an alias
	name     string
	oid      uint32 // of the table; 0 for anything else
	columns  []scopeColumn
	excluded bool
}

type scopeColumn struct {
	OutputColumn
	absent bool // the cluster has no values for it
}

// tableRelation makes the relation of a table, under its alias if it has one.
func tableRelation(t *catalog.Table, alias string) relation {
	r := relation{schema: t.Schema, name: t.Name, oid: t.OID}
	if alias != "" {
		r.schema, r.name = "", alias
	}
	for i, c := range t.Columns {
		r.columns = append(r.columns, scopeColumn{absent: c.Absent, OutputColumn: OutputColumn{
			Name: c.Name, Type: c.Type, TypMod: c.TypMod, TableOID: t.OID, Attr: int16(i + 1),
		}})
	}
	return r
}

// rename applies the column aliases of FROM.
func (r *relation) rename(names []string, position int32) error {
	if len(names) > len(r.columns) {
		return sqlerr.New("42P10", "table \"%s\" has %d columns available but %d columns specified",
			r.name, len(r.columns), len(names)).At(position)
	}
	for i, n := range names {
		r.columns[i].Name = n
	}
	return nil
}

func (s *scope) column(c *ast.ColumnRef) (Expr, error) {
	if s.clause == clauseDefault {
		return nil, sqlerr.New("0A000", "cannot use column reference in DEFAULT expression").At(c.Position())
	}
	found := -1
	var in *relation
	for i := range s.relations {
		r := &s.relations[i]
		if !r.answersTo(c.Schema, c.Table) {
			continue
		}
		n, err := r.find(c)
		if err != nil {
			return nil, err
		}
		if n < 0 {
			continue
		}
		if in != nil {
			return nil, sqlerr.New("42702", "column reference \"%s\" is ambiguous", c.Name).At(c.Position())
		}
		found, in = n, r
	}
	if in == nil {
		return nil, s.noColumn(c)
	}
	col := in.columns[found]
	if col.absent {
		return nil, in.noValues(col.Name, c.Position())
	}
	if !s.aggregate && s.bare == nil {
		s.bare = &bareColumn{name: in.name + "." + col.Name, position: c.Position()}
	}
	return &Column{T: col.Type, TypMod: col.TypMod, Index: found, Excluded: in.excluded}, nil
}

// noValues is the error for a column of PostgreSQL's that the cluster has no values
// for.
func (r *relation) noValues(column string, position int32) error {
	return sqlerr.Unsupported(fmt.Sprintf("column %s.%s", r.name, column)).At(position)
}

func (r *relation) answersTo(schema, table string) bool {
	if table == "" {
		return true
	}
	return r.name == table && (schema == "" || schema == r.schema)
}

// find gives the position of the column, -1 if there is none of that name.
func (r *relation) find(c *ast.ColumnRef) (int, error) {
	found := -1
	for i := range r.columns {
		if r.columns[i].Name != c.Name {
			continue
		}
		if found >= 0 {
			return -1, sqlerr.New("42702", "column reference \"%s\" is ambiguous", c.Name).At(c.Position())
		}
		found = i
	}
	return found, nil
}

func (s *scope) noColumn(c *ast.ColumnRef) error {
	switch c.Name {
	case "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid":
		if len(s.relations) > 0 {
			return sqlerr.Unsupported("system column " + c.Name)
		}
	}
	if c.Table == "" {
		for _, r := range s.relations {
			if r.name == c.Name {
				return sqlerr.Unsupported("a whole-row reference")
			}
		}
		return sqlerr.New("42703", "column \"%s\" does not exist", c.Name).At(c.Position())
	}
	for _, r := range s.relations {
		if r.answersTo(c.Schema, c.Table) {
			return sqlerr.New("42703", "column %s.%s does not exist", c.Table, c.Name).At(c.Position())
		}
	}
	return s.noRelation(c.Schema, c.Table, c.Position())
}

// noRelation is the error for a name that nothing in FROM answers to, with what was
// perhaps meant.
func (s *scope) noRelation(schema, name string, position int32) error {
	oid := uint32(0)
	if rel, ok := s.Path.Lookup(s.Catalog, schema, name); ok {
		oid = rel.OID
	}
	for _, r := range s.relations {
		if r.name != name && (r.oid == 0 || r.oid != oid) {
			continue
		}
		err := sqlerr.New("42P01", "invalid reference to FROM-clause entry for table \"%s\"", name)
		if r.name != name {
			return err.WithHint("Perhaps you meant to reference the table alias \"%s\".", r.name).At(position)
		}
		return err.WithHint("There is an entry for table \"%s\", but it cannot be referenced from this part of the query.", name).At(position)
	}
	return sqlerr.New("42P01", "missing FROM-clause entry for table \"%s\"", name).At(position)
}

// star expands * or t.*.
func (s *scope) star(e *ast.Star) ([]Expr, []OutputColumn, error) {
	var exprs []Expr
	var columns []OutputColumn
	matched := false
	for _, r := range s.relations {
		if !r.answersTo(e.Schema, e.Table) || e.Table == "" && r.excluded {
			continue
		}
		matched = true
		for i, c := range r.columns {
			if c.absent {
				return nil, nil, r.noValues(c.Name, e.Position())
			}
			exprs = append(exprs, &Column{T: c.Type, TypMod: c.TypMod, Index: i, Excluded: r.excluded})
			columns = append(columns, c.OutputColumn)
			if s.bare == nil {
				s.bare = &bareColumn{name: r.name + "." + c.Name, position: e.Position()}
			}
		}
	}
	if matched {
		return exprs, columns, nil
	}
	if e.Table == "" {
		return nil, nil, sqlerr.New("42601", "SELECT * with no tables specified is not valid").At(e.Position())
	}
	return nil, nil, s.noRelation(e.Schema, e.Table, e.Position())
}

// param gives parameter n with what is known of its type.
func (a *analyzer) param(p *ast.Param) (Expr, error) {
	if p.N < 1 || p.N > len(a.params) {
		return nil, sqlerr.New("42P02", "there is no parameter $%d", p.N).At(p.Position())
	}
	out := &Param{N: p.N, T: a.params[p.N-1]}
	if out.T == types.Unknown {
		if a.open == nil {
			a.open = make(map[*Param]int32)
		}
		a.open[out] = p.Position()
	}
	return out, nil
}

// settle gives a parameter its type.
func (a *analyzer) settle(p *Param, to types.OID, position int32) (Expr, error) {
	delete(a.open, p)
	have := &a.params[p.N-1]
	if *have == types.Unknown {
		*have = to
	}
	if *have != to {
		return nil, sqlerr.New("42P08", "inconsistent types deduced for parameter $%d", p.N).
			WithDetail("%s versus %s", nameOf(*have), nameOf(to)).At(position)
	}
	return &Param{N: p.N, T: to}, nil
}

func uintText(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
