// Package mvcc is one node's cache of the database and the transactions that run
// on it.
//
// A Store keeps, per row, the versions that live snapshots can still see, in
// memory, and takes committed records in LSN order (Apply). A Txn reads at a
// snapshot and its own writes, buffers what it writes, waits for other local
// transactions through package lock, and says in the end which keys it touched, how
// and since when (Proposal), for certification to judge.
//
// It never talks to another node, never decides a commit and has no clock. Open
// store.go and txn.go first; then apply.go, read.go, write.go and gc.go.
package mvcc
