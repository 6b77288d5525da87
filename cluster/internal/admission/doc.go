// Package admission bounds what is in use of each node at the same time, and
// queues who finds every node full.
//
// It owns the slots of all nodes and one queue for all of them: an operation that
// finds its node full looks for another with a free slot, and only if there is none
// it waits, first come first served, for whichever node has one first. A free slot
// goes to the first in the queue that may use it, so nobody who comes later
// overtakes, and whoever can't use it after all has its old place again. It knows
// nothing of connections and never says which node is better. gate.go has the slots,
// line.go the queue; open gate.go first.
package admission
