package analyze

import (
	"strconv"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func (a *analyzer) selectStmt(n *ast.Select) (*Select, error) {
	return a.query(n, false)
}

// query analyses a SELECT or VALUES; keepUnknown is for INSERT … SELECT.
func (a *analyzer) query(n *ast.Select, keepUnknown bool) (*Select, error) {
	if n.Values != nil {
		return a.values(n)
	}
	q := &Select{}
	s := &scope{analyzer: a, query: q}
	if err := s.from(q, n.From); err != nil {
		return nil, err
	}
	var places []ast.Expr
	var err error
	if q.Targets, q.Columns, places, err = s.targets(n.Targets); err != nil {
		return nil, err
	}
	if err := s.where(&q.Where, n.Where); err != nil {
		return nil, err
	}
	if err := s.orderBy(q, n.OrderBy); err != nil {
		return nil, err
	}
	if err := s.limits(q, n); err != nil {
		return nil, err
	}
	if !keepUnknown {
		if err := s.settleTargets(q.Targets, q.Columns, places); err != nil {
			return nil, err
		}
	}
	if q.Grouped && s.bare != nil {
		return nil, sqlerr.New("42803", "column \"%s\" must appear in the GROUP BY clause or be used in an aggregate function",
			s.bare.name).At(s.bare.position)
	}
	return q, a.lock(q, n)
}

// where analyses a WHERE clause, in which aggregates are not allowed and columns
// need no aggregate.
func (s *scope) where(out *Expr, e ast.Expr) error {
	if e == nil {
		return nil
	}
	inner := &scope{analyzer: s.analyzer, relations: s.relations, clause: "WHERE"}
	x, err := inner.expr(e)
	if err != nil {
		return err
	}
	*out, err = inner.boolean(x, "WHERE", e)
	return err
}

func (s *scope) from(q *Select, f *ast.From) error {
	switch {
	case f == nil:
		return nil
	case f.Table != nil:
		t, err := s.table(*f.Table)
		if err != nil {
			return err
		}
		q.From.Table = t
		r := tableRelation(t, f.Alias)
		s.relations = []relation{r}
		return s.relations[0].rename(f.Columns, f.Table.Position())
	case f.Func != nil:
		return s.fromSeries(q, f)
	default:
		return s.fromValues(q, f)
	}
}

func (s *scope) fromSeries(q *Select, f *ast.From) error {
	inner := &scope{analyzer: s.analyzer, clause: "functions in FROM"}
	call, err := inner.fromFunction(f.Func)
	if err != nil {
		return err
	}
	q.From.Series = call
	name := f.Func.Name
	if f.Alias != "" {
		name = f.Alias
	}
	r := relation{name: name, columns: []scopeColumn{{OutputColumn: OutputColumn{Name: name, Type: call.T, TypMod: types.NoTypmod}}}}
	s.relations = []relation{r}
	return s.relations[0].rename(f.Columns, 0)
}

func (s *scope) fromValues(q *Select, f *ast.From) error {
	rows, columns, err := s.valuesRows(f.Values)
	if err != nil {
		return err
	}
	q.From.Values = rows
	r := relation{name: f.Alias}
	for _, c := range columns {
		r.columns = append(r.columns, scopeColumn{OutputColumn: c})
	}
	s.relations = []relation{r}
	return s.relations[0].rename(f.Columns, 0)
}

// values is VALUES as a query of its own.
func (a *analyzer) values(n *ast.Select) (*Select, error) {
	q := &Select{}
	rows, columns, err := a.valuesRows(n.Values)
	if err != nil {
		return nil, err
	}
	q.From.Values, q.Columns = rows, columns
	s := &scope{analyzer: a, clause: "ORDER BY"}
	r := relation{name: "*VALUES*"}
	for i, c := range columns {
		r.columns = append(r.columns, scopeColumn{OutputColumn: c})
		q.Targets = append(q.Targets, &Column{T: c.Type, TypMod: c.TypMod, Index: i})
	}
	s.relations = []relation{r}
	if err := s.orderBy(q, n.OrderBy); err != nil {
		return nil, err
	}
	if n.Lock != nil {
		return nil, sqlerr.New("0A000", "FOR UPDATE cannot be applied to VALUES")
	}
	return q, s.limits(q, n)
}

// valuesRows settles the type of each column of VALUES over all its rows.
func (a *analyzer) valuesRows(rows [][]ast.Expr) ([][]Expr, []OutputColumn, error) {
	s := &scope{analyzer: a, clause: "VALUES"}
	out := make([][]Expr, len(rows))
	for i, row := range rows {
		if len(row) != len(rows[0]) {
			return nil, nil, sqlerr.New("42601", "VALUES lists must all be the same length").At(ast.Locate(row[0]))
		}
		var err error
		if out[i], err = s.exprs(row); err != nil {
			return nil, nil, err
		}
	}
	columns := make([]OutputColumn, len(rows[0]))
	for c := range columns {
		es, places := make([]Expr, len(out)), make([]ast.Expr, len(out))
		for i := range out {
			es[i], places[i] = out[i][c], rows[i][c]
		}
		t, es, err := a.common("VALUES", es, places)
		if err != nil {
			return nil, nil, err
		}
		for i := range out {
			out[i][c] = es[i]
		}
		columns[c] = OutputColumn{Name: "column" + strconv.Itoa(c+1), Type: t, TypMod: commonTypMod(es)}
	}
	return out, columns, nil
}

func (s *scope) limits(q *Select, n *ast.Select) error {
	var err error
	if q.Offset, err = s.limit("OFFSET", n.Offset); err != nil {
		return err
	}
	q.Limit, err = s.limit("LIMIT", n.Limit)
	return err
}

func (s *scope) limit(construct string, e ast.Expr) (Expr, error) {
	if e == nil {
		return nil, nil
	}
	inner := &scope{analyzer: s.analyzer, relations: s.relations, clause: construct}
	x, err := inner.expr(e)
	if err != nil {
		return nil, err
	}
	if x, err = s.specific(x, types.Int8, construct, e); err != nil {
		return nil, err
	}
	if inner.bare != nil {
		return nil, sqlerr.New("42P10", "argument of %s must not contain variables", construct).At(inner.bare.position)
	}
	return x, nil
}

func (a *analyzer) lock(q *Select, n *ast.Select) error {
	if n.Lock == nil {
		return nil
	}
	if q.Grouped {
		return sqlerr.New("0A000", "FOR UPDATE is not allowed with aggregate functions")
	}
	q.Lock = n.Lock.Wait
	for _, of := range n.Lock.Of {
		if of.Schema != "" {
			return sqlerr.New("42601", "FOR UPDATE must specify unqualified relation names").At(of.Position())
		}
		name := ""
		if n.From != nil && n.From.Table != nil {
			if name = n.From.Alias; name == "" {
				name = n.From.Table.Name
			}
		}
		if of.Name != name {
			return sqlerr.New("42P01", "relation \"%s\" in FOR UPDATE clause not found in FROM clause", of.Name).At(of.Position())
		}
	}
	if q.From.Table != nil && q.From.Table.System() {
		return sqlerr.Unsupported("FOR UPDATE of a system catalog")
	}
	if q.From.Table == nil {
		// Nothing to lock: PostgreSQL ignores the clause for functions.
		q.Lock = ast.WaitUnknown
	}
	return nil
}
