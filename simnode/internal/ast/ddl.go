package ast

// CreateTable is CREATE TABLE.
type CreateTable struct {
	Table       TableName
	IfNotExists bool
	Columns     []ColumnDef
	Constraints []Constraint // of the table, and those of columns, in the order written
}

// ColumnDef is one column of CREATE TABLE. Its PRIMARY KEY and UNIQUE stand in
// CreateTable.Constraints.
type ColumnDef struct {
	At
	Name    string
	Type    TypeName
	NotNull bool
	Null    bool // NULL was written
	Default Expr
}

// Constraint is PRIMARY KEY or UNIQUE.
type Constraint struct {
	At
	Name    string // "" if none was given
	Primary bool
	Columns []string
}

// DropTable is DROP TABLE. CASCADE and RESTRICT mean the same here, as nothing
// can depend on a table.
type DropTable struct {
	Tables   []TableName
	IfExists bool
}

// Truncate is TRUNCATE.
type Truncate struct{ Tables []TableName }

// CreateSchema is CREATE SCHEMA.
type CreateSchema struct {
	Name        string
	IfNotExists bool
}

// DropSchema is DROP SCHEMA.
type DropSchema struct {
	Names    []string
	IfExists bool
	Cascade  bool
}
