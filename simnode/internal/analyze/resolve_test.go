package analyze

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Each case is one rule of the manual's 10.2 and 10.3, over made-up candidates.
func TestChooseAmongCandidates(t *testing.T) {
	const unknown = types.Unknown
	type sig = []types.OID
	for _, c := range []struct {
		rule       string
		candidates []sig
		inputs     sig
		want       []sig
	}{
		{"no candidate takes the input", []sig{{types.Int4}}, sig{types.Text}, nil},
		{"the only one that an implicit cast reaches", []sig{{types.Int2}, {types.Int8}}, sig{types.Int4}, []sig{{types.Int8}}},
		{"assignment casts don't count", []sig{{types.Int4}}, sig{types.Int8}, nil},
		{
			"most exact matches",
			[]sig{{types.Int8, types.Float8}, {types.Float8, types.Float8}},
			sig{types.Int8, types.Int4},
			[]sig{{types.Int8, types.Float8}},
		},
		{"the preferred type of the category", []sig{{types.Numeric}, {types.Float8}}, sig{types.Int4}, []sig{{types.Float8}}},
		{"a string category for an unknown", []sig{{types.Int4}, {types.Text}}, sig{unknown}, []sig{{types.Text}}},
		{"the one category of an unknown, its preferred type", []sig{{types.Int4}, {types.Float8}}, sig{unknown}, []sig{{types.Float8}}},
		{"no category for an unknown", []sig{{types.Int4}, {types.Bool}}, sig{unknown}, []sig{{types.Int4}, {types.Bool}}},
		{
			"an unknown is like the known ones",
			[]sig{{types.DateOID, types.DateOID}, {types.DateOID, types.Int4}},
			sig{types.DateOID, unknown},
			[]sig{{types.DateOID, types.DateOID}},
		},
		{"a polymorphic one", []sig{{types.Text, types.AnyNonArray}, {types.Text, types.Text}}, sig{types.Text, types.Int4}, []sig{{types.Text, types.AnyNonArray}}},
		{"ambiguous among the known", []sig{{types.Int8, types.Int4}, {types.Int4, types.Int8}}, sig{types.Int2, types.Int2}, []sig{{types.Int8, types.Int4}, {types.Int4, types.Int8}}},
	} {
		got := choose(c.candidates, func(s sig) sig { return s }, c.inputs)
		require.Equal(t, c.want, got, c.rule)
	}
}

func TestOperatorTakesUnknownForTheOtherSide(t *testing.T) {
	o, err := operator("=", types.Unknown, types.UUID, 0)
	require.NoError(t, err)
	require.Equal(t, [2]types.OID{types.UUID, types.UUID}, [2]types.OID{o.Left, o.Right})
}

// Every operator and function here is one of PostgreSQL's, so that nothing is
// called unsupported that is there.
func TestNamesOfPostgreSQL(t *testing.T) {
	operators, functions := builtin.Names()
	for _, name := range operators {
		_, ok := postgresOperators()[name]
		require.True(t, ok, name)
	}
	keywords := []string{"current_catalog", "current_role", "session_user", "user"} // calls only by the grammar
	for _, name := range functions {
		_, ok := postgresFunctions()[name]
		require.True(t, ok || slices.Contains(keywords, name), name)
	}
	require.True(t, postgresFunctions().accepts("date_trunc", []types.OID{types.Text, types.Timestamptz}))
	require.False(t, postgresFunctions().accepts("date_trunc", []types.OID{types.Timestamptz, types.Text}))
	require.False(t, postgresFunctions().accepts("trunc_date", nil))
	require.False(t, postgresFunctions().accepts("", nil))
}

func TestExpandVariadic(t *testing.T) {
	require.Equal(t, []types.OID{types.Text, types.Any, types.Any}, expand([]types.OID{types.Text, types.Any}, true, 3))
	require.Nil(t, expand([]types.OID{types.Text, types.Any}, true, 1))
	require.Nil(t, expand([]types.OID{types.Text}, false, 2))
}
