// Package ast is the syntax tree of the SQL that a simulated node understands:
// what the client wrote, before any name or type is looked up.
//
// It owns the node types and Format, which writes an expression back as SQL. It
// never resolves anything: a ColumnRef may name no column, a TypeName no type.
// It has no node for what the cluster does not carry out; package parse refuses
// that, so whoever walks a tree may treat every node here as meant.
//
// Trees are immutable once parse has returned them and may be shared between
// goroutines. Open statement.go first, then expr.go.
package ast
