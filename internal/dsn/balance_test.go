package dsn

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseBalance(t *testing.T) {
	clearEnv(t)
	for _, name := range []string{
		"postgres://u@a,b,c/db?balancer=weighted&weights=3,1,1",
		"host=a,b,c balancer=weighted weights='3, 1 ,1'",
		"host=a weights=3,1,1;host=b balancer=weighted;host=c weights=3,1,1",
	} {
		c, err := Parse(name)
		require.NoError(t, err)
		assert.Equal(t, []int{3, 1, 1}, c.Settings.Weights)
		assert.Equal(t, "weighted", c.Settings.Balancer)
		require.NoError(t, c.Settings.CheckNodes(3))
		assert.Empty(t, c.Nodes[2].Conn.RuntimeParams)
	}
	c, err := Parse("postgres://u@a,b,c/db?balancer=zone&zone=eu-1a&zones=eu-1a,eu-1a,eu%201b")
	require.NoError(t, err)
	assert.Equal(t, "eu-1a", c.Settings.Zone)
	assert.Equal(t, []string{"eu-1a", "eu-1a", "eu 1b"}, c.Settings.Zones)
	require.NoError(t, c.Settings.CheckNodes(3))
	c, err = Parse("host=a weights=none zone=none zones=none")
	require.NoError(t, err)
	assert.Equal(t, DefaultSettings(), c.Settings)
}

func TestCheckNodes(t *testing.T) {
	for name, c := range map[string]struct {
		s    Settings
		want []string // of the error, none if there is none
	}{
		"nothing":         {Settings{Balancer: "p2c"}, nil},
		"weights":         {Settings{Balancer: "weighted", Weights: []int{3, 1, 1}}, nil},
		"zones":           {Settings{Balancer: "zone", Zone: "x", Zones: []string{"x", "y", "y"}}, nil},
		"unused":          {Settings{Balancer: "p2c", Zone: "x", Weights: []int{3, 1, 1}}, nil},
		"no weights":      {Settings{Balancer: "weighted"}, []string{"balancer=weighted needs weights", "1 to 1000"}},
		"two weights":     {Settings{Balancer: "weighted", Weights: []int{3, 1}}, []string{"weights (2)", "nodes (3)", "one for each host"}},
		"unused weights":  {Settings{Balancer: "p2c", Weights: []int{3, 1, 1, 1}}, []string{"weights (4)", "nodes (3)"}},
		"two zones":       {Settings{Balancer: "zone", Zone: "x", Zones: []string{"x", "y"}}, []string{"zones (2)", "nodes (3)"}},
		"no zones":        {Settings{Balancer: "zone", Zone: "x"}, []string{"balancer=zone needs zones"}},
		"no zone":         {Settings{Balancer: "zone", Zones: []string{"x", "y", "y"}}, []string{"balancer=zone needs zone:"}},
		"another zone":    {Settings{Balancer: "zone", Zone: "z", Zones: []string{"x", "y", "y"}}, []string{"zone must be one of zones"}},
		"an unused other": {Settings{Balancer: "p2c", Zone: "z", Zones: []string{"x", "y", "y"}}, []string{"zone must be one of zones"}},
	} {
		err := c.s.CheckNodes(3)
		if c.want == nil {
			assert.NoError(t, err, name)
		}
		for _, part := range c.want {
			assert.ErrorContains(t, err, part, name)
		}
	}
}

// Values that were set in code are held to the same bounds.
func TestValidateBalance(t *testing.T) {
	for want, change := range map[string]func(*Settings){
		"value 1 of weights": func(s *Settings) { s.Weights = []int{-1, 1} },
		"value 2 of zones":   func(s *Settings) { s.Zones = []string{"a", " b"} },
		"value 3 of zones":   func(s *Settings) { s.Zones = []string{"a", "b", "c,d"} },
		"zone must be one":   func(s *Settings) { s.Zone = "a,b" },
	} {
		s := DefaultSettings()
		change(&s)
		assert.ErrorContains(t, s.Validate(), want)
	}
}

func TestUnused(t *testing.T) {
	for _, c := range []struct {
		s    Settings
		want int
	}{
		{Settings{Balancer: "p2c"}, 0},
		{Settings{Balancer: "weighted", Weights: []int{1}}, 0},
		{Settings{Balancer: "zone", Weights: []int{1}, Zone: "a", Zones: []string{"a"}}, 1},
		{Settings{Balancer: "weighted", Weights: []int{1}, Zone: "a"}, 1},
		{Settings{Balancer: "p2c", Weights: []int{1}, Zones: []string{"a"}}, 2},
	} {
		assert.Len(t, c.s.Unused(), c.want)
	}
}
