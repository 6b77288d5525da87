// Package bundle sends several commands to a server in one flush and reads
// their answers one after the other.
//
// It owns the commands until they are sent and the first refusal among the
// answers. It never decides what travels together, what an error means or what
// is tried again. Open bundle.go.
package bundle
