package sqlstate

import (
	"slices"
	"strings"
)

// row is one line of the policy table. The first row that matches decides.
type row struct {
	codes    []string // exact codes, or a class of two characters; none matches every code
	phase    Phase    // PhaseUnknown matches every phase
	fatal    fatality
	when     func(Facts) bool // nil matches always
	verdict  Verdict
	document string // the line of the documentation that this row implements
}

// fatality restricts a row to errors that end, or don't end, the session.
type fatality uint8

const (
	anySeverity fatality = iota
	onlyError
	onlyFatal
)

// policy returns the table, most specific rows first. It is a function, not a
// variable, so that nothing can change it; the rows are built on the error path
// only.
func policy() []row {
	return slices.Concat(connectRows(), transactionRows(), nodeRows(), planRows(), otherRows())
}

// connectRows holds what is special while a session is being opened.
func connectRows() []row {
	return []row{
		{
			codes: []string{"57P03", "57P01", "57P02", "08001", "08004"}, phase: PhaseConnect,
			verdict:  Verdict{Kind: NotReady, Effect: NothingSent, Node: NodeNotReady, Retry: RetryOtherNode, DiscardSession: true},
			document: "57P03, 08001, 08004 at connect: not sent; other node",
		},
		{
			codes: []string{"53300"}, phase: PhaseConnect,
			verdict:  Verdict{Kind: NodeFull, Effect: NothingSent, Node: NodeCrowded, Retry: RetryOtherNode, DiscardSession: true},
			document: "53300 at connect: node full: other node, throttle, not down",
		},
		{
			codes: []string{"28"}, phase: PhaseConnect,
			verdict:  Verdict{Kind: Auth, Effect: NothingSent, Retry: RetryFreshCredential, DiscardSession: true},
			document: "28xxx: refresh credential once, then report; not node-down",
		},
		{
			codes: []string{"25006"}, phase: PhaseConnect,
			verdict:  Verdict{Kind: NotWritable, Effect: NothingSent, Node: NodeReadOnly, Retry: RetryOtherNode, DiscardSession: true},
			document: "25006: node not writable: leave the write set, probe",
		},
		{
			codes: []string{"", "08", "XXUUU", "58", "XX"}, phase: PhaseConnect,
			verdict:  Verdict{Kind: Connection, Effect: NothingSent, Node: NodeSuspect, Retry: RetryOtherNode, DiscardSession: true},
			document: "other 08xxx, XXUUU, EOF, RST, timeout: by what had been flushed (at connect: nothing)",
		},
		{
			phase:    PhaseConnect,
			verdict:  Verdict{Kind: Unclassified, Effect: NothingSent, DiscardSession: true},
			document: "any other error at connect (unknown database, bad option): reported, nothing was sent",
		},
	}
}

// transactionRows holds what the server says about the transaction itself.
func transactionRows() []row {
	return []row{
		{
			codes: []string{"40001", "40P01"}, fatal: onlyError,
			verdict:  Verdict{Kind: Conflict, Effect: Undone, Retry: RetryAnyNode},
			document: "40001, 40P01: definite abort, conflict; node healthy",
		},
		{
			when: func(f Facts) bool { return f.Dialect.isConflict(f) }, fatal: onlyError,
			verdict:  Verdict{Kind: Conflict, Effect: Undone, Retry: RetryAnyNode},
			document: "the dialect's own codes (DSQL's OC000/OC001 in its message): definite abort, conflict",
		},
		{
			codes:    []string{"40003", "08007"},
			verdict:  Verdict{Kind: InDoubt, Effect: Doubtful, DiscardSession: true},
			document: "40003, 08007: outcome unknown",
		},
	}
}

