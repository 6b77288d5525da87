package analyze

import (
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// anonymous is what PostgreSQL calls a column for which no better name is found.
const anonymous = "?column?"

// maxTargets is PostgreSQL's MaxTupleAttributeNumber.
const maxTargets = 1664

// targets analyses a select list or RETURNING list. Literals and parameters that
// are still of unknown type stay so: see settleTargets. The places are those of the
// expressions, nil where a star was expanded.
func (s *scope) targets(ts []ast.Target) (exprs []Expr, columns []OutputColumn, places []ast.Expr, err error) {
	exprs, columns = make([]Expr, 0, len(ts)), make([]OutputColumn, 0, len(ts))
	for _, t := range ts {
		if star, ok := t.Expr.(*ast.Star); ok {
			es, cs, err := s.star(star)
			if err != nil {
				return nil, nil, nil, err
			}
			exprs, columns = append(exprs, es...), append(columns, cs...)
			places = append(places, make([]ast.Expr, len(es))...)
			continue
		}
		e, err := s.expr(t.Expr)
		if err != nil {
			return nil, nil, nil, err
		}
		exprs = append(exprs, e)
		columns = append(columns, s.outputColumn(t, e))
		places = append(places, t.Expr)
	}
	if len(exprs) > maxTargets {
		return nil, nil, nil, sqlerr.New("54011", "target lists can have at most %d entries", maxTargets)
	}
	return exprs, columns, places, nil
}

// settleTargets makes text of what is still unknown when all else is known.
func (a *analyzer) settleTargets(exprs []Expr, columns []OutputColumn, places []ast.Expr) error {
	for i := range columns {
		if exprs[i].Type() != types.Unknown {
			continue
		}
		e, err := a.settleUnknown(exprs[i], types.Text, ast.Locate(places[i]))
		if err != nil {
			return err
		}
		exprs[i], columns[i].Type = e, types.Text
	}
	return nil
}

func (s *scope) outputColumn(t ast.Target, e Expr) OutputColumn {
	out := OutputColumn{Name: t.Name, Type: e.Type(), TypMod: typmodOf(e)}
	if out.Name == "" {
		out.Name = columnName(t.Expr)
	}
	c, ok := e.(*Column)
	if !ok {
		return out
	}
	for _, r := range s.relations {
		if r.excluded == c.Excluded && c.Index < len(r.columns) {
			out.TableOID, out.Attr = r.columns[c.Index].TableOID, r.columns[c.Index].Attr
		}
	}
	return out
}

// columnName is the name that PostgreSQL gives an output column without an alias.
func columnName(e ast.Expr) string {
	if name, _ := figureName(e); name != "" {
		return name
	}
	return anonymous
}

// figureName returns a name and how good it is: 2 for one that the user chose, 1
// for that of a type or construct, 0 for none.
func figureName(e ast.Expr) (string, int) {
	switch e := e.(type) {
	case *ast.ColumnRef:
		return e.Name, 2
	case *ast.Func:
		return e.Name, 2
	case *ast.NullIf:
		return "nullif", 2
	case *ast.Coalesce:
		return "coalesce", 2
	case *ast.Extreme:
		if e.Least {
			return "least", 2
		}
		return "greatest", 2
	case *ast.Value:
		return e.Name, 2
	case *ast.Cast:
		if name, strength := figureName(e.Arg); strength > 1 {
			return name, strength
		}
		return e.Type.Name, 1
	case *ast.Case:
		if e.Else != nil {
			if name, strength := figureName(e.Else); strength > 1 {
				return name, strength
			}
		}
		return "case", 1
	default:
		return "", 0
	}
}

// orderBy finds or adds the output that each key of ORDER BY sorts by.
func (s *scope) orderBy(q *Select, keys []ast.SortBy) error {
	for _, k := range keys {
		n, err := s.sortTarget(q, k.Expr)
		if err != nil {
			return err
		}
		if q.Targets[n].Type() == types.Unknown {
			if q.Targets[n], err = s.settleUnknown(q.Targets[n], types.Text, ast.Locate(k.Expr)); err != nil {
				return err
			}
			if n < len(q.Columns) {
				q.Columns[n].Type = types.Text
			}
		}
		q.Sort = append(q.Sort, SortKey{Target: n, Desc: k.Desc, NullsFirst: k.NullsFirst})
	}
	return nil
}

func (s *scope) sortTarget(q *Select, e ast.Expr) (int, error) {
	switch c := e.(type) {
	case *ast.ColumnRef:
		if c.Table == "" {
			if n, err := outputNamed(q, c); n >= 0 || err != nil {
				return n, err
			}
		}
	case *ast.Const:
		return sortPosition(q, c)
	}
	x, err := s.expr(e)
	if err != nil {
		return 0, err
	}
	q.Targets = append(q.Targets, x)
	return len(q.Targets) - 1, nil
}

// outputNamed finds the output column of that name, -1 if there is none.
func outputNamed(q *Select, c *ast.ColumnRef) (int, error) {
	found := -1
	for i, col := range q.Columns {
		if col.Name != c.Name {
			continue
		}
		if found >= 0 && !sameColumn(q.Targets[found], q.Targets[i]) {
			return -1, sqlerr.New("42702", "ORDER BY \"%s\" is ambiguous", c.Name).At(c.Position())
		}
		if found < 0 {
			found = i
		}
	}
	return found, nil
}

func sameColumn(a, b Expr) bool {
	x, ok := a.(*Column)
	y, ok2 := b.(*Column)
	return ok && ok2 && *x == *y
}

func sortPosition(q *Select, c *ast.Const) (int, error) {
	if c.Kind != ast.ConstInt {
		return 0, sqlerr.New("42601", "non-integer constant in ORDER BY").At(c.Position())
	}
	n := 0
	for _, d := range strings.TrimPrefix(c.Text, "-") {
		n = n*10 + int(d-'0')
	}
	if strings.HasPrefix(c.Text, "-") || n < 1 || n > len(q.Columns) {
		return 0, sqlerr.New("42P10", "ORDER BY position %s is not in select list", c.Text).At(c.Position())
	}
	return n - 1, nil
}
