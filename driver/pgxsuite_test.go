package driver_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
)

// TestPgxSuite runs pgx's own tests of its database/sql package through this
// driver, with session_reset=off, on PostgreSQL. They are read from the module
// cache and changed only in what they open. The set of those that fail must be
// the one of testdata/pgxsuite/exceptions.txt, which has a reason for each.
func TestPgxSuite(t *testing.T) {
	if os.Getenv(pgtest.RequireEnv) == "" {
		t.Skipf("pgx's own tests run only with %s set", pgtest.RequireEnv)
	}
	plain := sharedServer(t)
	source, err := os.ReadFile(filepath.Join(pgxDir(t), "stdlib", "sql_test.go"))
	if err != nil {
		t.Skipf("the source of pgx isn't in the module cache: %v", err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "pgxsuite.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-o", binary, "-overlay="+overlay(t, rewriteSuite(source)), "./pgxsuite")
	build.Env = append(os.Environ(), "GOPROXY=off")
	text, err := build.CombinedOutput()
	require.NoError(t, err, "%s", text)
	cmd := exec.Command("go", "tool", "test2json", binary, "-test.v=test2json", "-test.count=1", "-test.timeout=5m")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PGX_TEST_DATABASE="+plain, "ANYWRITER_TEST_DSN="+withParams(plain, "session_reset=off"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, runErr := cmd.Output() // fails, since some tests do
	results := readResults(t, out)
	for _, name := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
		require.Contains(t, results, string(name[1]), "it has ended: %v\n%s\n%s", runErr, stderr.Bytes(), out)
	}
	var failed, passed []string
	for name, result := range results {
		if result != "fail" {
			passed = append(passed, name)
			continue
		}
		leaf := !slices.ContainsFunc(failures(results), func(other string) bool { return strings.HasPrefix(other, name+"/") })
		if leaf {
			failed = append(failed, name)
		}
	}
	slices.Sort(failed)
	want := exceptions(t)
	if !slices.Equal(failed, want) {
		t.Logf("%s", failureTexts(out))
	}
	require.Equal(t, want, failed, "the tests that fail")
	t.Logf("%d passed, %d failed as expected", len(passed), len(failed))
}

func failures(results map[string]string) []string {
	var out []string
	for name, result := range results {
		if result == "fail" {
			out = append(out, name)
		}
	}
	return out
}

// pgxDir is where the module cache has pgx.
func pgxDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/jackc/pgx/v5").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// rewriteSuite makes pgx's tests open this driver: the stand-in for its package,
// the registered name, and Raw's type assertion, which can't work for the type
// of another package.
func rewriteSuite(source []byte) []byte {
	s := string(source)
	s = strings.ReplaceAll(s, `"github.com/jackc/pgx/v5/stdlib"`, `"github.com/anywriter/anywriter/driver/pgxsuite/stdlib"`)
	s = strings.ReplaceAll(s, `driverConn.(*stdlib.Conn)`, `driverConn.(interface{ Conn() *pgx.Conn })`)
	s = regexp.MustCompile(`sql\.Open\(([^,]+), os\.Getenv\("PGX_TEST_DATABASE"\)\)`).
		ReplaceAllString(s, `sql.Open($1, os.Getenv("ANYWRITER_TEST_DSN"))`)
	s = regexp.MustCompile(`"pgx(/v5)?"`).ReplaceAllString(s, `"anywriter"`)
	return []byte(s)
}

// overlay lays the tests and the stand-in over this checkout, as packages that
// exist for one run of the go command only.
func overlay(t *testing.T, suite []byte) string {
	t.Helper()
	here, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	tests, list := filepath.Join(dir, "sql_test.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(tests, suite, 0o600))
	text, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(here, "pgxsuite", "sql_test.go"):         tests,
		filepath.Join(here, "pgxsuite", "stdlib", "stdlib.go"): filepath.Join(here, "testdata", "pgxsuite", "stdlib.go"),
	}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(list, text, 0o600))
	return list
}

type testEvent struct{ Action, Test, Output string }

func testEvents(out []byte) []testEvent {
	var events []testEvent
	for line := range bytes.Lines(out) {
		var e testEvent
		if json.Unmarshal(line, &e) == nil {
			events = append(events, e)
		}
	}
	return events
}

// readResults returns how each test and subtest ended.
func readResults(t *testing.T, out []byte) map[string]string {
	t.Helper()
	results := map[string]string{}
	for _, e := range testEvents(out) {
		if e.Test != "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			results[e.Test] = e.Action
		}
	}
	return results
}

// failureTexts is what the failed tests have said.
func failureTexts(out []byte) string {
	failed := map[string]bool{}
	for _, e := range testEvents(out) {
		failed[e.Test] = failed[e.Test] || e.Action == "fail"
	}
	var b strings.Builder
	for _, e := range testEvents(out) {
		if failed[e.Test] {
			b.WriteString(e.Output)
		}
	}
	return b.String()
}

// exceptions reads the names of the tests that are meant to fail.
func exceptions(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "pgxsuite", "exceptions.txt"))
	require.NoError(t, err)
	defer f.Close()
	docs, err := os.ReadFile(filepath.Join("..", "docs", "migrating.md"))
	require.NoError(t, err)
	var names []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, _ := strings.Cut(line, ":")
		top, _, _ := strings.Cut(name, "/")
		require.Contains(t, string(docs), "`"+top+"`", "docs/migrating.md lists the exceptions too")
		require.NotEmpty(t, strings.TrimSpace(reason), "the reason for %s", name)
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