// nodeRows holds what a session in use says about its node or connection.
func nodeRows() []row {
	return []row{
		{
			codes:    []string{"57P01", "57P02"},
			verdict:  Verdict{Kind: Draining, Effect: ByFlush, Node: NodeGoing, Retry: RetryOtherNode, DiscardSession: true},
			document: "57P01, 57P02: node draining: reads retry, writes by flush",
		},
		{
			codes:    []string{"57P03"}, // a node without a lease answers so to a statement or probe
			fatal:    onlyError,
			verdict:  Verdict{Kind: NotReady, Effect: Undone, Node: NodeNotReady, Retry: RetryOtherNode},
			document: "57P03 with severity ERROR: the node ran nothing of the statement",
		},
		{
			codes: []string{"57P03"}, fatal: onlyFatal,
			verdict:  Verdict{Kind: NotReady, Effect: ByFlush, Node: NodeNotReady, Retry: RetryOtherNode, DiscardSession: true},
			document: "57P03 that ends an open session: by what had been flushed",
		},
		{
			// A server sends these while the session is idle, before it has read
			// what was sent to it, and not while anything runs.
			codes: []string{"57P05", "25P03"}, fatal: onlyFatal,
			verdict:  Verdict{Kind: SessionEnded, Effect: Undone, Retry: RetryFreshSession, DiscardSession: true},
			document: "57P05, 25P03: session ended while idle: nothing was run; fresh connection, same node",
		},
		{
			codes:    []string{"57P05", "25P03", "25P04"},
			verdict:  Verdict{Kind: SessionEnded, Effect: ByFlush, Retry: RetryFreshSession, DiscardSession: true},
			document: "57P05, 25P03, 25P04: session ended: fresh connection, same node",
		},
		{
			codes: []string{"08P01"}, fatal: onlyError, when: func(f Facts) bool { return f.Open },
			verdict:  Verdict{Kind: Unclassified, Effect: Undone},
			document: "08P01 with severity ERROR in a session that goes on: the statement's own error (a wrong number of parameters)",
		},
		{
			// A connection that is lost answers nothing more; a pooler that has lost
			// its own may, but names no routine of a server's.
			codes: []string{"08"}, fatal: onlyError, when: func(f Facts) bool { return isRaised(f) && f.Block },
			verdict:  Verdict{Kind: Unclassified, Effect: Undone},
			document: "08xxx that a server has raised with severity ERROR (a function, a foreign server) in a block that is still open: the statement's own error",
		},
		{
			// Foreign servers commit before the local one: the answer that is missing
			// may be that to their COMMIT.
			codes: []string{"08"}, fatal: onlyError, when: isRaised,
			verdict:  Verdict{Kind: Foreign, Effect: Doubtful},
			document: "08xxx that a server has raised with severity ERROR where a commit may have been under way: undone here, unknown on foreign servers",
		},
		{
			codes: []string{"", "08", "XXUUU"},
			verdict: Verdict{
				Kind: Connection, Effect: ByFlush, Node: NodeSuspect, Retry: RetryOtherNode, DiscardSession: true,
			},
			document: "other 08xxx, XXUUU, EOF, RST, timeout: by what had been flushed",
		},
		{
			codes: []string{"25006"}, fatal: onlyError,
			verdict:  Verdict{Kind: NotWritable, Effect: Undone, Node: NodeReadOnly, Retry: RetryOtherNode},
			document: "25006: node not writable: leave the write set, probe",
		},
	}
}

// planRows holds prepared statements that no longer fit.
func planRows() []row {
	return []row{
		{
			codes: []string{"26000"}, fatal: onlyError, when: canReplan,
			verdict:  Verdict{Kind: StalePlan, Effect: Undone, Retry: RetrySameSession, DropStatement: true},
			document: "26000 outside a transaction or first in it: drop the statement, once more on the same node",
		},
		{
			codes: []string{"0A000"}, fatal: onlyError, when: func(f Facts) bool { return isStalePlan(f) && canReplan(f) },
			verdict:  Verdict{Kind: StalePlan, Effect: Undone, Retry: RetrySameSession, DropStatement: true},
			document: "0A000 'cached plan' outside a transaction or first in it: drop the statement, once more",
		},
		{
			codes: []string{"26000"}, fatal: onlyError,
			verdict:  Verdict{Kind: StalePlan, Effect: Undone, DropStatement: true},
			document: "26000 later in a transaction: drop the statement, report",
		},
		{
			codes: []string{"0A000"}, fatal: onlyError, when: isStalePlan,
			verdict:  Verdict{Kind: StalePlan, Effect: Undone, DropStatement: true},
			document: "0A000 'cached plan' later in a transaction: drop the statement, report",
		},
	}
}

