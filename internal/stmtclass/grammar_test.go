//go:build cgo

package stmtclass_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/anywriter/anywriter/internal/stmtclass"
)

// check holds what the lexer says of sql against the real grammar: a Read must
// be a lone SELECT (VALUES and TABLE are that too) or SHOW that writes nothing,
// locks nothing, and calls only functions that a Read may call.
func check(t *testing.T, sql string) {
	t.Helper()
	info := stmtclass.Classify(sql)
	if strings.Contains(sql, "\x00") {
		// The parser is a library in C: for it the text ends here. The protocol
		// knows no such text either.
		if !info.Malformed {
			t.Fatalf("%q: it holds a NUL, and isn't malformed", sql)
		}
		return
	}
	tree, err := pgquery.Parse(sql)
	if err != nil {
		return // the server refuses it as well
	}
	if !info.Malformed && len(tree.Stmts) != info.Commands {
		t.Fatalf("%q: %d commands, the grammar says %d", sql, info.Commands, len(tree.Stmts))
	}
	if info.Malformed {
		t.Fatalf("%q: malformed, but the grammar takes it", sql)
	}
	if len(tree.Stmts) == 1 && stepwise(tree.Stmts[0].Stmt) && !info.InSteps {
		t.Fatalf("%q: not in steps, but the grammar says %T", sql, tree.Stmts[0].Stmt.Node)
	}
	if info.Class != stmtclass.Read {
		return
	}
	node := tree.Stmts[0].Stmt
	if node.GetVariableShowStmt() != nil {
		return
	}
	if node.GetSelectStmt() == nil {
		t.Fatalf("%q: Read, but the grammar says %T", sql, node.Node)
	}
	walk(node.ProtoReflect(), func(m protoreflect.Message) {
		switch n := m.Interface().(type) {
		case *pgquery.InsertStmt, *pgquery.UpdateStmt, *pgquery.DeleteStmt, *pgquery.MergeStmt, *pgquery.LockingClause, *pgquery.IntoClause:
			t.Fatalf("%q: Read, but it holds a %T", sql, n)
		case *pgquery.FuncCall:
			if !callable(n) {
				t.Fatalf("%q: Read, but it calls %v", sql, n.Funcname)
			}
		}
	})
}

// stepwise reports whether a command runs in several transactions.
func stepwise(n *pgquery.Node) bool {
	switch s := n.Node.(type) {
	case *pgquery.Node_VacuumStmt, *pgquery.Node_ReindexStmt, *pgquery.Node_ClusterStmt,
		*pgquery.Node_CreatedbStmt, *pgquery.Node_DropdbStmt, *pgquery.Node_CreateTableSpaceStmt, *pgquery.Node_DropTableSpaceStmt,
		*pgquery.Node_CreateSubscriptionStmt, *pgquery.Node_AlterSubscriptionStmt, *pgquery.Node_DropSubscriptionStmt:
		return true
	case *pgquery.Node_IndexStmt:
		return s.IndexStmt.Concurrent
	case *pgquery.Node_DropStmt:
		return s.DropStmt.Concurrent
	case *pgquery.Node_AlterTableStmt:
		for _, c := range s.AlterTableStmt.Cmds {
			if c.GetAlterTableCmd().GetDef().GetPartitionCmd().GetConcurrent() {
				return true
			}
		}
	}
	return false
}

// callable reports whether a call with this name alone is a Read.
func callable(n *pgquery.FuncCall) bool {
	var parts []string
	for _, p := range n.Funcname {
		parts = append(parts, `"`+strings.ReplaceAll(p.GetString_().GetSval(), `"`, `""`)+`"`)
	}
	return stmtclass.Classify("select "+strings.Join(parts, ".")+"(1)").Class == stmtclass.Read
}

// walk visits every message of a tree.
func walk(m protoreflect.Message, visit func(protoreflect.Message)) {
	visit(m)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				walk(v.List().Get(i).Message(), visit)
			}
		default:
			walk(v.Message(), visit)
		}
		return true
	})
}

// examples returns every string literal of this package's tests that looks
// like SQL, so that each example is held against the grammar too.
func examples(t testing.TB) []string {
	source, err := os.ReadFile("classify_test.go")
	require.NoError(t, err)
	var out []string
	for _, m := range regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`).FindAllStringSubmatch(string(source), -1) {
		out = append(out, strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n", `\t`, "\t").Replace(m[1]))
	}
	return out
}

func TestAgainstTheGrammar(t *testing.T) {
	list := examples(t)
	require.Greater(t, len(list), 150)
	for _, sql := range list {
		check(t, sql)
	}
}

// TestMutantsAgainstTheGrammar splices the examples into each other.
func TestMutantsAgainstTheGrammar(t *testing.T) {
	list := examples(t)
	reads := 0
	for i, a := range list {
		for j := i % 7; j < len(list); j += 7 {
			for _, sql := range []string{
				a + " " + list[j],
				"select * from (" + a + ") x, (" + list[j] + ") y",
				"with a as (" + a + "), b (c) as (" + list[j] + ") select * from a, b",
				"select " + strings.TrimPrefix(a, "select ") + ", " + strings.TrimPrefix(list[j], "select "),
			} {
				check(t, sql)
				if stmtclass.Classify(sql).Class == stmtclass.Read {
					reads++
				}
			}
		}
	}
	assert.Greater(t, reads, 100, "the mutants must reach the interesting branch")
}

func FuzzAgainstTheGrammar(f *testing.F) {
	for _, sql := range examples(f) {
		f.Add(sql)
	}
	f.Add("\x00")
	f.Add("--\x00")
	f.Fuzz(check)
}
