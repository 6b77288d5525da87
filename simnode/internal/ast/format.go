package ast

import (
	"strconv"
	"strings"
)

// Format writes an expression as SQL that parses to the same tree. It is how the
// catalog keeps the DEFAULT of a column.
func Format(e Expr) string {
	var f formatter
	f.expr(e)
	return f.String()
}

type formatter struct{ strings.Builder }

func (f *formatter) words(parts ...any) {
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			f.WriteString(p)
		case Expr:
			f.expr(p)
		case []Expr:
			f.list(p)
		}
	}
}

func (f *formatter) list(es []Expr) {
	for i, e := range es {
		if i > 0 {
			f.WriteString(", ")
		}
		f.expr(e)
	}
}

func (f *formatter) expr(e Expr) {
	switch e := e.(type) {
	case *Const:
		f.constant(e)
	case *Param:
		f.words("$", strconv.Itoa(e.N))
	case *ColumnRef:
		f.WriteString(qualify(e.Schema, qualify(e.Table, quote(e.Name))))
	case *Op:
		if e.Left == nil {
			f.words("(", e.Name, " ", e.Right, ")")
			return
		}
		f.words("(", e.Left, " ", e.Name, " ", e.Right, ")")
	case *Logic:
		f.logic(e)
	case *Not:
		f.words("(NOT ", e.Arg, ")")
	case *Func:
		f.call(e)
	case *Cast:
		f.words("CAST(", e.Arg, " AS ", e.Type.String(), ")")
	case *Default:
		f.WriteString("DEFAULT")
	default:
		f.test(e)
	}
}

func (f *formatter) test(e Expr) {
	switch e := e.(type) {
	case *IsNull:
		f.words("(", e.Arg, " IS ", not(e.Not), "NULL)")
	case *IsBool:
		f.words("(", e.Arg, " IS ", not(e.Not), e.Want, ")")
	case *In:
		f.words("(", e.Arg, " ", not(e.Not), "IN (", e.List, "))")
	case *Between:
		symmetric := ""
		if e.Symmetric {
			symmetric = "SYMMETRIC "
		}
		f.words("(", e.Arg, " ", not(e.Not), "BETWEEN ", symmetric, e.Low, " AND ", e.High, ")")
	case *Distinct:
		f.words("(", e.Left, " IS ", not(e.Not), "DISTINCT FROM ", e.Right, ")")
	case *NullIf:
		f.words("NULLIF(", e.Left, ", ", e.Right, ")")
	case *Coalesce:
		f.words("COALESCE(", e.Args, ")")
	case *Extreme:
		name := "GREATEST("
		if e.Least {
			name = "LEAST("
		}
		f.words(name, e.Args, ")")
	case *Case:
		f.caseExpr(e)
	case *Value:
		f.WriteString(e.Name)
		if e.Precision >= 0 {
			f.words("(", strconv.Itoa(int(e.Precision)), ")")
		}
	case *Star:
		f.WriteString(qualify(e.Schema, qualify(e.Table, "*")))
	}
}

func (f *formatter) constant(c *Const) {
	switch c.Kind {
	case ConstString:
		f.WriteString(Quote(c.Text))
	case ConstBool:
		f.WriteString(map[bool]string{true: "TRUE", false: "FALSE"}[c.Text == "t"])
	case ConstInt, ConstNumber:
		if strings.HasPrefix(c.Text, "-") {
			f.words("(", c.Text, ")")
			return
		}
		f.WriteString(c.Text)
	default:
		f.WriteString("NULL")
	}
}

func (f *formatter) logic(e *Logic) {
	sep := " AND "
	if e.Or {
		sep = " OR "
	}
	f.WriteString("(")
	for i, a := range e.Args {
		if i > 0 {
			f.WriteString(sep)
		}
		f.expr(a)
	}
	f.WriteString(")")
}

func (f *formatter) call(e *Func) {
	f.WriteString(qualify(e.Schema, quote(e.Name)))
	if e.Star {
		f.WriteString("(*)")
		return
	}
	f.words("(", e.Args, ")")
}

func (f *formatter) caseExpr(e *Case) {
	f.WriteString("CASE")
	if e.Arg != nil {
		f.words(" ", e.Arg)
	}
	for _, w := range e.Whens {
		f.words(" WHEN ", w.Cond, " THEN ", w.Result)
	}
	if e.Else != nil {
		f.words(" ELSE ", e.Else)
	}
	f.WriteString(" END")
}

func not(yes bool) string {
	if yes {
		return "NOT "
	}
	return ""
}

// String writes the type as SQL.
func (t TypeName) String() string {
	s := qualify(t.Schema, quote(t.Name))
	if len(t.Mods) == 0 {
		return s
	}
	mods := make([]string, len(t.Mods))
	for i, m := range t.Mods {
		mods[i] = strconv.Itoa(int(m))
	}
	return s + "(" + strings.Join(mods, ",") + ")"
}

func qualify(qualifier, name string) string {
	if qualifier == "" {
		return name
	}
	return quote(qualifier) + "." + name
}

func quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Quote writes a string constant as SQL.
func Quote(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
