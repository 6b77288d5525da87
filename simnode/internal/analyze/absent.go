package analyze

import (
	"strings"

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

// unsupportedOperator is 0A000 for an operator that PostgreSQL has; nil for one that
// it lacks too.
func unsupportedOperator(name string, candidates []*builtin.Operator, inputs []types.OID, position int32) error {
	if len(candidates) == 0 && isPostgresOperator(name) {
		return sqlerr.Unsupported("operator " + name).At(position)
	}
	if len(inputs) != 2 || name != "+" && name != "-" {
		return nil
	}
	l, r := inputs[0], inputs[1]
	if name == "-" && l == types.Unknown && (r == types.Text || r == types.Varchar) {
		return sqlerr.Unsupported("type jsonb").At(position) // its "without this key"
	}
	if l == types.Timestamptz && (r == types.Timestamptz || r == types.Unknown) ||
		r == types.Timestamptz && l == types.Unknown {
		return sqlerr.Unsupported("type interval").At(position)
	}
	return nil
}

// isPostgresFunction reports whether PostgreSQL has a function of that name.
func isPostgresFunction(name string) bool {
	return name != "" && strings.Contains(postgresFunctions, " "+name+" ")
}

func isPostgresOperator(name string) bool {
	switch name {
	case "<<", ">>", "|/", "||/", "@", "~", "!~", "~*", "!~*", "&", "|", "#", "^", "^@", "~<~", "~<=~", "~>~",
		"~>=~", "@>", "<@", "&&", "&<", "&>", "-|-", "<->", "->", "->>", "#>", "#>>", "?", "?|", "?&", "@?", "@@",
		"@@@", "#-", "<<=", ">>=", "<<|", "|>>", "&<|", "|&>", "~=", "!!", "*=", "*<>", "*<", "*>", "*<=", "*>=":
		return true
	}
	return false
}
