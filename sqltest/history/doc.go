// Package history records what clients asked of a database and what they were
// told: one Op for each operation, with the times of the call and the return.
//
// It owns the record and its order. It judges nothing (package check does) and
// knows no database. Times are distances from the start of the recording by
// package time's clock, so it works in testing/synctest.
//
// Open op.go first, then recorder.go.
package history
