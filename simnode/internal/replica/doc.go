// Package replica brings the log's records into one node's cache strictly in LSN
// order (rule 9 of the protocol): it holds early records back until the gap before
// them closes, and says when to fetch the gap from the volume (rule 10).
//
// It owns the records waiting and the time of the next fetch. It doesn't interpret
// a record (the caller applies it), sends nothing, and knows no clock. It is handed
// durable records only (LSN ≤ VDL). Not safe for concurrent use; the node's core
// loop is its only caller.
//
// Open replica.go; there is no other file.
package replica
