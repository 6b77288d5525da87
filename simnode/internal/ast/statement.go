package ast

import "github.com/anywriter/anywriter/simnode/internal/sqlerr"

// Statement is one command of a query string.
type Statement struct {
	// Text is the command alone, without its semicolon.
	Text string
	// Offset is where Text begins in the query string, in bytes.
	Offset int
	// Kind says which type Node has.
	Kind Kind
	// Params is the highest parameter number that occurs, 0 if none.
	Params int
	// Node is the command itself, never nil.
	Node Node
}

// Node is the tree of one command: a pointer to one of the structs of this
// package, as Kind says.
type Node interface{ command() }

// Kind says what a statement does, so that a session can tell its own commands
// from the executor's without a type switch.
type Kind uint8

// The kinds. Those from KindTransaction on are carried out by the session; the
// executor never sees them.
const (
	KindUnknown      Kind = iota
	KindSelect            // *Select
	KindInsert            // *Insert
	KindUpdate            // *Update
	KindDelete            // *Delete
	KindCreateTable       // *CreateTable
	KindDropTable         // *DropTable
	KindTruncate          // *Truncate
	KindCreateSchema      // *CreateSchema
	KindDropSchema        // *DropSchema
	KindUnsupported       // *Unsupported: the executor answers with its error
	KindTransaction       // *Transaction
	KindSet               // *Set
	KindShow              // *Show
	KindPrepare           // *Prepare
	KindExecute           // *Execute
	KindDeallocate        // *Deallocate
	KindDiscard           // *Discard
)

// String gives the kind as a client would write the command.
func (k Kind) String() string {
	names := [...]string{
		"unknown", "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TABLE", "DROP TABLE",
		"TRUNCATE TABLE", "CREATE SCHEMA", "DROP SCHEMA", "unsupported", "transaction", "SET", "SHOW",
		"PREPARE", "EXECUTE", "DEALLOCATE", "DISCARD",
	}
	if int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// IsSession reports whether the session carries the statement out itself.
func (k Kind) IsSession() bool { return k >= KindTransaction }

// Unsupported stands for a command that is well formed but not carried out. It
// is a node and not an error of Parse, because PostgreSQL runs the commands that
// stand before it in the same query string.
type Unsupported struct {
	Err *sqlerr.Error // 0A000 with the feature's name
}

func (*Unsupported) command()  {}
func (*Select) command()       {}
func (*Insert) command()       {}
func (*Update) command()       {}
func (*Delete) command()       {}
func (*CreateTable) command()  {}
func (*DropTable) command()    {}
func (*Truncate) command()     {}
func (*CreateSchema) command() {}
func (*DropSchema) command()   {}
func (*Transaction) command()  {}
func (*Set) command()          {}
func (*Show) command()         {}
func (*Prepare) command()      {}
func (*Execute) command()      {}
func (*Deallocate) command()   {}
func (*Discard) command()      {}
