package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/sqlstate"
	"github.com/anywriter/anywriter/internal/stmtclass"
)

// Explanation says what became of one statement and why: how it was classed,
// between which nodes the driver could choose, why it took the one, how often it
// tried, and what is known of the effect. It holds neither the statement's text
// nor values of its arguments. The zero value explains nothing.
type Explanation struct {
	// Class is what the statement may do: Read, Write, Session, Transaction or
	// Empty; empty if nobody has looked. Why completes "it ...".
	Class, Why string
	// Scope says in which kind of transaction it ran.
	Scope string
	// Candidates are the nodes as they were when the server connection was
	// chosen, in the order of the DSN.
	Candidates []Candidate
	// Node is the address of the node that the last attempt was sent to, and
	// Choice says why it was taken; both are empty if no node was found.
	Node, Choice string
	// Queued is how long the statement waited for its turn on the key of WithKey,
	// before the first attempt; 0 if it had no key or nobody was before it.
	Queued time.Duration
	// Waited is how long the last attempt waited for a node and a connection, 0 if
	// the session had one.
	Waited time.Duration
	// Attempts is how often the statement was tried; Earlier describes the
	// attempts before the last, see OpError; Stop says why none followed.
	Attempts int
	Earlier  []Attempt
	Stop     Stop
	// Result is that of the last attempt: done, running, or what failed. Took is
	// how long it lasted.
	Result string
	Took   time.Duration
	// Outcome is what is known of the effect; Reason completes "because ...".
	Outcome Outcome
	Reason  string
	// Session is the state in which the statement left the session; empty if no
	// session was asked.
	Session string
}

// Candidate is one node in an Explanation.
type Candidate struct {
	// Node is the address.
	Node string
	// State and Reason are what was believed of the node.
	State  health.State
	Reason health.Reason
	// Chosen is true for the node that was taken; Note says what the choice made
	// of any other.
	Chosen bool
	Note   string
	// Compared is true if the balancer looked at its load: Latency and InFlight,
	// the operations under way.
	Compared bool
	Latency  time.Duration
	InFlight int64
}

