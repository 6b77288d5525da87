package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Arguments analyses the arguments of EXECUTE, which must be assignable to the
// wanted types. slots is how many held values their evaluation needs. args and want
// have the same length.
func Arguments(c Context, args []ast.Expr, want []types.OID) (out []Expr, slots int, err error) {
	a := &analyzer{Context: c}
	s := &scope{analyzer: a, clause: "EXECUTE parameters"}
	for i, arg := range args {
		e, err := s.expr(arg)
		if err != nil {
			return nil, 0, err
		}
		if !canCoerce(e.Type(), want[i], types.Assignment) {
			return nil, 0, sqlerr.New("42804", "parameter $%d of type %s cannot be coerced to the expected type %s",
				i+1, nameOf(e.Type()), nameOf(want[i])).
				WithHint("You will need to rewrite or cast the expression.").At(ast.Locate(arg))
		}
		if e, err = a.coerce(e, want[i], types.Assignment, ast.Locate(arg)); err != nil {
			return nil, 0, err
		}
		out = append(out, e)
	}
	return out, a.slots, nil
}

// TypeOIDs resolves type names as written. Errors are *sqlerr.Error.
func TypeOIDs(r catalog.Reader, names []ast.TypeName) ([]types.OID, error) {
	a := &analyzer{Context: Context{Catalog: r}}
	var out []types.OID
	for _, n := range names {
		oid, _, err := a.typeName(n)
		if err != nil {
			return nil, err
		}
		out = append(out, oid)
	}
	return out, nil
}
