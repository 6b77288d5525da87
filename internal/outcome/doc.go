// Package outcome decides what is known about a write after something went
// wrong: it was never sent, it was certainly undone, it may have been
// committed, or it was committed.
//
// It owns the four outcomes and the pure machine that derives them from three
// facts: what was flushed to the server, what the server answered, and whether
// the work was one autocommit statement or an explicit transaction. It never
// looks at an error's text, never does I/O and never guesses: whatever isn't
// proven is CommitSent. Open outcome.go first, then machine.go.
package outcome
