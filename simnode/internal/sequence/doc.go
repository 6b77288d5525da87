// Package sequence hands out the values of sequences and the OIDs of new relations
// on one node.
//
// The volume's log gives whole blocks of units to nodes; an Allocator takes units
// from its block and fetches the next one when it is used up, so values are unique
// in the cluster, rise on each node, and leave gaps where a node ends or a
// transaction rolls back, as in PostgreSQL with CACHE. It owns the blocks and the
// mapping from units to values, and a session's currval. It never reads the catalog
// (descriptors are passed in) and never talks to the volume itself: the node gives
// it a Fetch.
//
// Open allocator.go first, then session.go.
package sequence