// otherRows holds the rest; its last rows match every error.
func otherRows() []row {
	return []row{
		{
			codes: []string{"25P02"}, fatal: onlyError,
			verdict:  Verdict{Kind: AbortedTx, Effect: Undone},
			document: "25P02: never retried, first error reported",
		},
		{
			codes: []string{"53100", "53200", "53400"}, fatal: onlyError,
			verdict:  Verdict{Kind: Resource, Effect: Undone},
			document: "53100, 53200, 53400: the statement's own error",
		},
		{
			codes: []string{"58", "XX"}, fatal: onlyError, when: func(f Facts) bool { return f.Dialect.faultInDoubt(f) },
			verdict:  Verdict{Kind: ServerFault, Effect: Doubtful},
			document: "58xxx, XX000 with severity ERROR at a commit, where the profile says so: unknown",
		},
		{
			codes: []string{"58", "XX"}, fatal: onlyError,
			verdict:  Verdict{Kind: ServerFault, Effect: Undone},
			document: "58xxx, XX000 with severity ERROR: definite abort",
		},
		{
			codes: []string{"58", "XX"}, fatal: onlyFatal,
			verdict: Verdict{
				Kind: ServerFault, Effect: ByFlush, Node: NodeSuspect, Retry: RetryOtherNode, DiscardSession: true,
			},
			document: "58xxx, XX000 FATAL or PANIC after flush: unknown",
		},
		{
			codes: []string{"57014"}, fatal: onlyError, when: func(f Facts) bool { return f.OwnCancel },
			verdict:  Verdict{Kind: Canceled, Effect: Undone},
			document: "57014 by our own cancel: never counts against a node",
		},
		{
			codes: []string{"28"}, fatal: onlyFatal,
			verdict:  Verdict{Kind: Auth, Effect: ByFlush, Retry: RetryFreshCredential, DiscardSession: true},
			document: "28xxx: refresh credential once, then report; not node-down",
		},
		{
			fatal:    onlyFatal,
			verdict:  Verdict{Kind: Fatal, Effect: ByFlush, Retry: RetryFreshSession, DiscardSession: true},
			document: "any other FATAL or PANIC: the session is gone, by what had been flushed",
		},
		{
			verdict:  Verdict{Kind: Unclassified, Effect: Undone},
			document: "any other ERROR: the user's own",
		},
	}
}

// Classify returns the policy for one error. It is pure and safe for
// concurrent use.
func Classify(f Facts) Verdict {
	for _, r := range policy() {
		if r.matches(f) {
			return r.verdict
		}
	}
	return Verdict{Kind: Unclassified, Effect: ByFlush}
}

// CommitRolledBackVerdict is the policy for COMMIT answered with the tag
// ROLLBACK, which isn't an error of the server: the transaction had failed
// before, and is undone.
func CommitRolledBackVerdict() Verdict {
	return Verdict{Kind: CommitRolledBack, Effect: Undone}
}

func (r row) matches(f Facts) bool {
	if r.phase != PhaseUnknown && r.phase != f.Phase {
		return false
	}
	if r.fatal == onlyFatal && !endsSession(f.Severity) || r.fatal == onlyError && endsSession(f.Severity) {
		return false
	}
	return matchesCode(r.codes, f.Code) && (r.when == nil || r.when(f))
}

// matchesCode reports whether code is one of codes or falls in one of their
// two-character classes.
func matchesCode(codes []string, code string) bool {
	if len(codes) == 0 {
		return true
	}
	for _, c := range codes {
		if c == code || len(c) == 2 && len(code) == 5 && code[:2] == c {
			return true
		}
	}
	return false
}

// endsSession reports whether the server closes the connection after an error
// of this severity.
func endsSession(severity string) bool {
	return severity == "FATAL" || severity == "PANIC"
}

// isRaised reports whether a database server has raised the error itself and
// outlived it, and takes everything back on an error.
func isRaised(f Facts) bool { return f.Raised && f.Open && !f.Dialect.faultInDoubt(f) }

// canReplan reports whether the statement can be run once more without losing
// work: outside a transaction, or as its first statement.
func canReplan(f Facts) bool { return !f.InTx || f.FirstInTx }

// isStalePlan tells the 0A000 of a changed result type from every other
// "feature not supported". PostgreSQL gives it no code of its own.
func isStalePlan(f Facts) bool { return strings.HasPrefix(f.Message, "cached plan") }
