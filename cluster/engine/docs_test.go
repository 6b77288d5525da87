package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocument holds docs/engines.md to the profiles: on a difference it prints
// the table that belongs there.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/engines.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "<!-- engines -->\n")
	require.True(t, found, "docs/engines.md has no <!-- engines --> mark")
	got, _, found := strings.Cut(rest, "<!-- /engines -->")
	require.True(t, found, "docs/engines.md has no <!-- /engines --> mark")
	if want := table(); got != want {
		t.Errorf("between its marks docs/engines.md should have:\n%s", want)
	}
}

// table renders the profiles as Markdown.
func table() string {
	var b strings.Builder
	b.WriteString("| engine | found by | probe | roles | conflicts | commit fence | causality | sources |\n|---|---|---|---|---|---|---|---|\n")
	for _, p := range All() {
		conflicts := append([]string{"40001", "40P01"}, p.Dialect.Conflicts...)
		faults := ""
		if p.Dialect.FaultsInDoubt {
			faults = "; 58xxx and XX000 at a commit leave its outcome unknown"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s | %s%s | %s | %s | %s |\n", p.Name, foundBy(p.Name), p.Probe, roles(p),
			strings.Join(conflicts, ", "), faults, support(p.Fence), support(p.Causality), links(p.Sources))
	}
	b.WriteString("\n| engine | what undoes a session's state |\n|---|---|\n")
	for _, p := range All() {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", p.Name, p.Reset)
	}
	return b.String()
}

func roles(p Profile) string {
	switch {
	case p.Timeline != "":
		return "told by the probe, old primaries by their timeline"
	case p.Roles:
		return "told by the probe"
	default:
		return "every node takes writes until it refuses one (25006)"
	}
}

func support(s Support) string {
	if s.Valid {
		return "yes: " + s.Why
	}
	return "no: " + s.Why
}

func links(sources []string) string {
	var out []string
	for i, s := range sources {
		out = append(out, fmt.Sprintf("[%d](%s)", i+1, strings.TrimPrefix(s, "docs/")))
	}
	return strings.Join(out, " ")
}

func foundBy(name string) string {
	switch name {
	case "simnode":
		return "parameter `simnode.version`"
	case "cockroachdb":
		return "parameter `crdb_version`"
	case "yugabyte":
		return "`-YB-` in `server_version`"
	case "dsql":
		return "host name `*.dsql.*.on.aws`"
	case "pgd":
		return "extension `bdr`"
	case "spock", "pglogical":
		return "extension `" + name + "`"
	default:
		return "`server_version`, and none of the others"
	}
}
