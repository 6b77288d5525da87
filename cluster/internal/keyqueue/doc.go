// Package keyqueue lets one operation at a time work on a key, in the order in
// which they came. Two transactions that change the same row can't both win; the
// one that waits here for the other loses a moment, the one that doesn't loses
// everything it has done.
//
// It owns the queues, one for each key that is in use and none for any other,
// and what is counted of them. It starts no goroutine, knows no server and no
// node, and never does two things at once for a caller: who waits is woken by
// whoever leaves. Open keyqueue.go.
package keyqueue
