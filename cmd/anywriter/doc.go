// Command anywriter shows and serves the simulated cluster.
//
//	anywriter demo    a bank on a cluster whose nodes are killed, frozen and cut off
//	anywriter sim     a cluster on loopback ports, for psql and your own programs
//
// It owns flags, output and exit codes, and nothing else: the cluster is
// simnode's, the driver is driver's, the bank and its oracle are sqltest's. Open
// main.go first; demo.go and sim.go are the commands.
package main
