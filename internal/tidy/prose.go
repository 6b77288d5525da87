package tidy

import (
	"go/ast"
	"go/token"
	"strconv"
	"strings"
)

// Docs finds packages without a doc.go and exported names without a doc comment.
func Docs(files []*File) []Finding {
	var out []Finding
	documented := map[string]bool{}
	first := map[string]*File{}
	for _, f := range files {
		if f.Test {
			continue
		}
		if first[f.Package] == nil {
			first[f.Package] = f
		}
		if strings.HasSuffix(f.Path, "/doc.go") && f.Syntax.Doc != nil {
			documented[f.Package] = true
		}
		if !f.Generated {
			out = append(out, undocumented(f)...)
		}
	}
	for pkg, f := range first {
		if !documented[pkg] {
			out = append(out, f.finding(f.Syntax.Pos(), "docs", "package %s has no doc.go with a package comment", pkg))
		}
	}
	return out
}

func undocumented(f *File) []Finding {
	var out []Finding
	missing := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		for _, doc := range docs {
			if doc != nil {
				return
			}
		}
		if name.IsExported() {
			out = append(out, f.finding(name.Pos(), "docs", "exported %s has no doc comment", name.Name))
		}
	}
	for _, decl := range f.Syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || exportedReceiver(d.Recv) {
				missing(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				undocumentedSpec(d, spec, missing)
			}
		}
	}
	return out
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec, missing func(*ast.Ident, ...*ast.CommentGroup)) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		missing(s.Name, d.Doc, s.Doc, s.Comment)
	case *ast.ValueSpec:
		for _, name := range s.Names {
			missing(name, d.Doc, s.Doc, s.Comment)
		}
	}
}

// exportedReceiver reports whether a method's type is exported: methods of
// unexported types satisfy interfaces and are documented there.
func exportedReceiver(recv *ast.FieldList) bool {
	expr := recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	switch t := expr.(type) {
	case *ast.IndexExpr:
		expr = t.X
	case *ast.IndexListExpr:
		expr = t.X
	}
	name, ok := expr.(*ast.Ident)
	return ok && name.IsExported()
}

// Sleeps finds time.Sleep. Only tests that run in virtual time may call it,
// where it moves the clock instead of waiting.
func Sleeps(files []*File) []Finding {
	var out []Finding
	for _, f := range files {
		if f.Test && imports(f, "testing/synctest") {
			continue
		}
		out = append(out, selectorUses(f, "time", "Sleep", "sleep", "nothing sleeps to synchronise: use a channel, a timer or testing/synctest")...)
	}
	return out
}

// Goroutines finds go statements and WaitGroup.Go calls without a comment that
// says what ends them, and init functions other than the driver's registration.
func Goroutines(files []*File) []Finding {
	var out []Finding
	for _, f := range files {
		if f.Test || f.Generated {
			continue
		}
		commented := map[int]bool{}
		for _, group := range f.Syntax.Comments {
			for line := f.line(group.Pos()); line <= f.line(group.End()); line++ {
				commented[line] = true
			}
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			pos := launch(n)
			if pos.IsValid() && !commented[f.line(pos)] && !commented[f.line(pos)-1] {
				out = append(out, f.finding(pos, "goroutine", "say in a comment what ends it"))
			}
			return true
		})
		for _, decl := range f.Syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && f.Package != "driver" {
				out = append(out, f.finding(fn.Pos(), "init", "init is only for sql.Register in package driver"))
			}
		}
	}
	return out
}

// Leaks finds packages with goroutines, of their own or of their tests, whose tests
// don't look for those that are left over.
func Leaks(files []*File) []Finding {
	starts, tested, looks := map[string]Finding{}, map[string]bool{}, map[string]bool{}
	for _, f := range files {
		tested[f.Package] = tested[f.Package] || f.Test
		looks[f.Package] = looks[f.Package] || f.Test && imports(f, "go.uber.org/goleak")
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if pos := launch(n); pos.IsValid() {
				if _, found := starts[f.Package]; !found {
					starts[f.Package] = f.finding(pos, "leak", "there are goroutines here: look for left-over ones in TestMain (goleak.VerifyTestMain)")
				}
			}
			return true
		})
	}
	var out []Finding
	for name, finding := range starts {
		if tested[name] && !looks[name] {
			out = append(out, finding)
		}
	}
	return out
}

// launch gives where a node starts a goroutine, or no position.
func launch(n ast.Node) token.Pos {
	switch s := n.(type) {
	case *ast.GoStmt:
		return s.Pos()
	case *ast.CallExpr:
		sel, ok := s.Fun.(*ast.SelectorExpr)
		if ok && sel.Sel.Name == "Go" && len(s.Args) == 1 {
			return s.Pos()
		}
	}
	return token.NoPos
}

func imports(f *File, path string) bool {
	for _, spec := range f.Syntax.Imports {
		if spec.Path.Value == strconv.Quote(path) {
			return true
		}
	}
	return false
}

// selectorUses finds uses of pkg.name in a file.
func selectorUses(f *File, pkg, name, rule, text string) []Finding {
	var out []Finding
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != name {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg {
			out = append(out, f.finding(sel.Pos(), rule, "%s.%s: %s", pkg, name, text))
		}
		return true
	})
	return out
}

// Names finds folders whose name says nothing.
func Names(files []*File) []Finding {
	var out []Finding
	seen := map[string]bool{}
	for _, f := range files {
		base := f.Package[strings.LastIndex(f.Package, "/")+1:]
		if seen[f.Package] {
			continue
		}
		seen[f.Package] = true
		switch base {
		case "util", "utils", "common", "helper", "helpers", "misc", "base":
			out = append(out, f.finding(f.Syntax.Pos(), "names", "package %s is named for nothing: name it after its noun", f.Package))
		}
	}
	return out
}
