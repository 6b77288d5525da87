// Package dials watches the opening of connections to one node.
//
// It owns the knowledge whether new connections hang: a node can answer the prober and
// all who have a connection already, and leave those without an answer that want a new
// one. It says who may still wait for one then, and gives up dials that have hung for
// long, so that there is room for another try. It never dials, knows no pool and
// doesn't read the clock. All of it is in watch.go.
package dials
