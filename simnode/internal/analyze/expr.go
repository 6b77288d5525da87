package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Expr is an expression with a type. Its nodes are immutable once Analyze has
// returned them.
type Expr interface {
	// Type is the OID of the expression's values.
	Type() types.OID
}

// Const is a literal. A string literal whose type isn't settled yet has type
// Unknown and a string value; none is left when Analyze returns, except as an
// argument of type "any".
type Const struct {
	T     types.OID
	Value types.Datum
}

// Param is $N.
type Param struct {
	N int // from 1
	T types.OID
}

// Column is a column of the row that the statement looks at.
type Column struct {
	T        types.OID
	TypMod   int32
	Index    int
	Excluded bool // of the row proposed for insertion, in ON CONFLICT
}

// Op is an operator call. Left is nil for a prefix operator.
type Op struct {
	T           types.OID
	Op          *builtin.Operator
	Left, Right Expr
}

// Func is a function call.
type Func struct {
	T    types.OID
	Fn   *builtin.Function
	Args []Expr
}

// AggRef is the result of aggregate number Index of the query.
type AggRef struct {
	T     types.OID
	Index int
}

// Logic is AND or OR.
type Logic struct {
	Or   bool
	Args []Expr
}

// Not is NOT.
type Not struct{ Arg Expr }

// IsNull is IS [NOT] NULL.
type IsNull struct {
	Arg Expr
	Not bool
}

// IsBool is IS [NOT] TRUE, FALSE, UNKNOWN. Want is true, false or nil.
type IsBool struct {
	Arg  Expr
	Want types.Datum
	Not  bool
}

// In is IN with a list: Arg = any of List. Tests holds the comparison for each
// element of List; its Left is a *Held that stands for Arg.
type In struct {
	Arg   Expr
	Tests []*Op
	Slot  int
	Not   bool
}

// Distinct is IS [NOT] DISTINCT FROM, by the equality operator Eq.
type Distinct struct {
	Eq  *Op
	Not bool
}

// NullIf gives NULL if the two sides of Eq are equal, and else the left side. Eq's
// Left reads Arg through the *Held of Slot.
type NullIf struct {
	Arg  Expr
	Eq   *Op
	Slot int
}

// Coalesce is the first argument that is not NULL.
type Coalesce struct {
	T    types.OID
	Args []Expr
}

// Extreme is GREATEST or LEAST.
type Extreme struct {
	T     types.OID
	Least bool
	Args  []Expr
}

// Case is CASE. In the simple form Arg is evaluated first, and the conditions
// read it through the *Held of Slot.
type Case struct {
	T     types.OID
	Arg   Expr // nil in the searched form
	Slot  int
	Whens []When
	Else  Expr // nil means NULL
}

// When is one branch of a Case.
type When struct{ Cond, Result Expr }

// Held is a value that an enclosing expression evaluated once and keeps in Slot.
type Held struct {
	T    types.OID
	Slot int
}

// Cast converts Arg. When Arg has type To already, only the modifier is applied.
type Cast struct {
	To       types.OID
	TypMod   int32
	Arg      Expr
	Explicit bool
}

// Nextval draws the next value of a sequence, for a serial column.
type Nextval struct {
	T        types.OID
	Sequence uint32 // OID
}

// Type implements Expr.
func (e *Const) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Param) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Column) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Op) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Func) Type() types.OID { return e.T }

// Type implements Expr.
func (e *AggRef) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Logic) Type() types.OID { return types.Bool }

// Type implements Expr.
func (e *Not) Type() types.OID { return types.Bool }

// Type implements Expr.
func (e *IsNull) Type() types.OID { return types.Bool }

// Type implements Expr.
func (e *IsBool) Type() types.OID { return types.Bool }

// Type implements Expr.
func (e *In) Type() types.OID { return types.Bool }

// Type implements Expr.
func (e *Distinct) Type() types.OID { return types.Bool }

// Type implements Expr.
func (e *NullIf) Type() types.OID { return e.Eq.Left.Type() }

// Type implements Expr.
func (e *Coalesce) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Extreme) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Case) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Held) Type() types.OID { return e.T }

// Type implements Expr.
func (e *Cast) Type() types.OID { return e.To }

// Type implements Expr.
func (e *Nextval) Type() types.OID { return e.T }

// Children gives the direct subexpressions of e.
func Children(e Expr) []Expr {
	switch e := e.(type) {
	case *Op:
		if e.Left == nil {
			return []Expr{e.Right}
		}
		return []Expr{e.Left, e.Right}
	case *Func:
		return e.Args
	case *Logic:
		return e.Args
	case *Not:
		return []Expr{e.Arg}
	case *IsNull:
		return []Expr{e.Arg}
	case *IsBool:
		return []Expr{e.Arg}
	case *In:
		out := []Expr{e.Arg}
		for _, t := range e.Tests {
			out = append(out, t)
		}
		return out
	case *Distinct:
		return []Expr{e.Eq}
	case *NullIf:
		return []Expr{e.Arg, e.Eq}
	case *Coalesce:
		return e.Args
	case *Extreme:
		return e.Args
	case *Case:
		return caseChildren(e)
	case *Cast:
		return []Expr{e.Arg}
	default:
		return nil
	}
}

func caseChildren(e *Case) []Expr {
	var out []Expr
	if e.Arg != nil {
		out = append(out, e.Arg)
	}
	for _, w := range e.Whens {
		out = append(out, w.Cond, w.Result)
	}
	if e.Else != nil {
		out = append(out, e.Else)
	}
	return out
}

// Any reports whether e or anything in it satisfies test.
func Any(e Expr, test func(Expr) bool) bool {
	if e == nil {
		return false
	}
	if test(e) {
		return true
	}
	for _, c := range Children(e) {
		if Any(c, test) {
			return true
		}
	}
	return false
}

// typmodOf gives the type modifier that e's values are known to obey.
func typmodOf(e Expr) int32 {
	switch e := e.(type) {
	case *Column:
		return e.TypMod
	case *Cast:
		return e.TypMod
	case *NullIf:
		if _, ok := e.Eq.Left.(*Held); ok {
			return typmodOf(e.Arg)
		}
		return typmodOf(e.Eq.Left)
	case *Coalesce:
		return commonTypMod(e.Args)
	case *Extreme:
		return commonTypMod(e.Args)
	case *Case:
		var results []Expr
		for _, w := range e.Whens {
			results = append(results, w.Result)
		}
		return commonTypMod(append(results, e.Else))
	default:
		return types.NoTypmod
	}
}

// commonTypMod is the modifier that all of es have, NoTypmod if they differ.
func commonTypMod(es []Expr) int32 {
	m := typmodOf(es[0])
	for _, e := range es[1:] {
		if typmodOf(e) != m || e.Type() != es[0].Type() {
			return types.NoTypmod
		}
	}
	return m
}
