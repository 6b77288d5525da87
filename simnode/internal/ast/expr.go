package ast

// At is a place in the query string: 1-based, in characters, 0 if unknown, as an
// ErrorResponse gives it.
type At int32

// Position returns the place.
func (a At) Position() int32 { return int32(a) }

// Expr is an expression.
type Expr interface {
	Position() int32
	expr()
}

// ConstKind says what a Const holds.
type ConstKind uint8

// The kinds of constants.
const (
	ConstUnknown ConstKind = iota
	ConstNull
	ConstInt    // digits that fit int4
	ConstNumber // any other number
	ConstString
	ConstBool // "t" or "f"
)

// Const is a literal.
type Const struct {
	At
	Kind ConstKind
	Text string
}

// Param is $N.
type Param struct {
	At
	N int
}

// ColumnRef is a column, perhaps qualified.
type ColumnRef struct {
	At
	Schema, Table, Name string
}

// Star is * or t.* in a list of targets.
type Star struct {
	At
	Schema, Table string
}

// Op is an operator call. Left is nil for a prefix operator.
type Op struct {
	At
	Name        string
	Left, Right Expr
}

// Logic is AND or OR over two or more arguments.
type Logic struct {
	At
	Or   bool
	Args []Expr
}

// Not is NOT.
type Not struct {
	At
	Arg Expr
}

// IsNull is IS NULL and IS NOT NULL.
type IsNull struct {
	At
	Arg Expr
	Not bool
}

// IsBool is IS [NOT] TRUE, FALSE and UNKNOWN.
type IsBool struct {
	At
	Arg  Expr
	Want string // "TRUE", "FALSE", "UNKNOWN"
	Not  bool
}

// In is IN with a list.
type In struct {
	At
	Arg  Expr
	List []Expr
	Not  bool
}

// Between is BETWEEN.
type Between struct {
	At
	Arg, Low, High Expr
	Not, Symmetric bool
}

// Distinct is IS [NOT] DISTINCT FROM.
type Distinct struct {
	At
	Left, Right Expr
	Not         bool
}

// NullIf is NULLIF.
type NullIf struct {
	At
	Left, Right Expr
}

// Coalesce is COALESCE.
type Coalesce struct {
	At
	Args []Expr
}

// Extreme is GREATEST or LEAST.
type Extreme struct {
	At
	Least bool
	Args  []Expr
}

// Case is CASE. Arg is nil in the searched form, Else if there is none.
type Case struct {
	At
	Arg   Expr
	Whens []When
	Else  Expr
}

// When is one branch of a Case.
type When struct {
	At
	Cond, Result Expr
}

// Func is a function call, or an aggregate's.
type Func struct {
	At
	Schema, Name string
	Args         []Expr
	Star         bool // count(*)
}

// Value is CURRENT_DATE and the other functions without parentheses. Name is in
// lower case.
type Value struct {
	At
	Name string
	// Precision is that of CURRENT_TIMESTAMP(n), -1 if none.
	Precision int32
}

// Cast is a cast, in any of its spellings.
type Cast struct {
	At
	Arg  Expr
	Type TypeName
}

// Default is DEFAULT in VALUES or SET.
type Default struct{ At }

// TypeName is a type as written.
type TypeName struct {
	At
	Schema, Name string // pg_catalog and the internal name for the grammar's own spellings
	Mods         []int32
}

func (*Const) expr()     {}
func (*Param) expr()     {}
func (*ColumnRef) expr() {}
func (*Star) expr()      {}
func (*Op) expr()        {}
func (*Logic) expr()     {}
func (*Not) expr()       {}
func (*IsNull) expr()    {}
func (*IsBool) expr()    {}
func (*In) expr()        {}
func (*Between) expr()   {}
func (*Distinct) expr()  {}
func (*NullIf) expr()    {}
func (*Coalesce) expr()  {}
func (*Extreme) expr()   {}
func (*Case) expr()      {}
func (*Func) expr()      {}
func (*Value) expr()     {}
func (*Cast) expr()      {}
func (*Default) expr()   {}
