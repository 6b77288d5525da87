package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/internal/stmtclass"
)

// Role says what a node may be given.
type Role = role.Role

// The roles. The zero value is RoleUnknown: the node hasn't answered yet.
const (
	RoleUnknown    = role.Unknown
	RoleWriter     = role.Writer
	RoleReadOnly   = role.ReadOnly
	RoleSuperseded = role.Superseded
)

// refusalHold is how long a refused write counts on an engine whose probe doesn't
// tell the role. Then a write tries the node again, which costs that write one
// more round trip.
const refusalHold = 5 * time.Second

// roles are what the nodes have said of themselves. What follows from it is kept
// with each node, where operations read it without a lock.
type roles struct {
	mu    sync.Mutex // guards what follows, and the nodes' claims and refusals
	twins bool       // it was reported that two writers can't be told apart
}

// change is a node's new role, to be told when no lock is held.
type change struct {
	node    *Node
	verdict role.Verdict
}

// claim notes what a node said of itself when it was asked. An answer to a
// question that is older than a refused write is no news.
func (c *Cluster) claim(n *Node, claim role.Claim, asked time.Time) {
	r := &c.roles
	r.mu.Lock()
	if !n.refused.IsZero() {
		hold := n.refused
		if !n.profile.Load().Roles {
			hold = n.refused.Add(refusalHold)
		}
		if asked.Before(hold) {
			r.mu.Unlock()
			return
		}
		n.refused = time.Time{}
	}
	changes, twin := c.judgeRoles(n, claim)
	r.mu.Unlock()
	c.roleChanged(changes)
	if twin != nil {
		c.events.twins(n, twin)
	}
}

// refusedWrite notes that a node that was believed to take writes doesn't. It
// counts at once; the probe that is asked for has the last word.
func (c *Cluster) refusedWrite(n *Node, now time.Time) {
	r := &c.roles
	r.mu.Lock()
	if !n.takesWrites() {
		r.mu.Unlock()
		return // it was known
	}
	n.refused = now
	changes, _ := c.judgeRoles(n, role.Claim{Role: role.ReadOnly, Reason: role.ReasonRefused})
	r.mu.Unlock()
	c.roleChanged(changes)
}

// judgeRoles puts a claim in the place of the node's last one and returns whose
// role changes by it, and the node that is as good a writer as this one although
// there should be one only, the first time. The caller holds roles.
func (c *Cluster) judgeRoles(n *Node, claim role.Claim) (changes []change, twin *Node) {
	r := &c.roles
	n.claim = claim
	changes = c.rejudge()
	claims := c.claimsFor(n)
	i := role.Rival(claims, n.index)
	if !r.twins && n.standing() != leaving && i >= 0 && claims[i].Timeline == claim.Timeline && claim.Timeline > 0 {
		r.twins = true
		twin = c.nodeAt(i)
	}
	return changes, twin
}

// rejudge gives every node the role that follows from the claims, and returns
// whose has changed. The caller holds roles.
func (c *Cluster) rejudge() (changes []change) {
	for _, n := range c.all() {
		v := role.Judge(c.claimsFor(n), n.index)
		if old := n.role.Swap(&v); *old != v {
			changes = append(changes, change{node: n, verdict: v})
		}
	}
	return changes
}

// claimsFor returns the claims by which the role of a node is judged, by the index
// of the node that made them. Of a server with several names one counts. The caller
// holds roles.
func (c *Cluster) claimsFor(n *Node) []role.Claim {
	claims := make([]role.Claim, n.index+1)
	for _, o := range c.all() {
		if o.duplicateOf.Load() == nil && (o == n || n.standing().heeds(o.standing())) {
			claims = append(claims, make([]role.Claim, max(0, o.index+1-len(claims)))...)
			claims[o.index] = o.claim
		}
	}
	return claims
}

// roleChanged tells everybody who has another role now: operations first.
func (c *Cluster) roleChanged(changes []change) {
	if len(changes) == 0 {
		return
	}
	c.publish()
	for _, x := range changes {
		if x.verdict.Role == role.Superseded {
			// Whatever still runs there is lost to the promoted node.
			x.node.counters.cuts.Add(int64(x.node.traffic.Cut()))
		}
		c.events.role(x.node, x.verdict)
	}
}

// rivalled reports whether another node says, too, that it is the writer of the
// same system.
func (c *Cluster) rivalled(n *Node) bool {
	c.roles.mu.Lock()
	defer c.roles.mu.Unlock()
	return role.Rival(c.claimsFor(n), n.index) >= 0
}

// takesWrites reports whether the node may be given writes, as far as is known.
func (n *Node) takesWrites() bool {
	r := n.role.Load().Role
	return r == role.Writer || r == role.Unknown
}

// whyReadOnly completes "takes no writes: ..."; empty if it takes them.
func (n *Node) whyReadOnly() string {
	v := n.role.Load()
	if v.Role == role.Superseded {
		by := "another node"
		if o := n.cluster.nodeAt(v.By); o != nil {
			by = "node " + o.addr
		}
		return fmt.Sprintf("it is an old primary on timeline %d; %s has been promoted to timeline %d", v.Old, by, v.New)
	}
	return v.Reason.String()
}

// mayRead reports whether a statement may run on a node that takes no writes.
// nil is a statement of which nothing is known.
func (s *Session) mayRead(ctx context.Context, c *call) bool {
	switch {
	case s.toWrite:
		return false
	case s.inTx:
		return s.readOnly || s.cluster.config.readsOnly()
	case c == nil:
		return false
	case hintsOf(ctx).readOnly:
		return true
	}
	class := c.class().Class
	return class == stmtclass.Read || class == stmtclass.Empty
}

// mustMove reports whether the session's server connection won't do for a
// statement, and nothing in it would be lost with another one: reads were all
// that ran there.
func (s *Session) mustMove(ctx context.Context, c *call) bool {
	if s.lease.node.takesWrites() || s.bound || s.dirty || s.inTx && s.begin == "" {
		return false
	}
	return !s.mayRead(ctx, c)
}

// noteUse remembers that a statement has run, and whether it may have left
// something behind that ties the session to its server connection. What a reset
// would not undo is not missed either.
func (s *Session) noteUse(c *call) {
	s.used = true
	read := c.readOnly || c.info.Class == stmtclass.Read || c.info.Class == stmtclass.Empty
	if !read || c.info.Dirties(s.cluster.settings.SessionReset == ResetStrict) {
		s.bound = true
	}
}

// errBound explains a write that was refused in a session that couldn't move to a
// node that takes it.
var errBound = errors.New("what has run in the session before ties it to a node that takes no writes; " +
	"let a write or a transaction come first in it, or use read_from=writers")
