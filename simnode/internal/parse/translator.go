package parse

import (
	"unicode/utf8"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// translator makes one ast tree out of one tree of the grammar. It keeps the
// first error and goes on with zero values, so the callers need not check each
// step; the tree is thrown away in that case.
type translator struct {
	text   string // the whole query string
	ascii  bool
	params int // highest parameter number seen
	err    *sqlerr.Error
}

func (t *translator) fail(err *sqlerr.Error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *translator) unsupported(feature string) { t.fail(sqlerr.Unsupported(feature)) }

// refuse fails with the name of a node that has no translation in this place.
func (t *translator) refuse(n *pgquery.Node) {
	t.unsupported(nodeFeature(nodeName(n)))
}

// nodeName is the name of the message inside n, "" if there is none.
func nodeName(n *pgquery.Node) string {
	if n == nil || n.Node == nil {
		return ""
	}
	r := n.ProtoReflect()
	fd := r.WhichOneof(r.Descriptor().Oneofs().Get(0))
	if fd == nil || fd.Kind() != protoreflect.MessageKind {
		return ""
	}
	return string(fd.Message().Name())
}

// at turns the grammar's byte offset into a position.
func (t *translator) at(offset int32) ast.At {
	if offset < 0 || int(offset) > len(t.text) {
		return 0
	}
	if t.ascii {
		return ast.At(offset + 1)
	}
	return ast.At(utf8.RuneCountInString(t.text[:offset]) + 1)
}

func (t *translator) command(n *pgquery.Node) (ast.Node, ast.Kind) {
	switch s := n.GetNode().(type) {
	case *pgquery.Node_SelectStmt:
		return t.selectStmt(s.SelectStmt), ast.KindSelect
	case *pgquery.Node_InsertStmt:
		return t.insert(s.InsertStmt), ast.KindInsert
	case *pgquery.Node_UpdateStmt:
		return t.update(s.UpdateStmt), ast.KindUpdate
	case *pgquery.Node_DeleteStmt:
		return t.deleteStmt(s.DeleteStmt), ast.KindDelete
	case *pgquery.Node_CreateStmt:
		return t.createTable(s.CreateStmt), ast.KindCreateTable
	case *pgquery.Node_DropStmt:
		return t.drop(s.DropStmt)
	case *pgquery.Node_CreateSchemaStmt:
		return t.createSchema(s.CreateSchemaStmt), ast.KindCreateSchema
	case *pgquery.Node_TruncateStmt:
		return t.truncate(s.TruncateStmt), ast.KindTruncate
	}
	return t.sessionCommand(n)
}

func (t *translator) sessionCommand(n *pgquery.Node) (ast.Node, ast.Kind) {
	switch s := n.GetNode().(type) {
	case *pgquery.Node_TransactionStmt:
		return t.transaction(s.TransactionStmt), ast.KindTransaction
	case *pgquery.Node_VariableSetStmt:
		return t.set(s.VariableSetStmt), ast.KindSet
	case *pgquery.Node_VariableShowStmt:
		t.carry(s.VariableShowStmt, "name")
		return &ast.Show{Name: s.VariableShowStmt.Name}, ast.KindShow
	case *pgquery.Node_PrepareStmt:
		return t.prepare(s.PrepareStmt), ast.KindPrepare
	case *pgquery.Node_ExecuteStmt:
		t.carry(s.ExecuteStmt, "name", "params")
		return &ast.Execute{Name: s.ExecuteStmt.Name, Args: t.exprs(s.ExecuteStmt.Params)}, ast.KindExecute
	case *pgquery.Node_DeallocateStmt:
		t.carry(s.DeallocateStmt, "name", "isall", "location")
		return &ast.Deallocate{Name: s.DeallocateStmt.Name}, ast.KindDeallocate
	case *pgquery.Node_DiscardStmt:
		return t.discard(s.DiscardStmt), ast.KindDiscard
	}
	t.unsupported(t.refusedCommand(n))
	return nil, ast.KindUnknown
}

// refusedCommand names a command; some nodes stand for several.
func (t *translator) refusedCommand(n *pgquery.Node) string {
	switch s := n.GetNode().(type) {
	case *pgquery.Node_VacuumStmt:
		if !s.VacuumStmt.IsVacuumcmd {
			return "ANALYZE"
		}
	case *pgquery.Node_GrantStmt:
		if !s.GrantStmt.IsGrant {
			return "REVOKE"
		}
	case *pgquery.Node_CreateTableAsStmt:
		if s.CreateTableAsStmt.Objtype == pgquery.ObjectType_OBJECT_MATVIEW {
			return "CREATE MATERIALIZED VIEW"
		}
	}
	return nodeFeature(nodeName(n))
}

// name reads a String node.
func (t *translator) name(n *pgquery.Node) string {
	s, ok := n.GetNode().(*pgquery.Node_String_)
	if !ok {
		t.refuse(n)
		return ""
	}
	return s.String_.Sval
}

func (t *translator) names(ns []*pgquery.Node) []string {
	var out []string
	for _, n := range ns {
		out = append(out, t.name(n))
	}
	return out
}

// qualified splits a name of one or two parts into schema and name.
func (t *translator) qualified(ns []*pgquery.Node) (schema, name string) {
	parts := t.names(ns)
	switch len(parts) {
	case 1:
		return "", parts[0]
	case 2:
		return parts[0], parts[1]
	default:
		t.unsupported("a cross-database reference")
		return "", ""
	}
}

// rangeVar reads a table name; temporary and unlogged tables are refused.
func (t *translator) rangeVar(r *pgquery.RangeVar) (ast.TableName, string) {
	if r == nil {
		return ast.TableName{}, ""
	}
	t.carry(r, "schemaname", "relname", "inh", "relpersistence", "alias", "location")
	switch r.Relpersistence {
	case "", "p":
	case "t":
		t.unsupported("a temporary table")
	default:
		t.unsupported("an unlogged table")
	}
	name := ast.TableName{At: t.at(r.Location), Schema: r.Schemaname, Name: r.Relname}
	if r.Alias == nil {
		return name, ""
	}
	return name, r.Alias.Aliasname
}

// nonEmpty leaves out the empty nodes that the grammar pads some lists with.
func nonEmpty(ns []*pgquery.Node) []*pgquery.Node {
	var out []*pgquery.Node
	for _, n := range ns {
		if n != nil && n.Node != nil {
			out = append(out, n)
		}
	}
	return out
}

func (t *translator) list(n *pgquery.Node) []*pgquery.Node {
	l, ok := n.GetNode().(*pgquery.Node_List)
	if !ok {
		t.refuse(n)
		return nil
	}
	return l.List.Items
}
