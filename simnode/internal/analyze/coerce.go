package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// isPolymorphic reports whether a declared argument type takes values of any
// type as they are.
func isPolymorphic(t types.OID) bool {
	return t == types.Any || t == types.AnyElement || t == types.AnyNonArray
}

// canCoerce reports whether a value of one type may become another's in a context
// that allows casts of kind least or freer. An Unknown literal may become
// anything.
func canCoerce(from, to types.OID, least types.Coercion) bool {
	if from == to || from == types.Unknown || isPolymorphic(to) {
		return true
	}
	return types.CastKind(from, to) >= least
}

// coerce converts e to type to, or fails with what the caller says. The modifier
// is not applied; see coerceTypMod.
func (a *analyzer) coerce(e Expr, to types.OID, least types.Coercion, position int32) (Expr, error) {
	from := e.Type()
	if from == to || to == types.Any && from != types.Unknown {
		return e, nil
	}
	if from == types.Unknown {
		return a.settleUnknown(e, to, position)
	}
	if !canCoerce(from, to, least) {
		return nil, sqlerr.New("42846", "cannot cast type %s to %s", nameOf(from), nameOf(to)).At(position)
	}
	return &Cast{To: to, TypMod: types.NoTypmod, Arg: e, Explicit: least == types.Explicit}, nil
}

// settleUnknown gives a literal or parameter of unknown type the type to.
func (a *analyzer) settleUnknown(e Expr, to types.OID, position int32) (Expr, error) {
	switch e := e.(type) {
	case *Param:
		if to == types.Any {
			return e, nil
		}
		return a.settle(e, to, position)
	case *Const:
		if to == types.Any {
			to = types.Text
		}
		if e.Value == nil {
			return &Const{T: to}, nil
		}
		v, err := types.ParseTextIn(to, types.NoTypmod, e.Value.(string), a.Values)
		if err != nil {
			return nil, at(err, position)
		}
		if c, ok := v.(types.Regclass); ok && c.OID >= catalog.FirstUserOID {
			a.classes = append(a.classes, c.OID)
		}
		return &Const{T: to, Value: v}, nil
	default:
		return &Cast{To: to, TypMod: types.NoTypmod, Arg: e}, nil
	}
}

// coerceTypMod makes e's values obey a type modifier.
func coerceTypMod(e Expr, typmod int32, explicit bool) Expr {
	if typmod < 0 || typmodOf(e) == typmod {
		return e
	}
	if c, ok := e.(*Cast); ok && c.TypMod < 0 && c.Explicit == explicit {
		return &Cast{To: c.To, TypMod: typmod, Arg: c.Arg, Explicit: explicit}
	}
	return &Cast{To: e.Type(), TypMod: typmod, Arg: e, Explicit: explicit}
}

// boolean coerces the argument of a clause or construct such as WHERE.
func (a *analyzer) boolean(e Expr, construct string, where ast.Expr) (Expr, error) {
	return a.specific(e, types.Bool, construct, where)
}

// specific coerces to the one type that a construct takes.
func (a *analyzer) specific(e Expr, to types.OID, construct string, where ast.Expr) (Expr, error) {
	position := ast.Locate(where)
	if !canCoerce(e.Type(), to, types.Assignment) {
		return nil, sqlerr.New("42804", "argument of %s must be type %s, not type %s",
			construct, nameOf(to), nameOf(e.Type())).At(position)
	}
	return a.coerce(e, to, types.Assignment, position)
}

// assign coerces e for storage in a column.
func (a *analyzer) assign(e Expr, to types.OID, typmod int32, column string, where ast.Expr) (Expr, error) {
	position := ast.Locate(where)
	if !canCoerce(e.Type(), to, types.Assignment) {
		return nil, sqlerr.New("42804", "column \"%s\" is of type %s but expression is of type %s",
			column, nameOf(to), nameOf(e.Type())).
			WithHint("You will need to rewrite or cast the expression.").At(position)
	}
	out, err := a.coerce(e, to, types.Assignment, position)
	if err != nil {
		return nil, err
	}
	return coerceTypMod(out, typmod, false), nil
}

// commonType picks the type of a construct with several inputs (manual 10.5).
func commonType(construct string, es []Expr, where []ast.Expr) (types.OID, error) {
	picked := es[0].Type()
	same := true
	for _, e := range es[1:] {
		same = same && e.Type() == picked
	}
	if same && picked != types.Unknown {
		return picked, nil
	}
	best, _ := types.Lookup(picked)
	for i, e := range es[1:] {
		t := e.Type()
		if t == types.Unknown || t == best.OID {
			continue
		}
		next, _ := types.Lookup(t)
		switch {
		case best.OID == types.Unknown:
			best = next
		case next.Category != best.Category:
			return 0, sqlerr.New("42804", "%s types %s and %s cannot be matched",
				construct, nameOf(best.OID), nameOf(t)).At(ast.Locate(where[i+1]))
		case !best.Preferred && canCoerce(best.OID, t, types.Implicit) && !canCoerce(t, best.OID, types.Implicit):
			best = next
		}
	}
	if best.OID == types.Unknown {
		return types.Text, nil
	}
	return best.OID, nil
}

