// Package admission bounds what is in use of each node at the same time, and
// queues who finds every node full.
//
// It owns the slots of all nodes and one queue for all of them: an operation that
// finds its node full looks for another with a free slot, and only if there is none
// it waits, first come first served, for whichever node has one first. A slot that
// is given back goes straight to the first in the queue that may use it, so nobody
// who comes later overtakes. It knows nothing of connections and never says which
// node is better. Open gate.go first.
package admission
