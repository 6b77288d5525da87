package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// compare builds left name right, which must be boolean, for a construct that is
// defined by an operator.
func (s *scope) compare(name, construct string, left, right Expr, where *ast.Op) (*Op, error) {
	o, err := s.apply(name, left, right, where)
	if err != nil {
		return nil, err
	}
	if o.T != types.Bool {
		return nil, sqlerr.New("42804", "%s requires = operator to yield boolean", construct).At(where.Position())
	}
	return o, nil
}

// in compares with each element. As in PostgreSQL, the elements without columns are
// brought to a common type if they have one; the others are compared each with an
// operator of their own.
func (s *scope) in(e *ast.In) (Expr, error) {
	arg, err := s.expr(e.Arg)
	if err != nil {
		return nil, err
	}
	list, err := s.exprs(e.List)
	if err != nil {
		return nil, err
	}
	if err := s.unify(arg, list, e); err != nil {
		return nil, err
	}
	if arg.Type() == types.Unknown {
		return s.unknownIn(arg, list, e)
	}
	out := &In{Arg: arg, Not: e.Not, Slot: s.slot()}
	held := &Held{T: arg.Type(), Slot: out.Slot}
	for i, x := range list {
		test, err := s.compare("=", "IN", held, x, &ast.Op{At: e.At, Left: e.Arg, Right: e.List[i]})
		if err != nil {
			return nil, err
		}
		out.Tests = append(out.Tests, test)
	}
	return out, nil
}

// unknownIn is IN for a literal or parameter, which may have another type in each
// comparison.
func (s *scope) unknownIn(arg Expr, list []Expr, e *ast.In) (Expr, error) {
	either := &Logic{Or: true}
	for i, x := range list {
		test, err := s.compare("=", "IN", arg, x, &ast.Op{At: e.At, Left: e.Arg, Right: e.List[i]})
		if err != nil {
			return nil, err
		}
		either.Args = append(either.Args, test)
	}
	if e.Not {
		return &Not{Arg: either}, nil
	}
	return either, nil
}

// unify gives the elements of an IN list that depend on no column a common type with
// the left side, if there are several and there is such a type.
func (s *scope) unify(arg Expr, list []Expr, e *ast.In) error {
	all, places := []Expr{arg}, []ast.Expr{e.Arg}
	var positions []int
	for i, x := range list {
		if !Any(x, isColumn) {
			all, places = append(all, x), append(places, e.List[i])
			positions = append(positions, i)
		}
	}
	if len(positions) < 2 {
		return nil
	}
	t, err := commonType("IN", all, places)
	if err != nil || !allCoerce(all, t) {
		return nil // then each for itself, which may still be fine
	}
	for _, i := range positions {
		if list[i], err = s.toCommon("IN", list[i], t, e.List[i]); err != nil {
			return err
		}
	}
	return nil
}

func isColumn(e Expr) bool {
	_, ok := e.(*Column)
	return ok
}

func allCoerce(all []Expr, t types.OID) bool {
	for _, x := range all {
		if !canCoerce(x.Type(), t, types.Implicit) {
			return false
		}
	}
	return true
}

// between is defined as two comparisons, each with its own operator.
func (s *scope) between(e *ast.Between) (Expr, error) {
	low, err := s.range2(e, e.Low, e.High)
	if err != nil {
		return nil, err
	}
	if e.Symmetric {
		swapped, err := s.range2(e, e.High, e.Low)
		if err != nil {
			return nil, err
		}
		low = &Logic{Or: true, Args: []Expr{low, swapped}}
	}
	if e.Not {
		return &Not{Arg: low}, nil
	}
	return low, nil
}

func (s *scope) range2(e *ast.Between, low, high ast.Expr) (Expr, error) {
	return s.logic(&ast.Logic{At: e.At, Args: []ast.Expr{
		&ast.Op{At: e.At, Name: ">=", Left: e.Arg, Right: low},
		&ast.Op{At: e.At, Name: "<=", Left: e.Arg, Right: high},
	}})
}

func (s *scope) distinct(e *ast.Distinct) (Expr, error) {
	args, err := s.exprs([]ast.Expr{e.Left, e.Right})
	if err != nil {
		return nil, err
	}
	eq, err := s.compare("=", "IS DISTINCT FROM", args[0], args[1], &ast.Op{At: e.At, Left: e.Left, Right: e.Right})
	if err != nil {
		return nil, err
	}
	return &Distinct{Eq: eq, Not: e.Not}, nil
}

func (s *scope) nullIf(e *ast.NullIf) (Expr, error) {
	args, err := s.exprs([]ast.Expr{e.Left, e.Right})
	if err != nil {
		return nil, err
	}
	left := args[0]
	if left.Type() == types.Unknown {
		o, err := operator("=", left.Type(), args[1].Type(), e.Position())
		if err != nil {
			return nil, err
		}
		if left, err = s.argument(left, o.Left, e.Left); err != nil {
			return nil, err
		}
	}
	out := &NullIf{Arg: left, Slot: s.slot()}
	held := &Held{T: left.Type(), Slot: out.Slot}
	out.Eq, err = s.compare("=", "NULLIF", held, args[1], &ast.Op{At: e.At, Left: e.Left, Right: e.Right})
	return out, err
}

func (s *scope) caseExpr(e *ast.Case) (Expr, error) {
	out := &Case{}
	var held *Held
	if e.Arg != nil {
		arg, err := s.expr(e.Arg)
		if err != nil {
			return nil, err
		}
		if arg.Type() == types.Unknown {
			if arg, err = s.settleUnknown(arg, types.Text, ast.Locate(e.Arg)); err != nil {
				return nil, err
			}
		}
		out.Arg, out.Slot = arg, s.slot()
		held = &Held{T: arg.Type(), Slot: out.Slot}
	}
	var results []Expr
	var places []ast.Expr
	for _, w := range e.Whens {
		cond, err := s.whenCond(held, e, w)
		if err != nil {
			return nil, err
		}
		result, err := s.expr(w.Result)
		if err != nil {
			return nil, err
		}
		out.Whens = append(out.Whens, When{Cond: cond})
		results, places = append(results, result), append(places, w.Result)
	}
	return s.caseResults(out, e, results, places)
}

func (s *scope) whenCond(held *Held, e *ast.Case, w ast.When) (Expr, error) {
	cond, err := s.expr(w.Cond)
	if err != nil {
		return nil, err
	}
	if held != nil {
		cond, err = s.apply("=", held, cond, &ast.Op{At: w.At, Left: e.Arg, Right: w.Cond})
		if err != nil {
			return nil, err
		}
	}
	return s.boolean(cond, "CASE/WHEN", w.Cond)
}

// caseResults settles the common type. PostgreSQL looks at ELSE first.
func (s *scope) caseResults(out *Case, e *ast.Case, results []Expr, places []ast.Expr) (Expr, error) {
	otherwise := Expr(&Const{T: types.Unknown})
	where := ast.Expr(&ast.Const{})
	if e.Else != nil {
		x, err := s.expr(e.Else)
		if err != nil {
			return nil, err
		}
		otherwise, where = x, e.Else
	}
	t, all, err := s.common("CASE", append([]Expr{otherwise}, results...), append([]ast.Expr{where}, places...))
	if err != nil {
		return nil, err
	}
	out.T, out.Else = t, all[0]
	for i := range out.Whens {
		out.Whens[i].Result = all[i+1]
	}
	return out, nil
}
