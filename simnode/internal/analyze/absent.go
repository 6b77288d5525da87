package analyze

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// This file is about what PostgreSQL has and the cluster does not: where it would
// change the choice among overloads, and where "unsupported" is the honest answer
// instead of "does not exist".

// intervalToo reports whether PostgreSQL would find a call with unknown literals
// only ambiguous, because of its operators and aggregates on interval and other
// types that are not numbers.
func intervalToo(name string, inputs []types.OID) bool {
	known := types.Unknown
	for _, t := range inputs {
		if t != types.Unknown {
			known = t
		}
	}
	if known != types.Unknown {
		return name == "+" && known == types.DateOID && (inputs[0] == types.Unknown || inputs[1] == types.Unknown)
	}
	switch name {
	case "+":
		return len(inputs) == 2
	case "-", "sum", "avg":
		return true
	case "*", "/":
		return len(inputs) == 2
	}
	return false
}

// unsupportedOperator is 0A000 for an operator that PostgreSQL has for these
// operands; nil for one that it lacks too.
func unsupportedOperator(name string, candidates []*builtin.Operator, inputs []types.OID, position int32) error {
	if !postgresOperators().accepts(name, inputs) {
		return nil
	}
	if len(candidates) == 0 {
		return sqlerr.Unsupported("operator " + name).At(position)
	}
	if len(inputs) == 2 && (name == "+" || name == "-") {
		if err := unsupportedOperand(name, inputs[0], inputs[1], position); err != nil {
			return err
		}
	}
	return sqlerr.Unsupported("operator " + operatorText(name, inputs)).At(position)
}

// unsupportedFunction is the same for a call of a function or an aggregate.
func unsupportedFunction(name string, inputs []types.OID, position int32) error {
	switch {
	case !postgresFunctions().accepts(name, inputs):
		return nil
	case builtin.Functions(name) == nil && builtin.Aggregates(name) == nil:
		return sqlerr.Unsupported("function " + name).At(position)
	default:
		return sqlerr.Unsupported("function " + callText(name, inputs)).At(position)
	}
}

// unsupportedOperand names the type that + or - would need.
func unsupportedOperand(name string, l, r types.OID, position int32) error {
	if name == "-" && l == types.Unknown && (r == types.Text || r == types.Varchar) {
		return sqlerr.Unsupported("type jsonb").At(position) // its "without this key"
	}
	if l == types.Timestamptz && (r == types.Timestamptz || r == types.Unknown) ||
		r == types.Timestamptz && l == types.Unknown {
		return sqlerr.Unsupported("type interval").At(position)
	}
	return nil
}

// signatureTable has, for each name, the signatures of PostgreSQL 15 between bars,
// each a list of type OIDs; a star repeats the type before it. As generated, a line
// is a name, a space, and that.
type signatureTable map[string]string

var (
	postgresFunctions = sync.OnceValue(func() signatureTable { return signaturesByName(postgresFunctionSignatures) })
	postgresOperators = sync.OnceValue(func() signatureTable { return signaturesByName(postgresOperatorSignatures) })
)

func signaturesByName(lines string) signatureTable {
	table := signatureTable{}
	for line := range strings.Lines(lines) {
		if name, signatures, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
			table[name] = signatures
		}
	}
	return table
}

// accepts reports whether PostgreSQL has a function or operator of that name which
// takes the input types as they are or by implicit casts.
func (t signatureTable) accepts(name string, inputs []types.OID) bool {
	signatures, found := t[name]
	if !found {
		return false
	}
	for signature := range strings.SplitSeq(signatures, "|") {
		if signatureFits(signature, inputs) {
			return true
		}
	}
	return false
}

// prefersText reports whether PostgreSQL would choose, for an untyped literal, a
// function of that name that takes text where the chosen one doesn't: a signature
// that the cluster may lack (rule 4.e of "Function Type Resolution").
func prefersText(name string, inputs, chosen []types.OID) bool {
	for i, in := range inputs {
		if in != types.Unknown || i >= len(chosen) {
			continue
		}
		switch chosen[i] {
		case types.Text, types.Varchar, types.Name, types.Any, types.AnyElement, types.AnyNonArray:
			continue
		case types.RegclassOID:
			continue // takes a text too, by an implicit cast
		}
		asText := slices.Clone(inputs)
		asText[i] = types.Text
		if postgresFunctions().accepts(name, asText) {
			return true
		}
	}
	return false
}

func signatureFits(signature string, inputs []types.OID) bool {
	repeated := strings.HasSuffix(signature, "*")
	params := strings.FieldsFunc(strings.TrimSuffix(signature, "*"), func(r rune) bool { return r == ',' })
	if repeated {
		for len(params) < len(inputs) {
			params = append(params, params[len(params)-1])
		}
	}
	if len(params) != len(inputs) {
		return false
	}
	for i, in := range inputs {
		if in != types.Unknown && !takesPolymorphic(params[i], in) &&
			!strings.Contains(postgresImplicitCasts, " "+strconv.FormatUint(uint64(in), 10)+">"+params[i]+" ") {
			return false
		}
	}
	return true
}

// takesPolymorphic reports whether a parameter of a polymorphic type takes a type
// of the cluster, whose only array is int2vector.
func takesPolymorphic(param string, in types.OID) bool {
	switch param {
	case "2283", "2276", "5077": // anyelement, any, anycompatible
		return true
	case "2776", "5079": // anynonarray, anycompatiblenonarray
		return in != types.Int2Vector
	case "2277", "5078": // anyarray, anycompatiblearray
		return in == types.Int2Vector
	default:
		return false
	}
}
