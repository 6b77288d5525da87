package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/internal/retry"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

const (
	// lockPatience is how long the resolver waits at a time for a transaction
	// that holds its row but hasn't ended. A commit takes milliseconds; one that
	// takes longer is on a node in trouble, and then it is better to have a new
	// look at which nodes are well.
	lockPatience = 250 * time.Millisecond
	// askPatience is how long one question may take at first, twice as long after
	// each that took longer: a connection that has fallen silent mustn't use up the
	// time in which others would have answered. It leaves room for a dial and for
	// lockPatience, after which a server answers.
	askPatience = 300 * time.Millisecond
	// resolveBase and resolveCap bound the waits between the resolver's
	// attempts: a conflict with the transaction's own proposal passes within a
	// few round trips, and a node that comes back is used at once.
	resolveBase = time.Millisecond
	resolveCap  = 25 * time.Millisecond
)

// errFenceRowGone is the answer of a fence table that has neither the row nor
// the mark that was just put there.
var errFenceRowGone = errors.New("the fence table has lost the row: was it purged?")

// resolve finds out what became of fenced work whose final answer is lost, and
// turns the error that says so into what is known then. The caller's context
// plays no part: whoever cancelled it wants to know too.
func (s *Session) resolve(r *Rows, lost error) error {
	r.call.resolved = true
	var unknown *OutcomeUnknownError
	if !errors.As(lost, &unknown) {
		return lost
	}
	began := time.Now()
	out, err := s.cluster.decide(r.call.fenceID, r.phys.node)
	s.cluster.resolved(r.phys.node, out, time.Since(began))
	switch out {
	case Committed:
		return r.committedUnheard(unknown)
	case DefinitelyAborted:
		return unheardAbort(unknown)
	default:
		unknown.Err = fmt.Errorf("%w (and the commit fence gave no answer within %v: %w)",
			unknown.Err, s.cluster.settings.FenceResolveTimeout, err)
		return unknown
	}
}

// TagResolved is the command tag of a statement that was committed while its
// own tag was lost with the connection: the number of its rows isn't known.
const TagResolved = "RESOLVED"

// committedUnheard is the result of work that was committed although nobody
// heard: success, unless rows were asked for and are lost.
func (r *Rows) committedUnheard(unknown *OutcomeUnknownError) error {
	c := &r.call
	if c.query {
		return &OpError{
			Node: unknown.Node, SQLState: unknown.SQLState, Outcome: Committed,
			Attempts: unknown.Attempts, Earlier: unknown.Earlier,
			Err: fmt.Errorf("the statement was committed, but its rows are lost with the connection: %w", unknown.Err),
		}
	}
	if !c.commit && r.tag.String() == "" {
		r.tag = pgconn.NewCommandTag(TagResolved)
	}
	return nil
}

// unheardAbort is the result of work that can never be committed any more. A
// server's own doubt (40003) is settled by that, and another node may do better,
// as after a lost connection; every other reason says itself what would help.
func unheardAbort(unknown *OutcomeUnknownError) error {
	verdict := unknown.verdict
	if verdict.Kind == sqlstate.InDoubt {
		verdict.Retry = sqlstate.RetryOtherNode
	}
	return &OpError{
		Node: unknown.Node, SQLState: unknown.SQLState, Outcome: DefinitelyAborted,
		Attempts: unknown.Attempts, Earlier: unknown.Earlier, Err: &ruledOut{unknown.Err, verdict.Kind}, verdict: verdict,
	}
}

// ruledOut is the cause of the error of work that the commit fence has found
// without effect.
type ruledOut struct {
	err  error // why the fence had to be asked
	kind sqlstate.Kind
}

// Error gives the fence's word. A server that was in doubt itself is quoted by its
// code alone: its text would say the opposite.
func (e *ruledOut) Error() string {
	const found = "the commit fence has ruled it out: it wasn't committed, and won't be"
	if facts, pgErr := factsOf(e.err); pgErr != nil && e.kind == sqlstate.InDoubt {
		return fmt.Sprintf("%s (the server was in doubt: SQLSTATE %s)", found, facts.Code)
	}
	return fmt.Sprintf("%s: %v", found, e.err)
}

// Unwrap returns why the fence had to be asked.
func (e *ruledOut) Unwrap() error { return e.err }

