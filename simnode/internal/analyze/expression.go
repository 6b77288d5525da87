package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// expr gives an expression its type. Literals and parameters may come back with
// type Unknown; whoever uses the result coerces it.
func (s *scope) expr(e ast.Expr) (Expr, error) {
	switch e := e.(type) {
	case *ast.Const:
		return constant(e)
	case *ast.Param:
		return s.param(e)
	case *ast.ColumnRef:
		return s.column(e)
	case *ast.Op:
		return s.op(e)
	case *ast.Logic:
		return s.logic(e)
	case *ast.Not:
		arg, err := s.expr(e.Arg)
		if err != nil {
			return nil, err
		}
		arg, err = s.boolean(arg, "NOT", e.Arg)
		return &Not{Arg: arg}, err
	case *ast.Func:
		return s.call(e)
	case *ast.Cast:
		return s.cast(e)
	case *ast.Value:
		return s.value(e)
	case *ast.Default:
		return nil, sqlerr.New("42601", "DEFAULT is not allowed in this context").At(e.Position())
	default:
		return s.test(e)
	}
}

// test handles the constructs that PostgreSQL spells with keywords.
func (s *scope) test(e ast.Expr) (Expr, error) {
	switch e := e.(type) {
	case *ast.IsNull:
		arg, err := s.expr(e.Arg)
		if err != nil {
			return nil, err
		}
		arg, err = s.known(arg, e.Arg)
		return &IsNull{Arg: arg, Not: e.Not}, err
	case *ast.IsBool:
		return s.isBool(e)
	case *ast.In:
		return s.in(e)
	case *ast.Between:
		return s.between(e)
	case *ast.Distinct:
		return s.distinct(e)
	case *ast.NullIf:
		return s.nullIf(e)
	case *ast.Coalesce:
		t, args, err := s.commonArgs("COALESCE", e.Args)
		return &Coalesce{T: t, Args: args}, err
	case *ast.Extreme:
		construct := "GREATEST"
		if e.Least {
			construct = "LEAST"
		}
		t, args, err := s.commonArgs(construct, e.Args)
		return &Extreme{T: t, Least: e.Least, Args: args}, err
	case *ast.Case:
		return s.caseExpr(e)
	default:
		return nil, sqlerr.Unsupported("this expression").At(e.Position())
	}
}

func constant(c *ast.Const) (Expr, error) {
	switch c.Kind {
	case ast.ConstNull:
		return &Const{T: types.Unknown}, nil
	case ast.ConstString:
		return &Const{T: types.Unknown, Value: c.Text}, nil
	case ast.ConstBool:
		return &Const{T: types.Bool, Value: c.Text == "t"}, nil
	case ast.ConstInt:
		v, err := types.ParseText(types.Int4, types.NoTypmod, c.Text)
		return &Const{T: types.Int4, Value: v}, at(err, c.Position())
	default:
		if v, err := types.ParseText(types.Int8, types.NoTypmod, c.Text); err == nil {
			if n := v.(int64); n == int64(int32(n)) { // -2147483648
				return &Const{T: types.Int4, Value: int32(n)}, nil
			}
			return &Const{T: types.Int8, Value: v}, nil
		}
		v, err := types.ParseText(types.Numeric, types.NoTypmod, c.Text)
		return &Const{T: types.Numeric, Value: v}, at(err, c.Position())
	}
}

// known makes text of what is still unknown, where any type would do. A
// parameter stays unknown: nothing here says what it is.
func (s *scope) known(e Expr, where ast.Expr) (Expr, error) {
	if e.Type() != types.Unknown {
		return e, nil
	}
	if p, ok := e.(*Param); ok {
		return p, nil
	}
	return s.settleUnknown(e, types.Text, ast.Locate(where))
}

func (s *scope) op(e *ast.Op) (Expr, error) {
	// PostgreSQL looks at the left operand first, and so do its errors.
	var left Expr
	if e.Left != nil {
		var err error
		if left, err = s.expr(e.Left); err != nil {
			return nil, err
		}
	}
	right, err := s.expr(e.Right)
	if err != nil {
		return nil, err
	}
	return s.apply(e.Name, left, right, e)
}

