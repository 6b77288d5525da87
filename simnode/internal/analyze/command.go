package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Statement is an analysed statement.
type Statement struct {
	// Command is what to do.
	Command Command
	// Params are the types of the parameters, in order, all settled.
	Params []types.OID
	// Tables are the tables that the statement uses, as they stood.
	Tables []*catalog.Table
	// Classes are the OIDs of relations of the database that it only names, by
	// constants of type regclass.
	Classes []uint32
	// Slots is how many held values an evaluation needs (see Held).
	Slots int
}

// Command is *Select, *Insert, *Update, *Delete, *CreateTable, *DropTable,
// *Truncate, *CreateSchema or *DropSchema.
type Command interface{ command() }

// OutputColumn describes one column of a result, as RowDescription needs it.
type OutputColumn struct {
	Name     string
	Type     types.OID
	TypMod   int32
	TableOID uint32 // 0 if the column is not a table's
	Attr     int16  // number of the column in its table, from 1
}

// Source is where a query's rows come from: exactly one field is set, or none for
// a query without FROM (one empty row).
type Source struct {
	Table  *catalog.Table
	Series *Func    // generate_series
	Values [][]Expr // rows of equal length
}

// Aggregate is one aggregate call of a query. Arg is nil for count(*).
type Aggregate struct {
	Agg *builtin.Aggregate
	Arg Expr
}

// SortKey orders by an output of Select.Targets.
type SortKey struct {
	Target     int // position in Select.Targets
	Desc       bool
	NullsFirst bool
}

// Select is a query. Targets may be longer than Columns: the rest are sort keys
// that the client doesn't see.
type Select struct {
	Columns    []OutputColumn
	Targets    []Expr
	From       Source
	Where      Expr
	Aggregates []Aggregate
	Grouped    bool // aggregates over the whole input: exactly one row
	Sort       []SortKey
	Limit      Expr // int8
	Offset     Expr // int8
	Lock       ast.LockWait
}

// Insert is INSERT. One of Rows and Query is set. The rows of Query pass through
// Project, which like each of Rows has an expression for every column of the
// table (reading Query's row as Columns).
type Insert struct {
	Table     *catalog.Table
	Rows      [][]Expr
	Query     *Select
	Project   []Expr
	Conflict  *Conflict
	Columns   []OutputColumn // nil without RETURNING
	Returning []Expr
}

// Conflict is ON CONFLICT. Arbiters are positions in Table.Indexes; nil means any
// unique index.
type Conflict struct {
	Arbiters []int
	Update   bool
	Set      []SetColumn
	Where    Expr
}

// SetColumn assigns to one column.
type SetColumn struct {
	Column int
	Value  Expr
}

// Update is UPDATE.
type Update struct {
	Table     *catalog.Table
	Set       []SetColumn
	Where     Expr
	Columns   []OutputColumn
	Returning []Expr
}

// Delete is DELETE.
type Delete struct {
	Table     *catalog.Table
	Where     Expr
	Columns   []OutputColumn
	Returning []Expr
}

// CreateTable is CREATE TABLE. Its column types and defaults are checked; OIDs and
// the names of constraints without one are chosen when it runs.
type CreateTable struct {
	Schema, Name string
	IfNotExists  bool
	Columns      []catalog.Column // Serial unset
	Serial       []bool           // which columns take a sequence
	Keys         []KeyDef
}

// KeyDef is a primary key or unique constraint to be made.
type KeyDef struct {
	Name    string // "" to be chosen
	Primary bool
	Columns []int
}

// DropTable is DROP TABLE.
type DropTable struct{ *ast.DropTable }

// Truncate is TRUNCATE.
type Truncate struct{ Tables []*catalog.Table }

// CreateSchema is CREATE SCHEMA.
type CreateSchema struct{ *ast.CreateSchema }

// DropSchema is DROP SCHEMA.
type DropSchema struct{ *ast.DropSchema }

func (*Select) command()       {}
func (*Insert) command()       {}
func (*Update) command()       {}
func (*Delete) command()       {}
func (*CreateTable) command()  {}
func (*DropTable) command()    {}
func (*Truncate) command()     {}
func (*CreateSchema) command() {}
func (*DropSchema) command()   {}

// Expressions gives the expressions of a command in the order in which PostgreSQL's
// planner looks at them. Some may be nil.
func Expressions(c Command) []Expr {
	var out []Expr
	switch c := c.(type) {
	case *Select:
		out = append(out, c.Targets...)
		for _, row := range c.From.Values {
			out = append(out, row...)
		}
		if c.From.Series != nil {
			out = append(out, c.From.Series.Args...)
		}
		for _, a := range c.Aggregates {
			out = append(out, a.Arg)
		}
		out = append(out, c.Where, c.Offset, c.Limit)
	case *Insert:
		for _, row := range c.Rows {
			out = append(out, row...)
		}
		if c.Query != nil {
			out = append(append(out, Expressions(c.Query)...), c.Project...)
		}
		out = append(out, c.Returning...)
		if c.Conflict != nil {
			out = append(append(out, setValues(c.Conflict.Set)...), c.Conflict.Where)
		}
	case *Update:
		out = append(append(append(out, setValues(c.Set)...), c.Returning...), c.Where)
	case *Delete:
		out = append(append(out, c.Returning...), c.Where)
	}
	return out
}

func setValues(set []SetColumn) []Expr {
	out := make([]Expr, len(set))
	for i, s := range set {
		out[i] = s.Value
	}
	return out
}
