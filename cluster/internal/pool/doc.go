// Package pool keeps the open connections to one node: who uses one, which are
// idle, and when each has served long enough.
//
// It owns their number, the queue for them, and the goroutines that open and
// close them. It knows nothing of what a connection is or whether it still works,
// and never reads the clock where one is taken or given back: that happens twice
// per statement. Open pool.go first, then take.go.
package pool
