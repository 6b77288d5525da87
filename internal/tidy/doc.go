// Package tidy holds the repository to its own rules, as an ordinary test, so
// that "go test ./..." is also the lint.
//
// It owns the rules that no general linter knows: which package may import
// which (arrows.go), how long functions and files may be and how deep they may
// nest (size.go), that exported names are documented, that every goroutine says
// what ends it, and that nothing sleeps to synchronise (prose.go). Each check
// is a function from parsed files to findings, tested on planted violations.
//
// It never rewrites code and has no exceptions list for single places: a rule
// that is wrong is changed here. Open tidy_test.go first.
package tidy
