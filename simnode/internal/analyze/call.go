package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// call resolves a function or aggregate call, or a cast in function notation.
func (s *scope) call(e *ast.Func) (Expr, error) {
	if e.Schema != "" && e.Schema != catalog.SchemaCatalog {
		return nil, s.noFunction(e, nil)
	}
	if e.Star {
		return s.countStar(e)
	}
	outer, inside := s.aggregate, s.isAggregate(e)
	s.aggregate = outer || inside
	args, err := s.exprs(e.Args)
	s.aggregate = outer
	if err != nil {
		return nil, err
	}
	inputs := make([]types.OID, len(args))
	for i, x := range args {
		inputs[i] = x.Type()
	}
	c, ok, err := resolveCall(e.Name, inputs, e.Position())
	if err != nil {
		return nil, err
	}
	if !ok || len(inputs) == 1 && !equalTypes(c.args, inputs) {
		if to, is := types.ByName(e.Name); is && len(args) == 1 && canCoerce(inputs[0], to, types.Explicit) {
			return s.coerce(args[0], to, types.Explicit, ast.Locate(e.Args[0]))
		}
	}
	if ok && prefersText(e.Name, inputs, c.args) {
		return nil, sqlerr.Unsupported("function " + callText(e.Name, inputs)).At(e.Position())
	}
	if !ok {
		return nil, s.noFunction(e, inputs)
	}
	for i := range args {
		if args[i], err = s.argument(args[i], c.args[i], e.Args[i]); err != nil {
			return nil, err
		}
	}
	if c.agg != nil {
		return s.addAggregate(e, c.agg, args[0])
	}
	if c.fn.SetReturning {
		return nil, sqlerr.Unsupported("a set-returning function outside FROM")
	}
	return &Func{T: c.fn.Result, Fn: c.fn, Args: args}, nil
}

// isAggregate reports whether the call can only be an aggregate's, so that the
// columns in its arguments count as aggregated.
func (s *scope) isAggregate(e *ast.Func) bool {
	return len(builtin.Aggregates(e.Name)) > 0 && len(builtin.Functions(e.Name)) == 0
}

func (s *scope) countStar(e *ast.Func) (Expr, error) {
	for _, g := range builtin.Aggregates(e.Name) {
		if g.Arg == 0 {
			return s.addAggregate(e, g, nil)
		}
	}
	if len(builtin.Aggregates(e.Name)) > 0 {
		return nil, sqlerr.New("42883", "function %s() does not exist", e.Name).
			WithHint("No function matches the given name and argument types. You might need to add explicit type casts.").
			At(e.Position())
	}
	if len(builtin.Functions(e.Name)) > 0 {
		return nil, sqlerr.New("42809", "%s(*) specified, but %s is not an aggregate function", e.Name, e.Name).At(e.Position())
	}
	return nil, s.noFunction(e, nil)
}

func (s *scope) addAggregate(e *ast.Func, g *builtin.Aggregate, arg Expr) (Expr, error) {
	if s.aggregate {
		return nil, sqlerr.New("42803", "aggregate function calls cannot be nested").At(e.Position())
	}
	if s.query == nil {
		return nil, sqlerr.New("42803", "aggregate functions are not allowed in %s", s.clause).At(e.Position())
	}
	s.query.Grouped = true
	s.query.Aggregates = append(s.query.Aggregates, Aggregate{Agg: g, Arg: arg})
	return &AggRef{T: g.Result, Index: len(s.query.Aggregates) - 1}, nil
}

func (s *scope) noFunction(e *ast.Func, inputs []types.OID) error {
	if e.Schema != "" {
		if err := catalog.CheckSchema(s.Catalog, e.Schema); err != nil {
			return at(err, e.Position())
		}
	}
	if inputs == nil {
		args, err := s.exprs(e.Args)
		if err != nil {
			return err
		}
		for _, x := range args {
			inputs = append(inputs, x.Type())
		}
	}
	if e.Schema == "" || e.Schema == catalog.SchemaCatalog {
		if err := unsupportedFunction(e.Name, inputs, e.Position()); err != nil {
			return err
		}
		if len(inputs) == 1 && isPostgresType(e.Name) { // a cast written as a call
			return sqlerr.Unsupported("type " + e.Name).At(e.Position())
		}
	}
	name := e.Name
	if e.Schema != "" {
		name = e.Schema + "." + name
	}
	return sqlerr.New("42883", "function %s does not exist", callText(name, inputs)).
		WithHint("No function matches the given name and argument types. You might need to add explicit type casts.").
		At(e.Position())
}

// fromFunction resolves a function in FROM, which may return many rows.
func (s *scope) fromFunction(e *ast.Func) (*Func, error) {
	args, err := s.exprs(e.Args)
	if err != nil {
		return nil, err
	}
	inputs := make([]types.OID, len(args))
	for i, x := range args {
		inputs[i] = x.Type()
	}
	if e.Schema != "" && e.Schema != "pg_catalog" {
		return nil, s.noFunction(e, inputs)
	}
	c, ok, err := resolveCall(e.Name, inputs, e.Position())
	if err != nil {
		return nil, err
	}
	if ok && prefersText(e.Name, inputs, c.args) {
		return nil, sqlerr.Unsupported("function " + callText(e.Name, inputs)).At(e.Position())
	}
	if !ok {
		return nil, s.noFunction(e, inputs)
	}
	if c.agg != nil {
		return nil, sqlerr.New("42803", "aggregate functions are not allowed in functions in FROM").At(e.Position())
	}
	for i := range args {
		if args[i], err = s.argument(args[i], c.args[i], e.Args[i]); err != nil {
			return nil, err
		}
	}
	return &Func{T: c.fn.Result, Fn: c.fn, Args: args}, nil
}