// decide asks the fence what became of a transaction, and decides it if nobody
// has. It returns Committed, DefinitelyAborted, or, with the last error,
// CommitSent: nobody answered in time.
func (c *Cluster) decide(id txID, lost *Node) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.settings.FenceResolveTimeout)
	defer cancel()
	policy := retry.Policy{Base: resolveBase, Cap: resolveCap, MaxAttempts: math.MaxInt}
	waits := retry.NewBackOff(policy, c.seed^c.sequence.Add(1))
	failed := balancer.Set{}.With(lost.index)
	last := error(ErrNoNode)
	patience := askPatience
	for {
		n := c.resolver(&failed)
		if n != nil {
			out, err := n.askWithin(ctx, patience, id)
			switch {
			case err == nil:
				return out, nil
			case hopeless(err):
				return CommitSent, err
			case codeOf(err) == "":
				failed = failed.With(n.index)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				patience *= 2
			}
			last = fmt.Errorf("node %s: %w", n.addr, err)
		}
		timer := time.NewTimer(waits.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return CommitSent, last
		case <-c.closing:
			timer.Stop()
			return CommitSent, ErrClosed
		}
	}
}

// resolver picks a node that takes writes, since asking is one, and that isn't known to have failed; when all have,
// everybody gets another chance.
func (c *Cluster) resolver(failed *balancer.Set) *Node {
	v := c.view.Load()
	request := balancer.Request{Seq: c.sequence.Add(1), Seed: c.seed, NowNanos: c.clock.Nanos()}
	writers := v.writes[0]
	request.Excluded = writers.without(*failed)
	i := balancer.Pick(c.picker, writers.picks, request)
	if i == balancer.None {
		*failed = balancer.Set{}
		return nil
	}
	return writers.nodes[i]
}

// hopeless reports whether asking again can't help: the table is gone or may
// not be used.
func hopeless(err error) bool {
	code := codeOf(err)
	return errors.Is(err, errFenceRowGone) ||
		len(code) == 5 && (code[:2] == "42" || code[:2] == "3F" || code[:2] == "0A" || code[:2] == "22")
}

// askWithin is askFence with a limit of its own.
func (n *Node) askWithin(ctx context.Context, limit time.Duration, id txID) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return n.askFence(ctx, id)
}

// askFence puts the mark on one node and reads the decision. The mark is in a
// transaction of its own, and the question in another that begins after it: so
// the question sees whichever row stands.
func (n *Node) askFence(ctx context.Context, id txID) (Outcome, error) {
	conn, giveBack, err := n.borrow(ctx)
	if err != nil {
		return CommitSent, err
	}
	defer giveBack()
	if err := n.markAborted(ctx, conn, &id); err != nil {
		return CommitSent, err
	}
	rows, err := query(ctx, conn, n.cluster.fence.table.Ask(), id.param())
	switch {
	case err != nil:
		return CommitSent, err
	case len(rows) != 1 || len(rows[0]) != 1:
		return CommitSent, errFenceRowGone
	case string(rows[0][0]) == "t":
		return DefinitelyAborted, nil
	default:
		return Committed, nil
	}
}

// markAborted puts the mark, unless the row is there, in one flush.
func (n *Node) markAborted(ctx context.Context, conn *pgconn.PgConn, id *txID) error {
	p := id.param()
	pipe := conn.StartPipeline(ctx)
	pipe.SendQueryParams("begin read write", nil, nil, nil, nil)
	if n.profile.Load().LockTimeout {
		pipe.SendQueryParams(fmt.Sprintf("set local lock_timeout = %d", lockPatience.Milliseconds()), nil, nil, nil, nil)
	}
	pipe.SendQueryParams(n.cluster.fence.table.Mark(), p.values[:], p.oids[:], p.formats[:], nil)
	pipe.SendQueryParams("commit", nil, nil, nil, nil)
	if err := pipe.Sync(); err != nil {
		return abandon(pipe, err)
	}
	err := pipe.Close()
	if err != nil && !conn.IsClosed() && conn.TxStatus() != 'I' {
		_, _ = conn.ExecParams(ctx, "rollback", nil, nil, nil, nil).Close() // the first error counts
	}
	return err
}

// borrow returns a server connection for a question of our own: an idle one of
// the pool, or a new one if all are in use, since the operations that use them
// may take long.
func (n *Node) borrow(ctx context.Context) (*pgconn.PgConn, func(), error) {
	if n.pool.Stat().Idle > 0 {
		l, err := n.acquire(ctx, time.Time{}, n.cluster.clock.Nanos(), false)
		if err != nil {
			return nil, nil, err
		}
		return l.phys.pc, func() { l.release(false) }, nil
	}
	conn, err := n.hooks.Connect(ctx, n.config, nil)
	if err != nil {
		return nil, nil, err
	}
	return conn, func() {
		closing, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		_ = conn.Close(closing) // it was ours alone
	}, nil
}

// resolved keeps the books on what the fence has answered.
func (c *Cluster) resolved(n *Node, out Outcome, took time.Duration) {
	switch out {
	case Committed:
		n.counters.foundCommitted.Add(1)
	case DefinitelyAborted:
		n.counters.foundAborted.Add(1)
	default:
		n.counters.stayedUnknown.Add(1)
	}
	c.events.resolved(n, out, took)
}
