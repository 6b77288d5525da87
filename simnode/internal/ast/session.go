package ast

// TransactionOp says what a Transaction does.
type TransactionOp uint8

// The operations.
const (
	OpUnknown TransactionOp = iota
	OpBegin
	OpStart // START TRANSACTION: as BEGIN, with its own command tag
	OpCommit
	OpRollback
	OpSavepoint
	OpRelease
	OpRollbackTo
)

// Transaction is BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their kin.
type Transaction struct {
	Op        TransactionOp
	Modes     TransactionModes // OpBegin, OpStart
	Savepoint string           // OpSavepoint, OpRelease, OpRollbackTo
	Chain     bool             // AND CHAIN
}

// TransactionModes are the characteristics of BEGIN and SET TRANSACTION.
type TransactionModes struct {
	// Isolation is "", "read uncommitted", "read committed", "repeatable read" or
	// "serializable".
	Isolation string
	// ReadOnly is nil when neither READ ONLY nor READ WRITE was given.
	ReadOnly *bool
	// Deferrable is nil when not given.
	Deferrable *bool
}

// SetScope says how long a Set lasts.
type SetScope uint8

// The scopes.
const (
	ScopeUnknown     SetScope = iota
	ScopeSession              // SET, SET SESSION
	ScopeLocal                // SET LOCAL
	ScopeTransaction          // SET TRANSACTION: Modes
	ScopeDefaults             // SET SESSION CHARACTERISTICS AS TRANSACTION: Modes
)

// Set is SET and RESET.
type Set struct {
	Scope   SetScope
	Name    string   // as written, folded to lower case unless quoted; "" for RESET ALL
	Values  []string // the values of the list, as text
	Default bool     // SET … TO DEFAULT
	Reset   bool     // RESET: as Default, with its own command tag
	Modes   TransactionModes
}

// Show is SHOW. Name is "all" for SHOW ALL.
type Show struct{ Name string }

// Prepare is PREPARE.
type Prepare struct {
	Name  string
	Types []TypeName
	Query Statement
}

// Execute is EXECUTE.
type Execute struct {
	Name string
	Args []Expr
}

// Deallocate is DEALLOCATE. Name "" means ALL.
type Deallocate struct{ Name string }

// Discard is DISCARD. Target is "ALL", "PLANS", "SEQUENCES" or "TEMP".
type Discard struct{ Target string }
