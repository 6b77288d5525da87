// Package lock is the lock table of one node: transactions that run there wait for
// each other's rows and unique keys in it, first come, first served.
//
// It owns who holds and who waits for a key, and finds deadlocks the moment a wait
// would close a cycle. It knows nothing of rows, visibility or other nodes:
// conflicts with remote transactions are certification's. No mutex is held while
// a transaction waits (it waits on a channel), so it works inside
// testing/synctest, and it has no clock: a lock timeout is the caller's context.
//
// Open manager.go first, then owner.go and deadlock.go.
package lock
