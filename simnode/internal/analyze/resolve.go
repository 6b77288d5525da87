package analyze

import (
	"slices"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// choose picks among overloaded candidates by the rules of the PostgreSQL manual
// 10.2 step 3 and 10.3 step 4. signature gives the argument types of a candidate,
// as many as inputs. It returns the candidates that are left: one, none (nothing
// fits) or several (ambiguous).
func choose[C any](candidates []C, signature func(C) []types.OID, inputs []types.OID) []C {
	left := keep(candidates, func(c C) bool {
		for i, t := range signature(c) {
			if !canCoerce(inputs[i], t, types.Implicit) {
				return false
			}
		}
		return true
	})
	if len(left) <= 1 {
		return left
	}
	// Most exact matches.
	left = best(left, func(c C) int { return exactMatches(signature(c), inputs) })
	if len(left) == 1 {
		return left
	}
	// Most preferred types where a conversion is needed.
	left = best(left, func(c C) int { return preferredMatches(signature(c), inputs) })
	if len(left) == 1 {
		return left
	}
	return chooseUnknown(left, signature, inputs)
}

func exactMatches(sig, inputs []types.OID) int {
	n := 0
	for i, t := range sig {
		if inputs[i] != types.Unknown && t == inputs[i] {
			n++
		}
	}
	return n
}

func preferredMatches(sig, inputs []types.OID) int {
	n := 0
	for i, t := range sig {
		if inputs[i] == types.Unknown {
			continue
		}
		in, _ := types.Lookup(inputs[i])
		have, _ := types.Lookup(t)
		if t == inputs[i] || have.Preferred && have.Category == in.Category {
			n++
		}
	}
	return n
}

// chooseUnknown decides by the categories that candidates accept where the input
// is an unknown literal.
func chooseUnknown[C any](left []C, signature func(C) []types.OID, inputs []types.OID) []C {
	hasUnknown := false
	for _, t := range inputs {
		hasUnknown = hasUnknown || t == types.Unknown
	}
	if !hasUnknown {
		return left
	}
	if narrowed, ok := byCategory(left, signature, inputs); ok {
		left = narrowed
		if len(left) == 1 {
			return left
		}
	}
	return assumeSame(left, signature, inputs)
}

// byCategory is the rule of the string category. ok is false if a position stays
// without a category.
func byCategory[C any](left []C, signature func(C) []types.OID, inputs []types.OID) (out []C, ok bool) {
	wanted := make([]types.Category, len(inputs))
	preferred := make([]bool, len(inputs))
	for i, in := range inputs {
		if in != types.Unknown {
			continue
		}
		clash := false
		for _, c := range left {
			info, _ := types.Lookup(signature(c)[i])
			switch {
			case wanted[i] == 0:
				wanted[i], preferred[i] = info.Category, info.Preferred
			case info.Category == wanted[i]:
				preferred[i] = preferred[i] || info.Preferred
			case info.Category == types.CategoryString:
				wanted[i], preferred[i] = info.Category, info.Preferred
			default:
				clash = true
			}
		}
		if clash && wanted[i] != types.CategoryString {
			return nil, false
		}
	}
	out = keep(left, func(c C) bool {
		for i, t := range signature(c) {
			info, _ := types.Lookup(t)
			if inputs[i] != types.Unknown {
				continue
			}
			if info.Category != wanted[i] || preferred[i] && !info.Preferred {
				return false
			}
		}
		return true
	})
	return out, len(out) > 0
}

// assumeSame takes unknown inputs to be of the one type that all others have.
func assumeSame[C any](left []C, signature func(C) []types.OID, inputs []types.OID) []C {
	known := types.Unknown
	for _, t := range inputs {
		if t == types.Unknown {
			continue
		}
		if known != types.Unknown && known != t {
			return left
		}
		known = t
	}
	if known == types.Unknown {
		return left
	}
	fits := keep(left, func(c C) bool {
		for _, t := range signature(c) {
			if !canCoerce(known, t, types.Implicit) {
				return false
			}
		}
		return true
	})
	if len(fits) == 1 {
		return fits
	}
	return left
}

func keep[C any](cs []C, ok func(C) bool) []C {
	var out []C
	for _, c := range cs {
		if ok(c) {
			out = append(out, c)
		}
	}
	return out
}

// best keeps the candidates with the highest score.
func best[C any](cs []C, score func(C) int) []C {
	top := -1
	var out []C
	for _, c := range cs {
		switch n := score(c); {
		case n > top:
			top, out = n, append(out[:0:0], c)
		case n == top:
			out = append(out, c)
		}
	}
	return out
}

func operatorSignature(o *builtin.Operator) []types.OID {
	if o.Left == 0 {
		return []types.OID{o.Right}
	}
	return []types.OID{o.Left, o.Right}
}

// operator picks the operator for the operand types; left is 0 for a prefix one.
func operator(name string, left, right types.OID, position int32) (*builtin.Operator, error) {
	prefix := left == 0
	candidates := keep(builtin.Operators(name), func(o *builtin.Operator) bool { return (o.Left == 0) == prefix })
	inputs := []types.OID{left, right}
	if prefix {
		inputs = inputs[1:]
	}
	if slices.Contains(inputs, types.Int2Vector) {
		// It is an array, and there are none here.
		return nil, sqlerr.Unsupported("operator " + name + " of type int2vector").At(position)
	}
	if o := exactOperator(candidates, inputs); o != nil {
		return o, nil
	}
	fits := choose(candidates, operatorSignature, inputs)
	switch {
	case len(fits) == 1 && !intervalToo(name, inputs):
		return fits[0], nil
	case len(fits) == 0:
		if err := unsupportedOperator(name, candidates, inputs, position); err != nil {
			return nil, err
		}
		err := sqlerr.New("42883", "operator does not exist: %s", operatorText(name, inputs))
		if prefix {
			return nil, err.WithHint("No operator matches the given name and argument type. You might need to add an explicit type cast.").At(position)
		}
		return nil, err.WithHint("No operator matches the given name and argument types. You might need to add explicit type casts.").At(position)
	default:
		return nil, sqlerr.New("42725", "operator is not unique: %s", operatorText(name, inputs)).
			WithHint("Could not choose a best candidate operator. You might need to add explicit type casts.").At(position)
	}
}

// exactOperator finds an operator of exactly the input types, taking an unknown
// side to be of the other side's type.
func exactOperator(candidates []*builtin.Operator, inputs []types.OID) *builtin.Operator {
	want := append([]types.OID(nil), inputs...)
	if len(want) == 2 {
		if want[0] == types.Unknown {
			want[0] = want[1]
		} else if want[1] == types.Unknown {
			want[1] = want[0]
		}
	}
	for _, o := range candidates {
		if o.Right == want[len(want)-1] && (len(want) == 1 || o.Left == want[0]) {
			return o
		}
	}
	return nil
}

func operatorText(name string, inputs []types.OID) string {
	if len(inputs) == 1 {
		return name + " " + nameOf(inputs[0])
	}
	return nameOf(inputs[0]) + " " + name + " " + nameOf(inputs[1])
}

// expand gives the argument types of a function for n arguments, repeating the
// last one of a variadic function. nil if it can't take that many.
func expand(args []types.OID, variadic bool, n int) []types.OID {
	if !variadic {
		if len(args) != n {
			return nil
		}
		return args
	}
	if n < len(args) {
		return nil
	}
	out := append([]types.OID(nil), args...)
	for len(out) < n {
		out = append(out, args[len(args)-1])
	}
	return out
}

// callee is a function or an aggregate among the candidates of a call.
type callee struct {
	fn   *builtin.Function
	agg  *builtin.Aggregate
	args []types.OID
}

// callees gives everything of that name that takes n arguments. exists reports
// whether anything has the name at all.
func callees(name string, n int) []callee {
	var out []callee
	for _, f := range builtin.Functions(name) {
		if args := expand(f.Args, f.Variadic, n); args != nil || n == 0 && len(f.Args) == 0 {
			out = append(out, callee{fn: f, args: args})
		}
	}
	for _, g := range builtin.Aggregates(name) {
		if n == 1 && g.Arg != 0 {
			out = append(out, callee{agg: g, args: []types.OID{g.Arg}})
		}
	}
	return out
}

// resolveCall picks the function or aggregate for the argument types. ok is false
// if nothing fits, with err for an ambiguity.
func resolveCall(name string, inputs []types.OID, position int32) (c callee, ok bool, err error) {
	candidates := callees(name, len(inputs))
	for _, c := range candidates {
		if equalTypes(c.args, inputs) {
			return c, true, nil
		}
	}
	left := choose(candidates, func(c callee) []types.OID { return c.args }, inputs)
	switch {
	case len(left) == 0:
		return callee{}, false, nil
	case len(left) == 1 && !intervalToo(name, inputs):
		return left[0], true, nil
	default:
		return callee{}, false, sqlerr.New("42725", "function %s is not unique", callText(name, inputs)).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts.").At(position)
	}
}

func equalTypes(a, b []types.OID) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func callText(name string, inputs []types.OID) string {
	parts := make([]string, len(inputs))
	for i, t := range inputs {
		parts[i] = nameOf(t)
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}
