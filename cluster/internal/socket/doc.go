// Package socket tracks every network connection to a node: the bytes that
// went out and came in, and the means to end them all at once.
//
// It owns the Conn, which counts bytes and so is the flush record by which
// outcomes are judged, and the Set of all Conns and dials of one purpose to one
// node, which can refuse new ones and cut the rest. It never speaks the
// protocol and never decides when to cut. Open socket.go first.
package socket
