package tidy

import (
	"slices"
	"strconv"
	"strings"
)

// Module is the import path that arrows are drawn in.
const Module = "github.com/anywriter/anywriter"

// forbidden says what the files of a package may not import, tests apart. A
// pattern that ends in "/..." covers the package and everything below it.
var forbidden = []struct {
	from   string
	to     []string
	reason string
}{
	{"driver/...", []string{"simnode/...", "sqltest/...", "internal/pgtest"}, "an application that imports the driver must not link the simulator"},
	{"cluster/...", []string{"simnode/...", "sqltest/...", "driver/...", "internal/pgtest"}, "cluster stands below driver and knows no simulator"},
	{"health/...", []string{"simnode/...", "sqltest/...", "driver/...", "cluster/...", "balancer/..."}, "health stands below cluster"},
	{"balancer/...", []string{"..."}, "pickers are pure and import nothing of ours"},
	{"simnode/...", []string{"driver/...", "cluster/...", "health/...", "balancer/...", "sqltest/..."}, "the simulator is a server and knows no client"},
	{"sqltest/...", []string{"driver/...", "cluster/...", "health/...", "balancer/...", "simnode/..."}, "the test kit serves any database/sql driver"},
	{"internal/...", []string{"driver/...", "cluster/...", "simnode/...", "sqltest/...", "health/...", "balancer/..."}, "internal packages stand at the bottom"},
	{"simnode/internal/node/...", []string{"simnode/internal/segment", "simnode"}, "nodes share no memory with storage"},
	{"simnode/internal/volume/...", []string{"simnode/internal/fabric", "simnode/internal/segment", "simnode/internal/node"}, "the volume's core is pure"},
}

// pure lists the packages that are functions of values: no network, no files,
// no clock, no locks.
var pure = []string{
	"balancer", "cluster/internal/role", "internal/outcome", "internal/sqlstate", "internal/stmtclass",
	"simnode/internal/message", "simnode/internal/certify", "simnode/internal/origin",
	"simnode/internal/volume", "simnode/internal/member",
}

var impureImports = []string{"net", "os", "os/exec", "syscall", "sync", "database/sql", "math/rand"}

// pureAllows lists, per pure package, impure imports that its job needs.
var pureAllows = map[string][]string{
	// Candidates share their in-flight counters as atomics; pickers take no lock.
	"balancer": {"sync/atomic"},
}

// ownedImports gives the packages that alone may import something.
var ownedImports = map[string][]string{
	"database/sql/driver":                 {"driver", "sqltest/availability"}, // the kit needs ErrBadConn only
	"github.com/pganalyze/pg_query_go/v6": {"simnode/internal/parse"},
	"github.com/wasilibs/go-pgquery":      {"simnode/internal/parse"},
	"github.com/sony/gobreaker/v2":        {"health"},
	"github.com/xdg-go/scram":             {"simnode/internal/auth"},
}

// Arrows finds imports that point the wrong way, impure imports and clock reads
// in pure packages, and imports that belong to one package alone.
func Arrows(files []*File) []Finding {
	var out []Finding
	for _, f := range files {
		if f.Test {
			continue
		}
		for _, spec := range f.Syntax.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			if text := forbiddenImport(f.Package, path); text != "" {
				out = append(out, f.finding(spec.Pos(), "arrows", "%s may not import %s: %s", f.Package, path, text))
			}
		}
		if slices.Contains(pure, f.Package) {
			out = append(out, selectorUses(f, "time", "Now", "pure", "a pure package takes the time as a parameter")...)
		}
	}
	return out
}

func forbiddenImport(from, path string) string {
	if owners, ok := ownedImports[path]; ok && !slices.Contains(owners, from) {
		return "only " + strings.Join(owners, ", ") + " may"
	}
	if slices.Contains(pure, from) && slices.Contains(impureImports, path) && !slices.Contains(pureAllows[from], path) {
		return "the package is pure"
	}
	local, ours := strings.CutPrefix(path, Module)
	if !ours {
		return ""
	}
	local = strings.TrimPrefix(local, "/")
	for _, rule := range forbidden {
		if !covers(rule.from, from) {
			continue
		}
		for _, to := range rule.to {
			if covers(to, local) && !sameTree(from, local) {
				return rule.reason
			}
		}
	}
	return ""
}

// covers reports whether pattern names pkg.
func covers(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	base, deep := strings.CutSuffix(pattern, "/...")
	return pkg == base || deep && strings.HasPrefix(pkg, base+"/")
}

// sameTree reports whether both packages stand below one top-level folder, where
// the rules between folders do not apply. Package simnode itself assembles its
// internal parts, so only rules that name a part speak inside simnode.
func sameTree(from, to string) bool {
	top := func(pkg string) string { first, _, _ := strings.Cut(pkg, "/"); return first }
	return top(from) == top(to) && top(from) != "simnode" && top(from) != "internal"
}
