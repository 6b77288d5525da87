package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// min_idle=0 is a wish and not a field that was left out.
func TestMinIdleZero(t *testing.T) {
	for dsn, want := range map[string]int{"": 2, "?min_idle=0": 0, "?min_idle=3": 3, "?max_conns_per_node=1": 1} {
		for _, parse := range []bool{false, true} {
			config := Config{DSNs: []string{"postgres://u@h/db" + dsn}}
			if parse {
				var err error
				config, err = ParseConfig(config.DSNs...)
				require.NoError(t, err)
			}
			resolved, _, err := config.resolve()
			require.NoError(t, err)
			require.Equal(t, want, resolved.Settings.MinIdle, "%q, parsed: %v", dsn, parse)
		}
	}
}
