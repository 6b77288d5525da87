// Package parse turns SQL text into ast trees with PostgreSQL's own grammar.
//
// It owns the grammar, the translation of its tree and a cache of parsed texts.
// It is the only package that sees pg_query; grammar_cgo.go and grammar_nocgo.go
// are its two builds. It never looks a name up: that is analyze's.
//
// The translation is an allow-list. Every node and every field that the cluster
// does not carry out is refused with 0A000 and the name of the feature, so a
// clause can never be dropped in silence (carry.go). The grammar is that of
// PostgreSQL 17; what 15 does not know is refused too. Open parse.go first.
package parse
