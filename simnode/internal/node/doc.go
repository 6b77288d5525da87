// Package node is one node of the simulated cluster: the pure machines of the
// protocol wired together, and the shell that gives them messages, time and
// sessions.
//
// It owns one goroutine, the core loop, which alone touches the core; sessions
// talk to it by commands and read published values without it. It never reads
// another node's memory: everything crosses the fabric as encoded bytes. It knows
// no SQL (session does) and no storage node (segment does).
//
// Open core.go for what a node decides (commit.go, apply.go, fence.go follow from
// it) and node.go for the shell around it.
package node
