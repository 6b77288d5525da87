package analyze

import (
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// maxParams is the greatest number of parameters that the protocol can carry.
const maxParams = 65535

// Context is what the meaning of a statement depends on.
type Context struct {
	Catalog catalog.Reader
	// Path is where relations without a schema are looked for.
	Path catalog.Path
	// Values says how literals are read: the session's time zone and the time of
	// the transaction.
	Values types.Env
	// Parse reads the stored text of column defaults.
	Parse func(sql string) ([]ast.Statement, error)
}

// Analyze gives a statement its meaning. params are the types that the client
// declared for its parameters; zero or Unknown, or a shorter list, leaves a type
// to be worked out. Errors are *sqlerr.Error. The result is not shared with
// anyone; stmt is only read.
func Analyze(c Context, stmt ast.Statement, params []types.OID) (*Statement, error) {
	a := &analyzer{Context: c}
	used := stmt.Params
	if !takesParams(stmt.Kind) {
		params, used = nil, 0
	}
	if err := a.declare(params, used); err != nil {
		return nil, err
	}
	command, err := a.command(stmt.Node)
	if err != nil {
		return nil, err
	}
	if err := a.checkParams(); err != nil {
		return nil, err
	}
	return &Statement{Command: command, Params: a.params, Tables: a.tables, Classes: a.classes, Slots: a.slots}, nil
}

// analyzer holds what belongs to the statement as a whole.
type analyzer struct {
	Context
	params []types.OID // Unknown until settled
	tables []*catalog.Table
	// classes are the OIDs of regclass constants.
	classes []uint32
	slots   int
	// open are the uses of parameters that nothing has given a type to, with their
	// places.
	open map[*Param]int32
}

// takesParams is false for DDL, where a parameter is 42P02.
func takesParams(k ast.Kind) bool {
	switch k {
	case ast.KindSelect, ast.KindInsert, ast.KindUpdate, ast.KindDelete:
		return true
	default:
		return false
	}
}

func (a *analyzer) declare(params []types.OID, used int) error {
	if used > maxParams {
		return sqlerr.New("42P02", "there is no parameter $%d", used)
	}
	a.params = make([]types.OID, max(len(params), used))
	for i := range a.params {
		a.params[i] = types.Unknown
		if i >= len(params) || params[i] == 0 {
			continue
		}
		if _, ok := types.Lookup(params[i]); !ok {
			return sqlerr.Unsupported("a parameter of the type with OID " + uintText(params[i]))
		}
		a.params[i] = params[i]
	}
	return nil
}

// checkParams fails if a parameter, or one use of it, has no type in the end.
func (a *analyzer) checkParams() error {
	first := int32(0)
	number := 0
	for p, position := range a.open {
		if a.params[p.N-1] != types.Unknown && (number == 0 || position < first) {
			first, number = position, p.N
		}
	}
	if number > 0 {
		return sqlerr.New("42P08", "could not determine data type of parameter $%d", number).At(first)
	}
	for i, t := range a.params {
		if t == types.Unknown {
			return sqlerr.New("42P18", "could not determine data type of parameter $%d", i+1)
		}
	}
	return nil
}

func (a *analyzer) command(n ast.Node) (Command, error) {
	switch n := n.(type) {
	case *ast.Select:
		return a.selectStmt(n)
	case *ast.Insert:
		return a.insert(n)
	case *ast.Update:
		return a.update(n)
	case *ast.Delete:
		return a.deleteStmt(n)
	case *ast.CreateTable:
		return a.createTable(n)
	case *ast.DropTable:
		return &DropTable{n}, nil
	case *ast.Truncate:
		return a.truncate(n)
	case *ast.CreateSchema:
		return &CreateSchema{n}, nil
	case *ast.DropSchema:
		return &DropSchema{n}, nil
	case *ast.Unsupported:
		return nil, n.Err
	default:
		return nil, sqlerr.New("XX000", "the executor was given a statement of the session")
	}
}

// table looks a table up and notes that the statement depends on it.
func (a *analyzer) table(n ast.TableName) (*catalog.Table, error) {
	t, err := catalog.FindTable(a.Catalog, a.Path, n.Schema, n.Name)
	if err != nil {
		return nil, at(err, n.Position())
	}
	if t.System() || slices.Contains(a.tables, t) {
		return t, nil
	}
	a.tables = append(a.tables, t)
	return t, nil
}

// target is table for a statement that writes.
func (a *analyzer) target(n ast.TableName) (*catalog.Table, error) {
	t, err := a.table(n)
	if err == nil && t.System() {
		return nil, sqlerr.New("42501", "permission denied for %v %s", t.Kind(), t.Name)
	}
	return t, err
}

// slot reserves a held value.
func (a *analyzer) slot() int {
	a.slots++
	return a.slots - 1
}

// at adds a position to an error that has none.
func at(err error, position int32) error {
	if e, ok := err.(*sqlerr.Error); ok && e.Position == 0 { //nolint:errorlint // made by us a moment ago
		copied := *e
		copied.Position = position
		return &copied
	}
	return err
}

func nameOf(t types.OID) string { return types.FormatType(t, types.NoTypmod) }
