package dsn_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/dsn"
)

// TestReadmeHasTheTable keeps the README's table of keys the one that the parser
// works from.
func TestReadmeHasTheTable(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), strings.TrimSpace(dsn.Table()),
		"README.md: put the output of dsn.Table below the marker of the keys")
}
