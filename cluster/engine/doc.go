// Package engine describes the kinds of servers that speak PostgreSQL's
// protocol, as far as a client must treat them differently: how to ask them
// who they are and whether they take work, what undoes the state of one of
// their sessions, which errors of theirs mean something else than
// PostgreSQL's, and whether a unique key is decided by the whole cluster before
// a commit is answered.
//
// It owns the profiles, one file each, and the detection. Profiles are values:
// nothing here does I/O, and nothing is guessed from an answer's text but the
// server's own version report. What is said about an engine names its source,
// and docs/engines.md is the same as a table. Open profile.go first, then
// detect.go.
package engine
