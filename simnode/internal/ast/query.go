package ast

// TableName names a table as written. Schema is "" if none was given.
type TableName struct {
	At
	Schema, Name string
}

// Select is SELECT, or VALUES when Values is not nil.
type Select struct {
	Targets []Target
	Values  [][]Expr
	From    *From // nil: no FROM clause
	Where   Expr
	OrderBy []SortBy
	Limit   Expr // nil: no LIMIT
	Offset  Expr
	Lock    *Lock
}

// Target is one entry of a select list or RETURNING list.
type Target struct {
	Expr Expr   // *Star for * and t.*
	Name string // alias, "" if none
}

// From is the one thing a query reads from: exactly one of Table, Func and
// Values is set.
type From struct {
	Table   *TableName
	Func    *Func
	Values  [][]Expr // FROM (VALUES …) alias
	Alias   string
	Columns []string // column aliases
}

// SortBy is one key of ORDER BY.
type SortBy struct {
	Expr       Expr
	Desc       bool
	NullsFirst bool // already worked out from NULLS FIRST/LAST and the direction
}

// Lock is FOR UPDATE.
type Lock struct {
	Wait LockWait
	Of   []TableName
}

// LockWait says what FOR UPDATE does about a row that another transaction holds.
type LockWait uint8

// The waits.
const (
	WaitUnknown LockWait = iota
	WaitBlock
	WaitSkip   // SKIP LOCKED
	WaitNoWait // NOWAIT
)

// Insert is INSERT. Source nil means DEFAULT VALUES.
type Insert struct {
	Table     TableName
	Alias     string
	Columns   []ColumnName // nil: all, in order
	Source    *Select
	Conflict  *OnConflict
	Returning []Target
}

// ColumnName is a column as written in a list of columns.
type ColumnName struct {
	At
	Name string
	// Field is set if a subscript or field follows, as in t.a.
	Field bool
}

// OnConflict is ON CONFLICT. Without Columns and Constraint any unique index
// counts. Set nil means DO NOTHING.
type OnConflict struct {
	At
	Columns    []ColumnName
	Constraint string
	Update     bool
	Set        []Assignment
	Where      Expr
}

// Assignment is one column of SET.
type Assignment struct {
	Column ColumnName
	Value  Expr // *Default for DEFAULT
}

// Update is UPDATE.
type Update struct {
	Table     TableName
	Alias     string
	Set       []Assignment
	Where     Expr
	Returning []Target
}

// Delete is DELETE.
type Delete struct {
	Table     TableName
	Alias     string
	Where     Expr
	Returning []Target
}
