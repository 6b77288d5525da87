package parse

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"

	"github.com/anywriter/anywriter/simnode/internal/ast"
)

func (t *translator) operator(e *pgquery.A_Expr) ast.Expr {
	t.carry(e, "kind", "name", "lexpr", "rexpr", "location")
	at := t.at(e.Location)
	switch e.Kind {
	case pgquery.A_Expr_Kind_AEXPR_OP, pgquery.A_Expr_Kind_AEXPR_LIKE, pgquery.A_Expr_Kind_AEXPR_ILIKE:
		return &ast.Op{At: at, Name: t.operatorName(e), Left: t.optional(e.Lexpr), Right: t.expr(e.Rexpr)}
	case pgquery.A_Expr_Kind_AEXPR_DISTINCT, pgquery.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return &ast.Distinct{
			At: at, Left: t.expr(e.Lexpr), Right: t.expr(e.Rexpr),
			Not: e.Kind == pgquery.A_Expr_Kind_AEXPR_NOT_DISTINCT,
		}
	case pgquery.A_Expr_Kind_AEXPR_NULLIF:
		return &ast.NullIf{At: at, Left: t.expr(e.Lexpr), Right: t.expr(e.Rexpr)}
	case pgquery.A_Expr_Kind_AEXPR_IN:
		return &ast.In{At: at, Arg: t.expr(e.Lexpr), List: t.exprs(t.list(e.Rexpr)), Not: t.operatorName(e) == "<>"}
	case pgquery.A_Expr_Kind_AEXPR_BETWEEN, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pgquery.A_Expr_Kind_AEXPR_BETWEEN_SYM, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return t.between(at, e)
	case pgquery.A_Expr_Kind_AEXPR_OP_ANY:
		t.unsupported("ANY with an array")
	case pgquery.A_Expr_Kind_AEXPR_OP_ALL:
		t.unsupported("ALL with an array")
	default:
		t.unsupported("SIMILAR TO")
	}
	return &ast.Const{Kind: ast.ConstNull}
}

func (t *translator) between(at ast.At, e *pgquery.A_Expr) ast.Expr {
	bounds := t.list(e.Rexpr)
	if len(bounds) != 2 {
		t.unsupported("BETWEEN of this form")
		return &ast.Const{Kind: ast.ConstNull}
	}
	kind := e.Kind
	return &ast.Between{
		At: at, Arg: t.expr(e.Lexpr), Low: t.expr(bounds[0]), High: t.expr(bounds[1]),
		Not: kind == pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN || kind == pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM,
		Symmetric: kind == pgquery.A_Expr_Kind_AEXPR_BETWEEN_SYM ||
			kind == pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM,
	}
}

// operatorName reads the operator; pg_catalog is the only schema that has any.
func (t *translator) operatorName(e *pgquery.A_Expr) string {
	schema, name := t.qualified(e.Name)
	if schema != "" && schema != "pg_catalog" {
		t.unsupported("an operator in schema " + schema)
	}
	return name
}

func (t *translator) typeName(n *pgquery.TypeName) ast.TypeName {
	if n == nil {
		t.unsupported("a missing type name")
		return ast.TypeName{}
	}
	t.carry(n, "names", "typmods", "typemod", "location")
	schema, name := t.qualified(n.Names)
	out := ast.TypeName{At: t.at(n.Location), Schema: schema, Name: name}
	for _, m := range n.Typmods {
		c := m.GetAConst()
		if _, ok := c.GetVal().(*pgquery.A_Const_Ival); !ok {
			t.unsupported("a type modifier that is not a number")
			return out
		}
		out.Mods = append(out.Mods, c.GetIval().GetIval())
	}
	return out
}
