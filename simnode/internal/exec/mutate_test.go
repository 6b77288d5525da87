package exec_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Statements that are nearly right end in an answer or a proper error, never in a
// panic or an internal error.
func TestMutatedStatements(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	require.NoError(t, err)
	var texts []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, block := range strings.Split(string(b), "\n\n") {
			head, _, _ := strings.Cut(block, "\n----")
			if _, sql, ok := strings.Cut(head, "\n"); ok && !strings.Contains(sql, "pg_sleep") {
				texts = append(texts, sql)
			}
		}
	}
	require.NotEmpty(t, texts)
	c := newEngine(t).client()
	c.must(t, randomTable)
	r := rand.New(rand.NewPCG(*seedFlag, 3))
	succeeded := 0
	for range *countFlag * 10 {
		words, other := strings.Fields(texts[r.IntN(len(texts))]), strings.Fields(texts[r.IntN(len(texts))])
		i, j := r.IntN(len(words)), r.IntN(len(other))
		switch r.IntN(3) {
		case 0:
			words[i] = other[j]
		case 1:
			words = append(words[:i:i], other[j:]...)
		}
		sql := strings.Join(words, " ")
		if inBlock(sql) || dropsPublic(sql) {
			continue
		}
		_, err = c.try(t, sql, "1", "2", "3")
		require.NotEqual(t, "XX000", code(err), "%s (-seed %d)", sql, *seedFlag)
		if err == nil {
			succeeded++
		}
	}
	require.Greater(t, succeeded, *countFlag)
}

// dropsPublic reports whether a text may leave nothing to run statements on.
func dropsPublic(sql string) bool {
	return strings.Contains(sql, "drop") && strings.Contains(sql, "schema") && strings.Contains(sql, "public")
}

// inBlock reports whether a text has a command that only a block can answer.
func inBlock(sql string) bool {
	for _, w := range []string{"rollback", "commit", "begin", "savepoint"} {
		if strings.Contains(sql, w) {
			return true
		}
	}
	return false
}