// common coerces several inputs of a construct to one type.
func (a *analyzer) common(construct string, es []Expr, where []ast.Expr) (types.OID, []Expr, error) {
	t, err := commonType(construct, es, where)
	if err != nil {
		return 0, nil, err
	}
	out := make([]Expr, len(es))
	for i, e := range es {
		if out[i], err = a.toCommon(construct, e, t, where[i]); err != nil {
			return 0, nil, err
		}
	}
	return t, out, nil
}

func (a *analyzer) toCommon(construct string, e Expr, t types.OID, where ast.Expr) (Expr, error) {
	position := ast.Locate(where)
	if !canCoerce(e.Type(), t, types.Implicit) {
		return nil, sqlerr.New("42846", "%s could not convert type %s to %s",
			construct, nameOf(e.Type()), nameOf(t)).At(position)
	}
	return a.coerce(e, t, types.Implicit, position)
}

// typeName resolves a type as written.
func (a *analyzer) typeName(n ast.TypeName) (types.OID, int32, error) {
	oid, ok := types.ByName(n.Name)
	name := n.Name
	if n.Schema != "" {
		if err := catalog.CheckSchema(a.Catalog, n.Schema); err != nil {
			return 0, 0, at(err, n.Position())
		}
		// Only the grammar knows other spellings, and it has resolved them.
		info, _ := types.Lookup(oid)
		ok, name = ok && info.Name == n.Name && n.Schema == catalog.SchemaCatalog, n.Schema+"."+n.Name
	}
	if !ok || oid == types.Unknown && n.Schema == "" && n.Name != "unknown" {
		if isPostgresType(n.Name) && (n.Schema == "" || n.Schema == catalog.SchemaCatalog) {
			return 0, 0, sqlerr.Unsupported("type " + n.Name).At(n.Position())
		}
		return 0, 0, sqlerr.New("42704", "type \"%s\" does not exist", name).At(n.Position())
	}
	typmod, err := typmodFor(oid, n)
	return oid, typmod, err
}

func typmodFor(oid types.OID, n ast.TypeName) (int32, error) {
	if len(n.Mods) == 0 {
		return types.NoTypmod, nil
	}
	switch {
	case oid == types.Varchar && len(n.Mods) == 1:
		m, err := types.VarcharTypmod(n.Mods[0])
		return m, at(err, n.Position())
	case oid == types.Numeric && len(n.Mods) <= 2:
		scale := int32(0)
		if len(n.Mods) == 2 {
			scale = n.Mods[1]
		}
		m, err := types.NumericTypmod(n.Mods[0], scale)
		return m, at(err, n.Position())
	case oid == types.Numeric:
		return 0, sqlerr.New("22023", "invalid NUMERIC type modifier").At(n.Position())
	case oid == types.Timestamptz && len(n.Mods) == 1:
		return timePrecision(n.Mods[0], n.Position())
	default:
		return 0, sqlerr.New("42601", "type modifier is not allowed for type \"%s\"", n.Name).At(n.Position())
	}
}

// maxTimePrecision is PostgreSQL's: microseconds.
const maxTimePrecision = 6

func timePrecision(n, position int32) (int32, error) {
	if n < 0 {
		return 0, sqlerr.New("22023", "TIMESTAMP(%d) WITH TIME ZONE precision must not be negative", n).At(position)
	}
	if n > maxTimePrecision {
		return 0, sqlerr.Unsupported("a precision of more than 6 digits of a second").At(position)
	}
	return n, nil
}

// isPostgresType knows the names of PostgreSQL's own types that the cluster does
// not have, so that they are called unsupported and not unknown.
func isPostgresType(name string) bool {
	switch name {
	case "bit", "varbit", "bpchar", "char", "float4", "money", "interval", "time", "timetz", "timestamp",
		"json", "jsonb", "jsonpath", "xml", "inet", "cidr", "macaddr", "macaddr8", "point", "line", "lseg",
		"box", "path", "polygon", "circle", "tsvector", "tsquery", "hstore", "xid", "xid8", "cid", "tid",
		"regclass", "regtype", "regproc", "regprocedure", "regoper", "regoperator", "regnamespace", "regrole",
		"regconfig", "regdictionary", "pg_lsn", "txid_snapshot", "pg_snapshot", "int4range", "int8range",
		"numrange", "tsrange", "tstzrange", "daterange", "int2vector", "oidvector", "pg_node_tree", "record", "cstring",
		"anyelement", "anyarray", "trigger", "refcursor", "int4multirange", "int8multirange",
		"nummultirange", "tsmultirange", "tstzmultirange", "datemultirange":
		return true
	}
	return false
}