// apply picks the operator and coerces the operands. where is the expression as
// written; its Left and Right give the places of the operands.
func (s *scope) apply(name string, left, right Expr, where *ast.Op) (*Op, error) {
	var leftType types.OID
	if left != nil {
		leftType = left.Type()
	}
	o, err := operator(name, leftType, right.Type(), where.Position())
	if err != nil {
		return nil, err
	}
	out := &Op{T: o.Result, Op: o}
	if left != nil {
		if out.Left, err = s.argument(left, o.Left, where.Left); err != nil {
			return nil, err
		}
	}
	out.Right, err = s.argument(right, o.Right, where.Right)
	return out, err
}

// argument coerces an argument to the declared type of an operator or function.
func (s *scope) argument(e Expr, declared types.OID, where ast.Expr) (Expr, error) {
	if declared == types.AnyElement || declared == types.AnyNonArray {
		if e.Type() == types.Unknown {
			return nil, sqlerr.New("42804", "could not determine polymorphic type because input has type unknown")
		}
		return e, nil
	}
	return s.coerce(e, declared, types.Implicit, ast.Locate(where))
}

func (s *scope) logic(e *ast.Logic) (Expr, error) {
	construct := "AND"
	if e.Or {
		construct = "OR"
	}
	out := &Logic{Or: e.Or}
	for _, arg := range e.Args {
		x, err := s.expr(arg)
		if err != nil {
			return nil, err
		}
		if x, err = s.boolean(x, construct, arg); err != nil {
			return nil, err
		}
		out.Args = append(out.Args, x)
	}
	return out, nil
}

func (s *scope) isBool(e *ast.IsBool) (Expr, error) {
	arg, err := s.expr(e.Arg)
	if err != nil {
		return nil, err
	}
	construct := "IS " + e.Want
	if e.Not {
		construct = "IS NOT " + e.Want
	}
	out := &IsBool{Not: e.Not}
	switch e.Want {
	case "TRUE":
		out.Want = true
	case "FALSE":
		out.Want = false
	}
	out.Arg, err = s.boolean(arg, construct, e.Arg)
	return out, err
}

func (s *scope) exprs(es []ast.Expr) ([]Expr, error) {
	out := make([]Expr, 0, len(es))
	for _, e := range es {
		x, err := s.expr(e)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func (s *scope) commonArgs(construct string, es []ast.Expr) (types.OID, []Expr, error) {
	args, err := s.exprs(es)
	if err != nil {
		return 0, nil, err
	}
	return s.common(construct, args, es)
}

func (s *scope) cast(e *ast.Cast) (Expr, error) {
	to, typmod, err := s.typeName(e.Type)
	if err != nil {
		return nil, err
	}
	arg, err := s.expr(e.Arg)
	if err != nil {
		return nil, err
	}
	if !canCoerce(arg.Type(), to, types.Explicit) {
		return nil, sqlerr.New("42846", "cannot cast type %s to %s", nameOf(arg.Type()), nameOf(to)).
			At(ast.Locate(&ast.Cast{At: e.At, Arg: &ast.Const{}, Type: ast.TypeName{}}))
	}
	out, err := s.coerce(arg, to, types.Explicit, ast.Locate(e.Arg))
	if err != nil {
		return nil, err
	}
	return coerceTypMod(out, typmod, true), nil
}

// value translates CURRENT_DATE and its kin to the functions behind them.
func (s *scope) value(e *ast.Value) (Expr, error) {
	name := e.Name
	switch e.Name {
	case "current_timestamp":
		if e.Precision >= 0 {
			return s.currentTime(e)
		}
		name = "now"
	case "current_date":
		now, err := s.call(&ast.Func{At: e.At, Name: "now"})
		if err != nil {
			return nil, err
		}
		return s.coerce(now, types.DateOID, types.Explicit, e.Position())
	case "current_role", "user":
		name = "current_user"
	case "current_catalog":
		name = "current_database"
	}
	return s.call(&ast.Func{At: e.At, Schema: "pg_catalog", Name: name})
}

// currentTime is CURRENT_TIMESTAMP(n).
func (s *scope) currentTime(e *ast.Value) (Expr, error) {
	precision, err := timePrecision(e.Precision, e.Position())
	if err != nil {
		return nil, err
	}
	now, err := s.call(&ast.Func{At: e.At, Name: "now"})
	if err != nil {
		return nil, err
	}
	return coerceTypMod(now, precision, false), nil
}
