// Package analyze gives a syntax tree its meaning: it looks up names, gives every
// expression a type, picks operators and functions, and works out the types of
// parameters, as chapter 10 of the PostgreSQL manual ("Type Conversion") says.
//
// It owns the typed tree (expr.go for expressions, command.go for statements)
// and the errors of this stage with their positions. It never chooses an index
// (package plan) and evaluates nothing but the text of literals. It reads the
// catalog through catalog.Reader and has no state.
//
// Open analyzer.go first; scope.go resolves columns, coerce.go types, resolve.go
// overloaded operators and functions.
package analyze
