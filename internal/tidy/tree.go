package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
)

// Finding is one place that breaks a rule.
type Finding struct {
	File string // relative to the module root
	Line int
	Rule string // short name of the rule
	Text string // what is wrong and what is allowed
}

// String gives "file:line: rule: text".
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Rule, f.Text)
}

// File is one parsed Go file of the module.
type File struct {
	Path      string // relative to the module root, with forward slashes
	Package   string // directory relative to the module root
	Test      bool   // ends in _test.go
	Generated bool
	Lines     int
	Set       *token.FileSet
	Syntax    *ast.File
}

// line gives the line of a position in the file.
func (f *File) line(p token.Pos) int { return f.Set.Position(p).Line }

// finding builds a Finding at a position of the file.
func (f *File) finding(p token.Pos, rule, format string, args ...any) Finding {
	return Finding{File: f.Path, Line: f.line(p), Rule: rule, Text: fmt.Sprintf(format, args...)}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// Parse reads one file from its source text.
func Parse(path string, source []byte) (*File, error) {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("tidy: %w", err)
	}
	return &File{
		Path:      path,
		Package:   filepath.ToSlash(filepath.Dir(path)),
		Test:      strings.HasSuffix(path, "_test.go"),
		Generated: generated.Match(source),
		Lines:     strings.Count(string(source), "\n"),
		Set:       set,
		Syntax:    syntax,
	}, nil
}

// Load parses every Go file below root, leaving out testdata and hidden folders.
func Load(root fs.FS) ([]*File, error) {
	var files []*File
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != "." && (name == "testdata" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		file, err := Parse(path, source)
		if err != nil {
			return err
		}
		files = append(files, file)
		return nil
	})
	return files, err
}
