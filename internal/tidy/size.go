package tidy

import (
	"go/ast"
)

// The limits. Past them a concept is missing. Thirty files: the design's own list
// of nouns for cluster, the largest package, has 26.
const (
	MaxFunctionLines = 70
	MaxFileLines     = 400
	MaxPackageFiles  = 30
	MaxNesting       = 4
)

// Size finds functions, files and packages over the limits; tests and generated
// files are left out.
func Size(files []*File) []Finding {
	var out []Finding
	perPackage := map[string]int{}
	for _, f := range files {
		if f.Test || f.Generated {
			continue
		}
		perPackage[f.Package]++
		if perPackage[f.Package] == MaxPackageFiles+1 {
			out = append(out, f.finding(f.Syntax.Pos(), "size", "package %s has more than %d files", f.Package, MaxPackageFiles))
		}
		if f.Lines > MaxFileLines {
			out = append(out, f.finding(f.Syntax.Pos(), "size", "%d lines, allowed are %d", f.Lines, MaxFileLines))
		}
		for _, decl := range f.Syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if lines := f.line(fn.End()) - f.line(fn.Pos()) + 1; lines > MaxFunctionLines {
				out = append(out, f.finding(fn.Pos(), "size", "%s has %d lines, allowed are %d", fn.Name.Name, lines, MaxFunctionLines))
			}
			if depth := nesting(fn.Body); depth > MaxNesting {
				out = append(out, f.finding(fn.Pos(), "size", "%s nests %d deep, allowed are %d", fn.Name.Name, depth, MaxNesting))
			}
		}
	}
	return out
}

// nesting counts how deep control flow stands in control flow. A function
// literal counts as one level, an else-if chain as one.
func nesting(body *ast.BlockStmt) int {
	deepest := 0
	var walk func(n ast.Node, depth int)
	walk = func(n ast.Node, depth int) {
		deepest = max(deepest, depth)
		ast.Inspect(n, func(child ast.Node) bool {
			if child == nil || child == n {
				return true
			}
			switch c := child.(type) {
			case *ast.IfStmt:
				if parent, ok := n.(*ast.IfStmt); ok && parent.Else == c {
					walk(c, depth)
				} else {
					walk(c, depth+1)
				}
				return false
			case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.FuncLit:
				walk(c, depth+1)
				return false
			}
			return true
		})
	}
	walk(body, 0)
	return deepest
}
