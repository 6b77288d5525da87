// Package cluster is the client's side of a cluster in which every node takes
// writes: a pool of server connections to each node, their health, the choice
// of a node for each operation, and the retry of what is certain to be safe.
//
// It owns nodes and their sockets, the View that operations pick from, leases
// of server connections, and the Session that runs statements on one. It never
// returns driver.ErrBadConn, never believes pgx's SafeToRetry, and never runs
// a write twice that may have been committed: what was sent is known from its
// own count of the bytes on each socket. It doesn't know database/sql.
// Open session.go first, then acquire.go, exec.go and judge.go.
package cluster
