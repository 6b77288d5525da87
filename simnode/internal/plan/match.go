package plan

import (
	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// condition is a conjunct of WHERE that compares a column with values that do not
// depend on the row.
type condition struct {
	column int
	op     string // "=", "<", "<=", ">", ">="
	values []analyze.Expr
}

// conditions finds the usable conjuncts.
func conditions(where analyze.Expr) []condition {
	switch e := where.(type) {
	case *analyze.Logic:
		if e.Or {
			return nil
		}
		var out []condition
		for _, a := range e.Args {
			out = append(out, conditions(a)...)
		}
		return out
	case *analyze.Op:
		if c, ok := comparison(e); ok {
			return []condition{c}
		}
	case *analyze.In:
		if c, ok := membership(e); ok {
			return []condition{c}
		}
	}
	return nil
}

func comparison(e *analyze.Op) (condition, bool) {
	if e.Left == nil {
		return condition{}, false
	}
	switch e.Op.Name {
	case "=", "<", "<=", ">", ">=":
	default:
		return condition{}, false
	}
	if c, ok := column(e.Left); ok && usable(c, e.Right) {
		return condition{column: c.Index, op: e.Op.Name, values: []analyze.Expr{e.Right}}, true
	}
	if c, ok := column(e.Right); ok && usable(c, e.Left) {
		return condition{column: c.Index, op: flip(e.Op.Name), values: []analyze.Expr{e.Left}}, true
	}
	return condition{}, false
}

func flip(op string) string {
	switch op {
	case "<":
		return ">"
	case "<=":
		return ">="
	case ">":
		return "<"
	case ">=":
		return "<="
	default:
		return op
	}
}

func membership(e *analyze.In) (condition, bool) {
	c, ok := column(e.Arg)
	if !ok || e.Not {
		return condition{}, false
	}
	out := condition{column: c.Index, op: "="}
	for _, t := range e.Tests {
		if !usable(c, t.Right) || !held(t.Left, c.T) {
			return condition{}, false
		}
		out.values = append(out.values, t.Right)
	}
	return out, true
}

// held reports whether e is the value of the IN, perhaps widened.
func held(e analyze.Expr, of types.OID) bool {
	if c, ok := e.(*analyze.Cast); ok && sameOrder(of, c.To) {
		e = c.Arg
	}
	_, ok := e.(*analyze.Held)
	return ok
}

// column sees through the casts that keep a column's order.
func column(e analyze.Expr) (*analyze.Column, bool) {
	if c, ok := e.(*analyze.Cast); ok && c.TypMod < 0 && sameOrder(c.Arg.Type(), c.To) {
		e = c.Arg
	}
	c, ok := e.(*analyze.Column)
	return c, ok && !c.Excluded
}

// usable reports whether e can bound c: it has a type of the same order and the
// same value for every row.
func usable(c *analyze.Column, e analyze.Expr) bool {
	return sameOrder(c.T, e.Type()) && !analyze.Any(e, dependsOnRow)
}

func dependsOnRow(e analyze.Expr) bool {
	switch e := e.(type) {
	case *analyze.Column, *analyze.AggRef, *analyze.Held, *analyze.Nextval:
		return true
	case *analyze.Func:
		return e.Fn.Volatility == builtin.Volatile
	default:
		return false
	}
}

// sameOrder reports whether values of the two types compare as if they were of
// one type: the integers among themselves, and the strings.
func sameOrder(a, b types.OID) bool {
	return a == b || isInteger(a) && isInteger(b) || isString(a) && isString(b)
}

func isInteger(t types.OID) bool { return t == types.Int2 || t == types.Int4 || t == types.Int8 }

func isString(t types.OID) bool { return t == types.Text || t == types.Varchar }

// equalTo gives the values that a column must equal, nil if no condition says so.
func equalTo(conds []condition, column int) []analyze.Expr {
	var best []analyze.Expr
	for _, c := range conds {
		if c.column == column && c.op == "=" && (best == nil || len(c.values) < len(best)) {
			best = c.values
		}
	}
	return best
}

// bounds gives the range conditions of a column.
func bounds(conds []condition, column int) (low, high *Bound) {
	for _, c := range conds {
		if c.column != column {
			continue
		}
		switch c.op {
		case ">", ">=":
			if low == nil {
				low = &Bound{Value: c.values[0], Inclusive: c.op == ">="}
			}
		case "<", "<=":
			if high == nil {
				high = &Bound{Value: c.values[0], Inclusive: c.op == "<="}
			}
		}
	}
	return low, high
}
