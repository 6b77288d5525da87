package driver_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An application that imports the driver links these modules and no others. A
// new line in the golden file is a decision, not an accident.
func TestLinkedModules(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to ask")
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".").Output()
	require.NoError(t, err)
	modules := slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(out)))))
	golden, err := os.ReadFile("testdata/modules.golden")
	require.NoError(t, err)
	require.Equal(t, strings.Fields(string(golden)), modules)

	packages, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	for _, p := range []string{"simnode", "sqltest", "internal/pgtest"} {
		require.NotContains(t, string(packages), "github.com/anywriter/anywriter/"+p)
	}
}
