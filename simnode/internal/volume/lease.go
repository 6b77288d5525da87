package volume

import (
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// leaseTable is the volatile half of a storage node: who may read, and since
// which state of the log.
type leaseTable struct {
	nodes        map[message.NodeID]*tenant
	lastNonce    uint64
	newestOnly   bool          // MutantNewestGrant
	unknownUntil time.Duration // before it, anybody may hold a lease of before the restart
}

// tenant is one node. Every grant that has not ended counts, not just the newest:
// the node may go on using an older one, whose tail is lower, for as long as that
// lasts, and a record between the two tails may still come here, sent again.
type tenant struct {
	inc    message.Incarnation
	grants []grant // oldest first
	issued []issue // nonces, oldest first; the newest is never dropped
}

type grant struct {
	inc   message.Incarnation
	until time.Duration
	tail  message.LSN
}

type issue struct {
	nonce uint64
	at    time.Duration
}

// newLeaseTable makes nonces that no earlier boot has issued.
func newLeaseTable(boots uint32) leaseTable {
	return leaseTable{nodes: map[message.NodeID]*tenant{}, lastNonce: uint64(boots) << 32}
}

func (t *leaseTable) incarnation(node message.NodeID) message.Incarnation {
	if n := t.nodes[node]; n != nil {
		return n.inc
	}
	return 0
}

// request grants a lease, or refuses it and names the nonce to echo.
//
// Why nonces: a node that can send but not hear would be named a holder of every
// record and so delay every commit by 220 ms, for ever, without being able to use
// one of its leases. So a node that has been granted before must show that it
// heard: it echoes a nonce of ours. Which one?
//
// The newest always counts. Were that all, a node whose answers take longer than
// a heartbeat would be refused all requests that it sends before the newest grant
// reaches it, and would hold a lease only part of the time. So a nonce also
// counts while it is younger than a lease. A deaf node can echo only nonces that
// get older, and is out after 220 ms; its last lease ends 220 ms later.
//
// A refusal issues no new nonce: it repeats the newest one, which counts without
// limit. So however many answers were lost and for however long, the first answer
// that gets through makes the next request good. A node that is new here (its
// first life, a new life, or this storage node has restarted) has nothing to echo
// and is granted at once; it can't have been deaf before.
func (t *leaseTable) request(now time.Duration, m *message.LeaseRequest, tail message.LSN) (nonce uint64, refused bool) {
	n := t.nodes[m.Node]
	if n == nil {
		n = &tenant{}
		t.nodes[m.Node] = n
	}
	n.prune(now)
	if len(n.issued) > 0 && m.Inc == n.inc && !n.heard(m.Nonce) {
		return n.issued[len(n.issued)-1].nonce, true
	}
	if m.Inc > n.inc {
		n.inc, n.issued = m.Inc, nil
	}
	if t.newestOnly {
		n.grants = nil
	}
	t.lastNonce++
	n.issued = append(n.issued, issue{nonce: t.lastNonce, at: now})
	n.grants = append(n.grants, grant{inc: m.Inc, until: now + LeaseWait, tail: tail})
	return t.lastNonce, false
}

// heard reports whether nonce shows that the node hears us.
func (n *tenant) heard(nonce uint64) bool {
	return slices.ContainsFunc(n.issued, func(i issue) bool { return i.nonce == nonce })
}

// prune drops what has ended.
func (n *tenant) prune(now time.Duration) {
	n.grants = slices.DeleteFunc(n.grants, func(g grant) bool { return g.until <= now })
	newest := len(n.issued) - 1
	old := 0
	for old < newest && n.issued[old].at+LeaseWait <= now {
		old++
	}
	n.issued = slices.Delete(n.issued, 0, old)
}

// release drops the leases of a life that has exited, and of those before it.
func (t *leaseTable) release(node message.NodeID, inc message.Incarnation) {
	if n := t.nodes[node]; n != nil {
		n.grants = slices.DeleteFunc(n.grants, func(g grant) bool { return g.inc <= inc })
	}
}

// holders gives the nodes with a lease that may be used below lsn, ascending.
func (t *leaseTable) holders(now time.Duration, lsn message.LSN) (nodes []message.NodeID, all bool) {
	if now < t.unknownUntil {
		return nil, true
	}
	for id, n := range t.nodes {
		if slices.ContainsFunc(n.grants, func(g grant) bool { return g.until > now && g.tail < lsn }) {
			nodes = append(nodes, id)
		}
	}
	slices.Sort(nodes)
	return nodes, false
}
