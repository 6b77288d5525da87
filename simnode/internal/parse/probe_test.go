package parse

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProbeIsWhatTheGrammarSays holds the shortcut to the grammar's own answer.
func TestProbeIsWhatTheGrammarSays(t *testing.T) {
	for _, text := range []string{
		"show simnode.ready", "SHOW simnode.ready", "show simnode.role", "Show SimNode.Cluster_ID", "show simnode.node_id", "show simnode.version",
	} {
		short, ok := probe(text)
		require.True(t, ok, text)
		long, err := parse(text)
		require.NoError(t, err)
		require.Equal(t, long, short, text)
	}
	for _, text := range []string{
		"", "show", "show simnode.", "show simnode.other", "show simnode.ready;", "show simnode.ready x", " show simnode.ready", "show all",
	} {
		_, ok := probe(text)
		require.False(t, ok, text)
	}
}
