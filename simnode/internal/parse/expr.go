package parse

import (
	"strconv"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// optional is expr for a node that may be absent.
func (t *translator) optional(n *pgquery.Node) ast.Expr {
	if n == nil || t.err != nil {
		return nil
	}
	return t.expr(n)
}

func (t *translator) exprs(ns []*pgquery.Node) []ast.Expr {
	out := make([]ast.Expr, 0, len(ns))
	for _, n := range ns {
		out = append(out, t.expr(n))
	}
	return out
}

// expr translates an expression. After an error it returns NULL, never nil.
func (t *translator) expr(n *pgquery.Node) ast.Expr {
	if t.err != nil {
		return &ast.Const{Kind: ast.ConstNull}
	}
	switch e := n.GetNode().(type) {
	case *pgquery.Node_AConst:
		return t.constant(e.AConst)
	case *pgquery.Node_ParamRef:
		t.carry(e.ParamRef, "number", "location")
		t.params = max(t.params, int(e.ParamRef.Number))
		return &ast.Param{At: t.at(e.ParamRef.Location), N: int(e.ParamRef.Number)}
	case *pgquery.Node_ColumnRef:
		return t.columnRef(e.ColumnRef)
	case *pgquery.Node_AExpr:
		return t.operator(e.AExpr)
	case *pgquery.Node_BoolExpr:
		return t.logic(e.BoolExpr)
	case *pgquery.Node_FuncCall:
		return t.call(e.FuncCall)
	case *pgquery.Node_TypeCast:
		t.carry(e.TypeCast, "arg", "type_name", "location")
		return &ast.Cast{At: t.at(e.TypeCast.Location), Arg: t.expr(e.TypeCast.Arg), Type: t.typeName(e.TypeCast.TypeName)}
	case *pgquery.Node_SetToDefault:
		return &ast.Default{At: t.at(e.SetToDefault.Location)}
	}
	return t.special(n)
}

// special translates what PostgreSQL spells with keywords.
func (t *translator) special(n *pgquery.Node) ast.Expr {
	switch e := n.GetNode().(type) {
	case *pgquery.Node_NullTest:
		t.carry(e.NullTest, "arg", "nulltesttype", "location")
		return &ast.IsNull{
			At: t.at(e.NullTest.Location), Arg: t.expr(e.NullTest.Arg),
			Not: e.NullTest.Nulltesttype == pgquery.NullTestType_IS_NOT_NULL,
		}
	case *pgquery.Node_BooleanTest:
		return t.boolTest(e.BooleanTest)
	case *pgquery.Node_CaseExpr:
		return t.caseExpr(e.CaseExpr)
	case *pgquery.Node_CoalesceExpr:
		t.carry(e.CoalesceExpr, "args", "location")
		return &ast.Coalesce{At: t.at(e.CoalesceExpr.Location), Args: t.exprs(e.CoalesceExpr.Args)}
	case *pgquery.Node_MinMaxExpr:
		t.carry(e.MinMaxExpr, "op", "args", "location")
		return &ast.Extreme{
			At: t.at(e.MinMaxExpr.Location), Args: t.exprs(e.MinMaxExpr.Args),
			Least: e.MinMaxExpr.Op == pgquery.MinMaxOp_IS_LEAST,
		}
	case *pgquery.Node_SqlvalueFunction:
		return t.sqlValue(e.SqlvalueFunction)
	}
	t.refuse(n)
	return &ast.Const{Kind: ast.ConstNull}
}

func (t *translator) constant(c *pgquery.A_Const) ast.Expr {
	out := &ast.Const{At: t.at(c.Location)}
	if c.Isnull {
		out.Kind = ast.ConstNull
		return out
	}
	switch v := c.GetVal().(type) {
	case *pgquery.A_Const_Ival:
		out.Kind, out.Text = ast.ConstInt, strconv.Itoa(int(v.Ival.GetIval()))
		t.checkNumber(c.Location)
	case *pgquery.A_Const_Fval:
		out.Kind, out.Text = ast.ConstNumber, v.Fval.GetFval()
		t.checkNumber(c.Location)
	case *pgquery.A_Const_Boolval:
		out.Kind, out.Text = ast.ConstBool, "f"
		if v.Boolval.GetBoolval() {
			out.Text = "t"
		}
	case *pgquery.A_Const_Sval:
		out.Kind, out.Text = ast.ConstString, v.Sval.GetSval()
	default:
		t.unsupported("type bit")
	}
	return out
}

// checkNumber refuses the spellings of numbers that came with PostgreSQL 16:
// 0x1F, 0o17, 0b1 and 1_000. PostgreSQL 15 calls them junk.
func (t *translator) checkNumber(offset int32) {
	if offset < 0 || int(offset) >= len(t.text) {
		return
	}
	s := t.text[offset:]
	i := 0
	for i < len(s) && (s[i] == '-' || s[i] == '.' || s[i] >= '0' && s[i] <= '9') {
		i++
	}
	if i == len(s) || i == 0 {
		return
	}
	switch s[i] {
	case 'x', 'X', 'o', 'O', 'b', 'B', '_':
		for i < len(s) && (s[i] == '_' || s[i] == '$' || isAlnum(s[i])) {
			i++
		}
		t.fail(sqlerr.New("42601", "trailing junk after numeric literal at or near \"%s\"", s[:i]).
			At(int32(t.at(offset))))
	}
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (t *translator) columnRef(c *pgquery.ColumnRef) ast.Expr {
	t.carry(c, "fields", "location")
	for _, f := range c.Fields {
		if f.GetAStar() != nil {
			t.unsupported("a whole-row reference")
			return &ast.Const{Kind: ast.ConstNull}
		}
	}
	out := &ast.ColumnRef{At: t.at(c.Location)}
	last := len(c.Fields) - 1
	if last < 0 || last > 2 {
		t.unsupported("a cross-database reference")
		return out
	}
	out.Name = t.name(c.Fields[last])
	if last > 0 {
		out.Schema, out.Table = t.qualified(c.Fields[:last])
	}
	return out
}

func (t *translator) logic(b *pgquery.BoolExpr) ast.Expr {
	t.carry(b, "boolop", "args", "location")
	args := t.exprs(b.Args)
	if b.Boolop == pgquery.BoolExprType_NOT_EXPR && len(args) == 1 {
		return &ast.Not{At: t.at(b.Location), Arg: args[0]}
	}
	return &ast.Logic{At: t.at(b.Location), Or: b.Boolop == pgquery.BoolExprType_OR_EXPR, Args: args}
}

func (t *translator) call(f *pgquery.FuncCall) ast.Expr {
	t.carry(f, "funcname", "args", "agg_star", "funcformat", "location")
	schema, name := t.qualified(f.Funcname)
	return &ast.Func{At: t.at(f.Location), Schema: schema, Name: name, Args: t.exprs(f.Args), Star: f.AggStar}
}

func (t *translator) boolTest(b *pgquery.BooleanTest) ast.Expr {
	t.carry(b, "arg", "booltesttype", "location")
	out := &ast.IsBool{At: t.at(b.Location), Arg: t.expr(b.Arg)}
	switch b.Booltesttype {
	case pgquery.BoolTestType_IS_TRUE:
		out.Want = "TRUE"
	case pgquery.BoolTestType_IS_NOT_TRUE:
		out.Want, out.Not = "TRUE", true
	case pgquery.BoolTestType_IS_FALSE:
		out.Want = "FALSE"
	case pgquery.BoolTestType_IS_NOT_FALSE:
		out.Want, out.Not = "FALSE", true
	case pgquery.BoolTestType_IS_UNKNOWN:
		out.Want = "UNKNOWN"
	default:
		out.Want, out.Not = "UNKNOWN", true
	}
	return out
}

func (t *translator) caseExpr(c *pgquery.CaseExpr) ast.Expr {
	t.carry(c, "arg", "args", "defresult", "location")
	out := &ast.Case{At: t.at(c.Location), Arg: t.optional(c.Arg), Else: t.optional(c.Defresult)}
	for _, n := range c.Args {
		w := n.GetCaseWhen()
		if w == nil {
			t.refuse(n)
			return out
		}
		t.carry(w, "expr", "result", "location")
		out.Whens = append(out.Whens, ast.When{At: t.at(w.Location), Cond: t.expr(w.Expr), Result: t.expr(w.Result)})
	}
	return out
}

func (t *translator) sqlValue(v *pgquery.SQLValueFunction) ast.Expr {
	t.carry(v, "op", "typmod", "location")
	out := &ast.Value{At: t.at(v.Location), Precision: -1}
	switch v.Op {
	case pgquery.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		out.Name = "current_date"
	case pgquery.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP:
		out.Name = "current_timestamp"
	case pgquery.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		out.Name, out.Precision = "current_timestamp", v.Typmod
	case pgquery.SQLValueFunctionOp_SVFOP_CURRENT_ROLE:
		out.Name = "current_role"
	case pgquery.SQLValueFunctionOp_SVFOP_CURRENT_USER:
		out.Name = "current_user"
	case pgquery.SQLValueFunctionOp_SVFOP_USER:
		out.Name = "user"
	case pgquery.SQLValueFunctionOp_SVFOP_SESSION_USER:
		out.Name = "session_user"
	case pgquery.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		out.Name = "current_catalog"
	case pgquery.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		out.Name = "current_schema"
	case pgquery.SQLValueFunctionOp_SVFOP_CURRENT_TIME, pgquery.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:
		t.unsupported("type time with time zone")
	case pgquery.SQLValueFunctionOp_SVFOP_LOCALTIME, pgquery.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		t.unsupported("type time")
	default:
		t.unsupported("type timestamp without time zone")
	}
	return out
}