// String gives a line for the statement, for each candidate, for the node, for
// each attempt, for the outcome and for the session.
func (x Explanation) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if x.Class != "" {
		line("statement: %s (it %s), %s", x.Class, x.Why, x.Scope)
	} else if x.Scope != "" {
		line("statement: %s", x.Scope)
	}
	if x.Queued > 0 {
		line("key: waited %v for its turn", short(x.Queued))
	}
	for _, c := range x.Candidates {
		line("candidate: %v", c)
	}
	if x.Node != "" {
		line("node: %s, %s; waited %v", x.Node, orDefault(x.Choice, "for a reason that wasn't kept"), short(x.Waited))
	}
	for _, a := range x.Earlier {
		line("%v", a)
	}
	if x.Result != "" {
		line("attempt %d: %s after %v", max(x.Attempts, 1), x.Result, short(x.Took))
	}
	if x.Stop != StopUnknown {
		line("no further attempt: %v", x.Stop)
	}
	line("outcome: %v, because %s", x.Outcome, orDefault(x.Reason, "nobody has judged it"))
	if x.Session != "" {
		line("session: %s", x.Session)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func orDefault(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

// String describes the candidate in one line.
func (c Candidate) String() string {
	var b strings.Builder
	b.WriteString(c.Node + " " + c.State.String())
	if c.Reason != health.ReasonNone {
		b.WriteString(" (" + c.Reason.String() + ")")
	}
	if c.Chosen {
		b.WriteString(", chosen")
	}
	if c.Note != "" {
		b.WriteString(", " + c.Note)
	}
	if c.Compared {
		fmt.Fprintf(&b, ", latency %v, %d in flight", short(c.Latency), c.InFlight)
	}
	return b.String()
}

// trail is what a session remembers of its last exchange with a server, so that
// it can be explained when somebody asks. It is a plain copy of what is known
// anyway.
type trail struct {
	sql      string
	info     stmtclass.Info
	node     *Node
	scope    scope
	harmless bool
	resolved bool // the commit fence was asked
	searched bool // it took the connection
	attempts int
	queued   time.Duration
	stop     Stop
	started  int64 // by the cluster's clock
	ended    int64
	earlier  []Attempt
	err      error
}

// scope says in which kind of transaction a statement ran. The zero value,
// scopeUnknown, is that of an error that nobody has explained.
type scope uint8

const (
	scopeUnknown scope = iota
	scopeNone          // nothing has run
	scopeAutocommit
	scopeUsedSession
	scopeFirst
	scopeInside
	scopeCommit
)

// String gives the scope in a few words, fit for a message.
func (s scope) String() string {
	names := [...]string{
		"unknown", "none yet", "by itself", "by itself, in a session that had been used", "first in its transaction",
		"inside a transaction", "COMMIT",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return names[scopeUnknown]
}

func (s *Session) scopeOf(c *call) scope {
	switch {
	case c.first:
		return scopeFirst
	case c.inTx || s.inTx:
		return scopeInside
	case s.used:
		return scopeUsedSession
	default:
		return scopeAutocommit
	}
}

// remember keeps the trail of an exchange that has just ended.
func (s *Session) remember(c *call, n *Node, ended int64, err error) {
	s.last = trail{
		sql: c.sql, info: c.info, node: n, scope: c.scope, harmless: s.harmless(c), resolved: c.resolved,
		searched: c.searched, attempts: c.attempts, started: c.started, ended: ended,
		queued: s.place.queued, earlier: c.earlier, err: err,
	}
	if c.commit {
		s.last.scope = scopeCommit
	}
}

// Explain explains the session's last statement, or the one whose rows are
// still open. It must be called where the session's methods may be.
func (s *Session) Explain() Explanation {
	t := s.last
	if t.scope == scopeUnknown {
		t.scope = scopeNone
	}
	if r := s.open; r != nil {
		c := &r.call
		t = trail{
			sql: c.sql, info: c.info, node: r.phys.node, scope: c.scope,
			searched: c.searched, attempts: c.attempts, started: c.started, earlier: c.earlier,
			queued: s.place.queued,
		}
	}
	x := s.explain(&t)
	switch {
	case s.lost != nil:
		x.Session = "its server connection is lost"
	case s.dirty:
		x.Session = "changed: what was changed is undone before anybody else meets it"
	case s.lease.held():
		x.Session = "clean"
	default:
		x.Session = "holds no server connection"
	}
	return x
}

// explain makes an explanation of a trail.
func (s *Session) explain(t *trail) Explanation {
	x := Explanation{Attempts: t.attempts, Earlier: t.earlier, Stop: t.stop, Queued: t.queued, Scope: t.scope.String()}
	if t.info.Class != stmtclass.Unknown {
		x.Class, x.Why = t.info.Class.String(), t.info.Because(t.sql)
	}
	x.Candidates = s.choice.candidates()
	if t.node != nil {
		x.Node, x.Choice = t.node.addr, s.choice.reason(t.searched)
		if t.searched {
			x.Waited = time.Duration(t.started - s.choice.began)
		}
	}
	switch {
	case t.ended == 0:
	case t.started != 0:
		x.Took = time.Duration(t.ended - t.started)
	case s.choice.view != nil: // the search for a node was all
		x.Took = time.Duration(t.ended - s.choice.began)
	}
	x.Result, x.Outcome, x.Reason = t.verdict()
	return x
}

// verdict says how the exchange ended and what that means.
func (t *trail) verdict() (result string, out Outcome, reason string) {
	switch {
	case t.scope == scopeNone:
		return "", Unknown, "nothing has run"
	case t.err == nil && t.ended == 0:
		return "running", Unknown, "its rows are still being read"
	case t.err == nil && (t.scope == scopeCommit || t.scope < scopeFirst):
		reason = "the server has confirmed it"
		if t.resolved {
			reason = "the commit fence says so; the server's answer is lost"
		}
		return "done", Committed, reason
	case t.err == nil:
		return "done", Unknown, "the end of its transaction decides"
	}
	result = failedAttempt(t.attempts, t.err, time.Time{}, time.Time{}, 0).failure()
	out = OutcomeOf(t.err)
	return result, out, t.because(out)
}

// because completes "because ..." for the outcome of an exchange that failed.
func (t *trail) because(out Outcome) string {
	effect := verdictOf(t.err).Effect
	switch {
	case t.resolved && out != CommitSent:
		return "the commit fence says so"
	case t.resolved:
		return "it had been sent, no final answer came, and neither did the commit fence's"
	case out == NotSent && effect == sqlstate.NothingSent:
		return "the server took nothing from the session"
	case out == NotSent:
		return "nothing of it had been sent"
	case out == DefinitelyAborted && effect == sqlstate.Undone:
		return "the server says that it undid it"
	case out == DefinitelyAborted && t.harmless:
		return "it had nothing to commit"
	case out == DefinitelyAborted:
		return "COMMIT hadn't been sent"
	case out == CommitSent && effect == sqlstate.Doubtful:
		return "the server itself doesn't know"
	case out == CommitSent && effect == sqlstate.Undone:
		return "its failing part was undone, but what came before may have been committed"
	case out == CommitSent:
		return "it had been sent and no final answer came"
	case out == Committed:
		return "it was committed before something else failed"
	default:
		return "the error isn't the driver's"
	}
}

// conclude ends the account of a statement that failed: an error that came
// without an exchange has left no trail yet.
func (s *Session) conclude(c *call, err error) error {
	if c.started == 0 {
		c.scope = s.scopeOf(c)
		s.remember(c, nil, s.cluster.clock.Nanos(), err)
	}
	s.last.err, s.last.stop = err, c.stop
	s.attach(err)
	return err
}

// attach gives an error of ours the explanation of the trail that ended in it,
// or the end of one that it has already.
func (s *Session) attach(err error) {
	var kept **Explanation
	switch e := err.(type) {
	case *OpError:
		kept = &e.explained
	case *OutcomeUnknownError:
		kept = &e.explained
	case *NoNodeError:
		kept = &e.explained
	default:
		return
	}
	if *kept == nil {
		x := s.explain(&s.last)
		x.Earlier = nil // they are the error's own
		*kept = &x
	}
	(*kept).Stop = s.last.stop
}
