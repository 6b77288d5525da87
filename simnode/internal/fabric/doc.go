// Package fabric is the network of the simulated cluster: it joins clients,
// nodes, the volume's head and its storage nodes, and it is where faults happen.
//
// It owns addresses, links (latency, jitter, loss, black hole), message delivery
// between attached addresses, in-memory connections and listeners, and the
// wrapping of real TCP connections so that the same faults reach them. It never
// looks into what it carries and knows nothing of nodes, SQL or the log.
//
// Everything here blocks only on channels, so a cluster on a fabric runs in
// testing/synctest's virtual time. Open fabric.go first, then faults.go;
// inbox.go delivers messages, pair.go and conn.go are the connections.
package fabric
