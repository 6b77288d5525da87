package builtin

import (
	"iter"
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Volatility is pg_proc.provolatile: whether a call may give another result next
// time.
type Volatility uint8

// The volatilities. The zero value is Volatile, which promises nothing.
const (
	Volatile  Volatility = iota // may change within a statement
	Stable                      // the same within a statement
	Immutable                   // always the same for the same arguments
)

// Operator is a row of pg_operator. It is immutable.
type Operator struct {
	Name string
	// Left is 0 for a prefix operator.
	Left, Right, Result types.OID
	Volatility          Volatility
	// Strict operators give NULL for a NULL operand, and Fn is not called then.
	// Every operator here is strict.
	Strict bool
	// Fn computes the result. l is nil for a prefix operator. Errors are
	// *sqlerr.Error. It is safe for concurrent use.
	Fn func(c *Context, l, r types.Datum) (types.Datum, error)
}

// Function is a row of pg_proc. It is immutable.
type Function struct {
	Name       string
	Args       []types.OID
	Result     types.OID
	Volatility Volatility
	// Strict functions give NULL for a NULL argument, and Fn is not called then.
	Strict bool
	// Variadic functions repeat their last argument any number of times.
	Variadic bool
	// SetReturning functions have Series instead of Fn and stand in FROM.
	SetReturning bool
	// Fn computes the result. Errors are *sqlerr.Error or the context's. It is
	// safe for concurrent use.
	Fn func(c *Context, args []types.Datum) (types.Datum, error)
	// Series gives the rows of a set-returning function.
	Series func(c *Context, args []types.Datum) (iter.Seq[types.Datum], error)
}

// Aggregate is a row of pg_aggregate. It is immutable.
type Aggregate struct {
	Name string
	// Arg is 0 for count(*).
	Arg, Result types.OID
	// New gives the state of one group.
	New func() Accumulator
}

// Accumulator is the running state of an aggregate over one group. It belongs to
// one goroutine.
type Accumulator interface {
	// Add takes one row's argument. NULLs are passed too; all but count(*) ignore
	// them. For count(*) the argument is not looked at.
	Add(d types.Datum) error
	// Result gives the aggregate of what was added so far.
	Result() (types.Datum, error)
}

// Registry holds the tables by name. It is immutable and safe for concurrent
// use; make it with New.
type Registry struct {
	operators  map[string][]*Operator
	functions  map[string][]*Function
	aggregates map[string][]*Aggregate
}

// New builds the tables.
func New() *Registry {
	r := &Registry{operators: map[string][]*Operator{}, functions: map[string][]*Function{}, aggregates: map[string][]*Aggregate{}}
	for _, family := range []func(*Registry){
		addComparison, addIntegers, addFloats, addNumerics, addMath, addText, addTextFunctions,
		addBytes, addDates, addClock, addSystem, addSequences, addSeries, addAggregates,
	} {
		family(r)
	}
	return r
}

var shared = sync.OnceValue(New)

// Operators lists the operators of that name, such as "+"; nil if there are none.
// The result must not be changed.
func Operators(name string) []*Operator { return shared().operators[name] }

// Functions lists the functions of that name, in lower case; nil if there are
// none. The result must not be changed.
func Functions(name string) []*Function { return shared().functions[name] }

// Aggregates lists the aggregates of that name; nil if there are none. The result
// must not be changed.
func Aggregates(name string) []*Aggregate { return shared().aggregates[name] }

// Names lists the names of all operators, and of all functions and aggregates.
func Names() (operators, functions []string) {
	r := shared()
	for name := range r.operators {
		operators = append(operators, name)
	}
	for name := range r.functions {
		functions = append(functions, name)
	}
	for name := range r.aggregates {
		functions = append(functions, name)
	}
	return operators, functions
}

func (r *Registry) operator(name string, left, right, result types.OID, fn func(c *Context, l, r types.Datum) (types.Datum, error)) {
	r.operators[name] = append(r.operators[name], &Operator{
		Name: name, Left: left, Right: right, Result: result, Volatility: Immutable, Strict: true, Fn: fn,
	})
}

// pure adds an immutable, strict function.
func (r *Registry) pure(name string, args []types.OID, result types.OID, fn func(c *Context, args []types.Datum) (types.Datum, error)) {
	r.function(Function{Name: name, Args: args, Result: result, Volatility: Immutable, Strict: true, Fn: fn})
}

func (r *Registry) function(f Function) {
	r.functions[f.Name] = append(r.functions[f.Name], &f)
}

func (r *Registry) aggregate(name string, arg, result types.OID, fresh func() Accumulator) {
	r.aggregates[name] = append(r.aggregates[name], &Aggregate{Name: name, Arg: arg, Result: result, New: fresh})
}
