package cluster_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
)

// TestConfigPrintsNoPassword prints a configuration in every way that an
// application might log it.
func TestConfigPrintsNoPassword(t *testing.T) {
	cfg, err := cluster.ParseConfig("postgres://u:SECRET@h1:1,h2:2/db")
	require.NoError(t, err)
	for _, c := range []cluster.Config{cfg, {DSNs: cfg.DSNs}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			for _, v := range []any{c, &c} {
				require.NotContains(t, fmt.Sprintf(verb, v), "SECRET", verb)
			}
		}
	}
	require.Contains(t, cfg.String(), "h2:2")
}
