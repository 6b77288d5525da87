// Package mutant names deliberate bugs of the protocol, one for each rule that a
// search must be able to defend: a search that finds no violation with the bug in
// place proves nothing without it.
//
// It owns the names and nothing else; the packages certify, origin, member and
// node look at the set where the rule stands. Nothing outside tests ever sets a
// mutant: the zero Set is the protocol. The names are those of the protocol's
// list. Open mutant.go.
package mutant
