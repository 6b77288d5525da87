package parse

import (
	"strconv"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"github.com/anywriter/anywriter/simnode/internal/ast"
)

func (t *translator) transaction(s *pgquery.TransactionStmt) *ast.Transaction {
	op := t.transactionOp(s.Kind)
	t.carry(s, "kind", "options", "savepoint_name", "chain", "location")
	return &ast.Transaction{
		Op:        op,
		Modes:     t.modes(s.Options),
		Savepoint: s.SavepointName,
		Chain:     s.Chain,
	}
}

func (t *translator) transactionOp(kind pgquery.TransactionStmtKind) ast.TransactionOp {
	switch kind {
	case pgquery.TransactionStmtKind_TRANS_STMT_BEGIN:
		return ast.OpBegin
	case pgquery.TransactionStmtKind_TRANS_STMT_START:
		return ast.OpStart
	case pgquery.TransactionStmtKind_TRANS_STMT_COMMIT:
		return ast.OpCommit
	case pgquery.TransactionStmtKind_TRANS_STMT_ROLLBACK:
		return ast.OpRollback
	case pgquery.TransactionStmtKind_TRANS_STMT_SAVEPOINT:
		return ast.OpSavepoint
	case pgquery.TransactionStmtKind_TRANS_STMT_RELEASE:
		return ast.OpRelease
	case pgquery.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		return ast.OpRollbackTo
	default:
		t.unsupported("PREPARE TRANSACTION (two-phase commit)")
		return ast.OpUnknown
	}
}

func (t *translator) modes(ns []*pgquery.Node) ast.TransactionModes {
	var out ast.TransactionModes
	for _, n := range ns {
		d := n.GetDefElem()
		if d == nil {
			t.refuse(n)
			return out
		}
		t.carry(d, "defname", "arg", "defaction", "location", "arg_location")
		c := d.GetArg().GetAConst()
		on := c.GetIval().GetIval() != 0
		switch d.GetDefname() {
		case "transaction_isolation":
			out.Isolation = c.GetSval().GetSval()
		case "transaction_read_only":
			out.ReadOnly = &on
		case "transaction_deferrable":
			out.Deferrable = &on
		default:
			t.unsupported("this transaction mode")
		}
	}
	return out
}

func (t *translator) set(s *pgquery.VariableSetStmt) *ast.Set {
	t.carry(s, "kind", "name", "args", "is_local")
	out := &ast.Set{Scope: ast.ScopeSession, Name: s.Name}
	if s.IsLocal {
		out.Scope = ast.ScopeLocal
	}
	switch s.Kind {
	case pgquery.VariableSetKind_VAR_SET_VALUE:
		for _, n := range s.Args {
			out.Values = append(out.Values, t.setting(n))
		}
	case pgquery.VariableSetKind_VAR_SET_DEFAULT:
		out.Default = true
	case pgquery.VariableSetKind_VAR_RESET:
		out.Default, out.Reset = true, true
	case pgquery.VariableSetKind_VAR_RESET_ALL:
		out.Default, out.Reset, out.Name = true, true, ""
	case pgquery.VariableSetKind_VAR_SET_MULTI:
		t.setMulti(out, s)
	default:
		t.unsupported("SET … FROM CURRENT")
	}
	return out
}

func (t *translator) setMulti(out *ast.Set, s *pgquery.VariableSetStmt) {
	switch s.Name {
	case "TRANSACTION":
		out.Scope = ast.ScopeTransaction
	case "SESSION CHARACTERISTICS":
		out.Scope = ast.ScopeDefaults
	default:
		t.unsupported("SET " + s.Name)
		return
	}
	out.Name, out.Modes = "", t.modes(s.Args)
}

// setting reads one value of SET as text.
func (t *translator) setting(n *pgquery.Node) string {
	c := n.GetAConst()
	if c == nil {
		t.unsupported("a SET value that is not a constant")
		return ""
	}
	switch v := c.GetVal().(type) {
	case *pgquery.A_Const_Sval:
		return v.Sval.Sval
	case *pgquery.A_Const_Fval:
		return v.Fval.Fval
	case *pgquery.A_Const_Ival:
		return strconv.Itoa(int(v.Ival.Ival))
	case *pgquery.A_Const_Boolval:
		return strconv.FormatBool(v.Boolval.Boolval)
	default:
		t.unsupported("a SET value of this kind")
		return ""
	}
}

func (t *translator) prepare(s *pgquery.PrepareStmt) *ast.Prepare {
	t.carry(s, "name", "argtypes", "query")
	out := &ast.Prepare{Name: s.Name}
	for _, n := range s.Argtypes {
		out.Types = append(out.Types, t.typeName(n.GetTypeName()))
	}
	node, kind := t.command(s.Query)
	out.Query = ast.Statement{Text: t.text, Kind: kind, Params: t.params, Node: node}
	return out
}

func (t *translator) discard(s *pgquery.DiscardStmt) *ast.Discard {
	t.carry(s, "target")
	switch s.Target {
	case pgquery.DiscardMode_DISCARD_ALL:
		return &ast.Discard{Target: "ALL"}
	case pgquery.DiscardMode_DISCARD_PLANS:
		return &ast.Discard{Target: "PLANS"}
	case pgquery.DiscardMode_DISCARD_SEQUENCES:
		return &ast.Discard{Target: "SEQUENCES"}
	default:
		return &ast.Discard{Target: "TEMP"}
	}
}
