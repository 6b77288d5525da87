package stmtclass

//go:generate go run ./gen -out procs_gen.go

// Class says what a text may do. The zero value is Unknown.
type Class uint8

const (
	// Unknown is the zero value; Classify never returns it.
	Unknown Class = iota
	// Empty holds no command at all: only spaces, comments and semicolons.
	Empty
	// Read is one command that reads and changes nothing: SELECT, VALUES, TABLE,
	// SHOW, or WITH over these, without row locks, INTO, and calls of functions
	// that aren't known to be harmless. It may be run again on any node.
	Read
	// Write is everything else, every text of several commands, and every text
	// that the lexer doesn't understand.
	Write
	// Session is one command about the session or its cursors: SET, RESET,
	// LISTEN, PREPARE, DEALLOCATE, DECLARE, FETCH, DISCARD …
	Session
	// Transaction is one command that controls a transaction: BEGIN, COMMIT,
	// SAVEPOINT … Info.Control says which.
	Transaction
)

// String returns the name of c.
func (c Class) String() string {
	switch c {
	case Empty:
		return "Empty"
	case Read:
		return "Read"
	case Write:
		return "Write"
	case Session:
		return "Session"
	case Transaction:
		return "Transaction"
	default:
		return "Unknown"
	}
}

// Control says which transaction command a text is. The zero value,
// ControlNone, is a text that is none.
type Control uint8

const (
	// ControlNone is no transaction command.
	ControlNone Control = iota
	// ControlBegin is BEGIN or START TRANSACTION.
	ControlBegin
	// ControlCommit is COMMIT or END.
	ControlCommit
	// ControlRollback is ROLLBACK or ABORT of the whole transaction.
	ControlRollback
	// ControlSavepoint is SAVEPOINT.
	ControlSavepoint
	// ControlRelease is RELEASE [SAVEPOINT]. It is never a commit.
	ControlRelease
	// ControlRollbackTo is ROLLBACK TO [SAVEPOINT].
	ControlRollbackTo
	// ControlPrepare is PREPARE TRANSACTION.
	ControlPrepare
	// ControlPrepared is COMMIT PREPARED or ROLLBACK PREPARED, which act on
	// another transaction than the session's.
	ControlPrepared
	// ControlSet is SET TRANSACTION.
	ControlSet
)

// String returns the name of c.
func (c Control) String() string {
	names := [...]string{
		"None", "Begin", "Commit", "Rollback", "Savepoint", "Release", "RollbackTo",
		"Prepare", "Prepared", "Set",
	}
	if int(c) < len(names) {
		return names[c]
	}
	return "None"
}

// Dirt is a set of reasons for which the server session may differ from a fresh
// one after a text ran. The zero value is none.
type Dirt uint16

const (
	// DirtSetting: SET (not SET LOCAL, not SET TRANSACTION), SET SESSION
	// AUTHORIZATION, SET ROLE, or a call of set_config.
	DirtSetting Dirt = 1 << iota
	// DirtListen: LISTEN.
	DirtListen
	// DirtPrepare: PREPARE.
	DirtPrepare
	// DirtCursor: DECLARE.
	DirtCursor
	// DirtTemp: a temporary object, or SELECT … INTO.
	DirtTemp
	// DirtAdvisory: a call that takes a session-level advisory lock.
	DirtAdvisory
	// DirtLoad: LOAD.
	DirtLoad
	// DirtDiscard: DISCARD or DEALLOCATE: prepared statements may be gone that a
	// cache believes in.
	DirtDiscard
	// DirtSequence: a call of nextval or setval, which set currval and lastval.
	DirtSequence
	// DirtUnknownCall: a call of a function that isn't built in, CALL or DO;
	// counts only where session_reset is strict.
	DirtUnknownCall
)

// Always holds the reasons that count whatever session_reset says, except off.
// currval needs no reset between users of different checkouts as long as they
// don't ask for it, and every insert into a serial column sets it, so
// DirtSequence counts only where session_reset is strict.
const Always = DirtSetting | DirtListen | DirtPrepare | DirtCursor | DirtTemp | DirtAdvisory | DirtLoad | DirtDiscard

// Strict holds the reasons that count where session_reset is strict.
const Strict = Always | DirtSequence | DirtUnknownCall

// String lists the reasons of d, joined with "+".
func (d Dirt) String() string {
	names := [...]string{
		"setting", "listen", "prepare", "cursor", "temp", "advisory", "load", "discard",
		"sequence", "unknown call",
	}
	out := ""
	for i, name := range names {
		if d&(1<<i) == 0 {
			continue
		}
		if out != "" {
			out += "+"
		}
		out += name
	}
	if out == "" {
		return "clean"
	}
	return out
}

// Info is what Classify found out. It is a plain value of a few bytes, made to
// be cached by text.
type Info struct {
	// Class says what the text may do as a whole.
	Class Class
	// Control says which transaction command it is, if it is one.
	Control Control
	// Dirt says why the session may be changed afterwards.
	Dirt Dirt
	// Commands counts the commands between semicolons; empty ones don't count.
	Commands int
	// ControlsTx is true if any of the commands controls a transaction.
	ControlsTx bool
	// EndsTx is true if any of the commands ends the transaction that it finds:
	// COMMIT, ROLLBACK, PREPARE TRANSACTION.
	EndsTx bool
	// Procedural is true if the last command is CALL or DO: outside a transaction
	// its body may commit, and fail afterwards.
	Procedural bool
	// InSteps is true if the last command is one that the server carries out in
	// several transactions of its own, such as VACUUM or CREATE INDEX CONCURRENTLY:
	// what it had done before it failed stands.
	InSteps bool
	// SetsReadOnly is true if the text may make a transaction read-only, or take
	// that back, so that only the server knows whether it is: SET TRANSACTION READ
	// ONLY, and everything that has the name of such a setting in it. It is also
	// true of some texts that do nothing of the kind.
	SetsReadOnly bool
	// Changes is true if the text itself shows a change of data: INSERT, UPDATE,
	// DELETE, MERGE or INTO stands in it, whatever its functions do.
	Changes bool
	// Copy is true if any of the commands is COPY.
	Copy bool
	// CopyIn is true if any of the commands is COPY … FROM STDIN: after it the
	// server waits for data.
	CopyIn bool
	// DML is true if the text is one SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE
	// or MERGE, with or without WITH: it runs inside the transaction that it
	// finds and can't end it, so other commands can be given the same fate.
	DML bool
	// Why says what the class was decided by; Word returns the word that it
	// refers to.
	Why                Why
	wordStart, wordEnd uint32
	// Malformed is true if the text ends inside a quote or comment, or holds a
	// NUL. The server will refuse it; it is classed as a Write.
	Malformed bool
}

// Dirties reports whether the session must be reset after the text ran.
func (i Info) Dirties(strict bool) bool {
	if strict {
		return i.Dirt&Strict != 0
	}
	return i.Dirt&Always != 0
}
