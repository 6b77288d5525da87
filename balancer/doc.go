// Package balancer picks the node for an operation.
//
// It owns the immutable View of candidates, the rules that say which of them
// may be picked (eligible.go), the load figures that pickers compare (ewma.go)
// and the pickers themselves. It never dials, never waits, takes no lock and
// allocates nothing while picking; it knows nothing of databases and imports
// only the standard library. The caller builds a View whenever a node's state
// changes and asks Pick for each operation. Open picker.go first.
package balancer
