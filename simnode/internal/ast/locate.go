package ast

// Locate gives where an expression begins, as error messages about its type
// point there: the leftmost place in it. Position is the operator's own place.
func Locate(e Expr) int32 {
	switch e := e.(type) {
	case nil:
		return 0
	case *Op:
		return leftmost(e.Position(), e.Left, e.Right)
	case *Logic:
		return leftmost(e.Position(), e.Args...)
	case *Not:
		return leftmost(e.Position(), e.Arg)
	case *IsNull:
		return leftmost(e.Position(), e.Arg)
	case *IsBool:
		return leftmost(e.Position(), e.Arg)
	case *In:
		return leftmost(e.Position(), e.Arg)
	case *Between:
		return leftmost(e.Position(), e.Arg)
	case *Distinct:
		return leftmost(e.Position(), e.Left, e.Right)
	case *NullIf:
		return leftmost(e.Position(), e.Left, e.Right)
	case *Func:
		return leftmost(e.Position(), e.Args...)
	case *Cast:
		return smaller(smaller(e.Position(), Locate(e.Arg)), e.Type.Position())
	default:
		return e.Position()
	}
}

func leftmost(at int32, es ...Expr) int32 {
	for _, e := range es {
		if e != nil {
			at = smaller(at, Locate(e))
		}
	}
	return at
}

// smaller ignores unknown places.
func smaller(a, b int32) int32 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
