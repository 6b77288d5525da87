package mutant_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

func TestNamesAndConstantsAgree(t *testing.T) {
	all := mutant.All()
	require.Equal(t, mutant.ReleaseFromAnybody, all[len(all)-1], "names() has an entry too many or too few")
	for _, m := range all {
		got, ok := mutant.Parse(m.String())
		require.True(t, ok)
		require.Equal(t, m, got)
	}
	_, ok := mutant.Parse("none")
	require.False(t, ok)
	require.Equal(t, "NoReservation+LastBase", (mutant.LastBase | mutant.NoReservation).String())
	require.Equal(t, "none", mutant.Set(0).String())
	require.True(t, (mutant.LastBase | mutant.NoReservation).Has(mutant.LastBase))
	require.False(t, mutant.LastBase.Has(mutant.NoReservation))
}
