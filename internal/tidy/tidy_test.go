package tidy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/tidy"
)

var checks = map[string]func([]*tidy.File) []tidy.Finding{
	"arrows":     tidy.Arrows,
	"size":       tidy.Size,
	"docs":       tidy.Docs,
	"sleeps":     tidy.Sleeps,
	"goroutines": tidy.Goroutines,
	"leaks":      tidy.Leaks,
	"names":      tidy.Names,
}

// TestRepository holds every rule over the whole module.
func TestRepository(t *testing.T) {
	files, err := tidy.Load(os.DirFS("../.."))
	require.NoError(t, err)
	require.Greater(t, len(files), 10, "the module's files were not found")
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			for _, finding := range check(files) {
				t.Error(finding)
			}
		})
	}
}

// TestPlantedViolations shows that each rule can fail.
func TestPlantedViolations(t *testing.T) {
	deep := "package p\nfunc f(a []int) {\n" + strings.Repeat("for range a {\n", 5) + strings.Repeat("}\n", 5) + "}\n"
	for _, c := range []struct {
		check, path, source, want string
	}{
		{"arrows", "driver/x.go", "package driver\nimport _ \"github.com/anywriter/anywriter/simnode\"\n", "must not link the simulator"},
		{"arrows", "balancer/x.go", "package balancer\nimport _ \"github.com/anywriter/anywriter/health\"\n", "import nothing of ours"},
		{"arrows", "simnode/internal/node/x.go", "package node\nimport _ \"github.com/anywriter/anywriter/simnode/internal/segment\"\n", "share no memory"},
		{"arrows", "simnode/internal/certify/x.go", "package certify\nimport _ \"sync\"\n", "the package is pure"},
		{"arrows", "simnode/internal/certify/x.go", "package certify\nimport \"time\"\nvar x = time.Now\n", "takes the time as a parameter"},
		{"arrows", "cluster/x.go", "package cluster\nimport _ \"database/sql/driver\"\n", "only driver"},
		{"size", "p/x.go", "package p\nfunc f() {\n" + strings.Repeat("_ = 0\n", 80) + "}\n", "f has 82 lines"},
		{"size", "p/x.go", "package p\n" + strings.Repeat("\n", 500), "501 lines"},
		{"size", "p/x.go", deep, "nests 5 deep"},
		{"docs", "p/doc.go", "// Package p is a package.\npackage p\nfunc F() {}\n", "exported F"},
		{"docs", "p/doc.go", "// Package p is a package.\npackage p\ntype t struct{}\n// T is a type.\ntype T struct{}\nfunc (T) M() {}\nfunc (t) M() {}\n", "exported M"},
		{"docs", "p/x.go", "package p\n", "no doc.go"},
		{"sleeps", "p/x_test.go", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }\n", "nothing sleeps"},
		{"goroutines", "p/x.go", "package p\nfunc f() {\n\tgo f()\n}\n", "what ends it"},
		{"goroutines", "p/x.go", "package p\nfunc init() {}\n", "only for sql.Register"},
		{"leaks", "p/x_test.go", "package p\nfunc f() {\n\tgo f()\n}\n", "left-over ones"},
		{"names", "p/util/x.go", "package util\n", "named for nothing"},
	} {
		file, err := tidy.Parse(c.path, []byte(c.source))
		require.NoError(t, err)
		findings := checks[c.check]([]*tidy.File{file})
		require.Len(t, findings, 1, "%s on %q", c.check, c.source)
		require.Contains(t, findings[0].String(), c.want)
	}
}

// TestAllowed shows that the rules let the right forms pass.
func TestAllowed(t *testing.T) {
	for _, c := range []struct{ check, path, source string }{
		{"arrows", "simnode/sim.go", "package simnode\nimport _ \"github.com/anywriter/anywriter/simnode/internal/node\"\n"},
		{"arrows", "driver/driver.go", "package driver\nimport _ \"database/sql/driver\"\n"},
		{"arrows", "cluster/x_test.go", "package cluster_test\nimport _ \"github.com/anywriter/anywriter/simnode\"\n"},
		{"sleeps", "p/x_test.go", "package p\nimport (\n\"testing/synctest\"\n\"time\"\n)\nvar _ = synctest.Test\nfunc f() { time.Sleep(1) }\n"},
		{"goroutines", "p/x.go", "package p\nfunc f() {\n\t// Ends with f.\n\tgo f()\n}\n"},
		{"goroutines", "driver/x.go", "package driver\nfunc init() {}\n"},
		{"size", "p/x.go", "package p\nfunc f(a int) {\n\tif a == 1 {\n\t} else if a == 2 {\n\t} else if a == 3 {\n\t} else if a == 4 {\n\t} else if a == 5 {\n\t}\n}\n"},
	} {
		file, err := tidy.Parse(c.path, []byte(c.source))
		require.NoError(t, err)
		require.Empty(t, checks[c.check]([]*tidy.File{file}), "%s on %q", c.check, c.source)
	}
}
