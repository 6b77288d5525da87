package session

import "github.com/anywriter/anywriter/simnode/internal/sqlerr"

// block is where a session stands with its transaction, as PostgreSQL's xact.c
// has it. The zero value is not a legal state.
type block uint8

const (
	_ block = iota
	// blockIdle: no transaction.
	blockIdle
	// blockSingle: the transaction of one command, or of a pipeline up to Sync.
	blockSingle
	// blockSeries: the implicit transaction of several commands in one Query.
	blockSeries
	// blockOpen: BEGIN was given.
	blockOpen
	// blockFailed: a command failed after BEGIN.
	blockFailed
)

// String names the state in tests and logs.
func (b block) String() string {
	switch b {
	case blockIdle:
		return "idle"
	case blockSingle:
		return "single"
	case blockSeries:
		return "series"
	case blockOpen:
		return "open"
	case blockFailed:
		return "failed"
	default:
		return "unknown"
	}
}

// blockEvent is what happens to a block.
type blockEvent uint8

const (
	eventUnknown    blockEvent = iota
	eventCommand               // a command begins on its own
	eventSeries                // a command begins, one of several of a Query
	eventBegin                 // BEGIN
	eventCommit                // COMMIT
	eventRollback              // ROLLBACK
	eventSavepoint             // SAVEPOINT
	eventRelease               // RELEASE SAVEPOINT
	eventRollbackTo            // ROLLBACK TO SAVEPOINT
	eventError                 // a command failed
	eventEnd                   // the Query is over, or Sync
)

// String names the event in tests and logs.
func (e blockEvent) String() string {
	names := [...]string{"unknown", "command", "series", "begin", "commit", "rollback", "savepoint", "release", "rollback to", "error", "end"}
	if int(e) >= len(names) {
		return names[0]
	}
	return names[e]
}

// blockEffect is what the session must do to its transaction.
type blockEffect uint8

const (
	effectNone blockEffect = iota
	effectCommit
	effectRollback
)

// String names the effect in tests and logs.
func (e blockEffect) String() string {
	return [...]string{"none", "commit", "rollback"}[e]
}

var (
	errFailedBlock = sqlerr.Error{
		Severity: "ERROR", Code: "25P02",
		Message: "current transaction is aborted, commands ignored until end of transaction block",
	}
	warnNoBlock    = sqlerr.Error{Severity: "WARNING", Code: "25P01", Message: "there is no transaction in progress"}
	warnOpenAgain  = sqlerr.Error{Severity: "WARNING", Code: "25001", Message: "there is already a transaction in progress"}
	outsideMessage = "%s can only be used in transaction blocks"
)

// stepped is the outcome of one step. A warning and an error are copies that the
// caller may keep.
type stepped struct {
	next    block
	effect  blockEffect
	warning *sqlerr.Error
	err     *sqlerr.Error
}

// step moves a block. It is pure; with an error the block stays where it was, and
// the caller reports eventError next.
func step(b block, e blockEvent) stepped {
	switch e {
	case eventCommand, eventSeries:
		return stepCommand(b, e)
	case eventBegin:
		return stepBegin(b)
	case eventCommit, eventRollback:
		return stepEnd(b, e)
	case eventSavepoint, eventRelease, eventRollbackTo:
		return stepSavepoint(b, e)
	case eventError:
		switch b {
		case blockOpen, blockFailed:
			// The transaction is kept: ROLLBACK TO SAVEPOINT may still save it.
			return stepped{next: blockFailed}
		default:
			return stepped{next: blockIdle, effect: effectRollback}
		}
	case eventEnd:
		if b == blockSingle || b == blockSeries {
			return stepped{next: blockIdle, effect: effectCommit}
		}
	}
	return stepped{next: b}
}

func stepCommand(b block, e blockEvent) stepped {
	switch {
	case b == blockFailed:
		failed := errFailedBlock
		return stepped{next: b, err: &failed}
	case e == eventSeries && (b == blockIdle || b == blockSingle):
		return stepped{next: blockSeries}
	case b == blockIdle:
		return stepped{next: blockSingle}
	}
	return stepped{next: b}
}

func stepBegin(b block) stepped {
	switch b {
	case blockFailed:
		failed := errFailedBlock
		return stepped{next: b, err: &failed}
	case blockOpen:
		warning := warnOpenAgain
		return stepped{next: b, warning: &warning}
	}
	// What an implicit transaction did so far becomes part of the block.
	return stepped{next: blockOpen}
}

func stepEnd(b block, e blockEvent) stepped {
	s := stepped{next: blockIdle, effect: effectCommit}
	if e == eventRollback || b == blockFailed {
		s.effect = effectRollback
	}
	if b != blockOpen && b != blockFailed {
		warning := warnNoBlock
		s.warning = &warning
	}
	return s
}

func stepSavepoint(b block, e blockEvent) stepped {
	name := map[blockEvent]string{eventSavepoint: "SAVEPOINT", eventRelease: "RELEASE SAVEPOINT", eventRollbackTo: "ROLLBACK TO SAVEPOINT"}[e]
	switch {
	case b == blockFailed && e == eventRollbackTo:
		return stepped{next: blockOpen}
	case b == blockFailed:
		failed := errFailedBlock
		return stepped{next: b, err: &failed}
	case b != blockOpen:
		return stepped{next: b, err: sqlerr.New("25P01", outsideMessage, name)}
	}
	return stepped{next: b}
}
