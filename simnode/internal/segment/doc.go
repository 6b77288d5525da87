// Package segment runs the shared volume on the fabric: the head and six storage
// nodes in three AZs, each a thin shell around the state machine of package
// volume.
//
// It owns their goroutines, their clock and what a stopped storage node keeps,
// and it is the supervisor that tells the storage of exited processes. It decides
// nothing about the log: that is volume's. Nodes never import it; they know the
// volume's addresses and talk in encoded messages.
//
// Open volume.go first; head.go and storage.go are the two shells.
package segment
