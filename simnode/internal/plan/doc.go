// Package plan chooses how a statement finds the rows of its table: by points or
// a range of the primary key or another index, or by a scan of everything, and
// whether that yields them in the order that was asked for.
//
// It owns the choice only: a Path names an index and the expressions of its
// bounds; package exec evaluates them and reads. The choice is never needed for a
// correct answer, since the whole WHERE is checked on every row that comes out.
// It is a pure function of the analysed statement and the table's descriptor.
//
// Open path.go first; match.go finds the conditions that an index can use.
package plan
