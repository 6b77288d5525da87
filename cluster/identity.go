package cluster

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/cluster/engine"
)

// identity is what a server says about itself. Empty strings are not known and
// match everything.
type identity struct {
	engine  string // the profile's name
	cluster string
	node    string
}

// identify asks a server what it is and who. A server that refuses the question
// stays unknown; an error means that the connection is of no use. A profile
// that the configuration names isn't looked for.
func identify(ctx context.Context, conn *pgconn.PgConn, host string, named *engine.Profile) (engine.Profile, identity, error) {
	profile := engine.Detect(conn.ParameterStatus, host)
	if named != nil {
		profile = *named
	}
	id := identity{engine: profile.Name}
	if profile.Identity == "" {
		id.cluster = conn.ParameterStatus(profile.ClusterParameter)
		id.node = conn.ParameterStatus(profile.NodeParameter)
		return profile, id, nil
	}
	res := conn.ExecParams(ctx, profile.Identity, nil, nil, nil, nil).Read()
	if res.Err != nil {
		if _, pgErr := factsOf(res.Err); pgErr != nil && !conn.IsClosed() {
			return profile, id, nil // not allowed to ask
		}
		return profile, id, res.Err
	}
	if len(res.Rows) == 1 && len(res.Rows[0]) == 3 {
		id.cluster, id.node = string(res.Rows[0][0]), string(res.Rows[0][1])
		if refined := profile.Refine(string(res.Rows[0][2])); named == nil && refined.Name != profile.Name {
			// Each server of a mesh is a PostgreSQL cluster of its own.
			profile, id.engine, id.cluster = refined, refined.Name, ""
		}
	}
	return profile, id, nil
}

// meet compares what a server says about itself with what the others said. An
// error means that the node doesn't belong here and must not be used.
func (c *Cluster) meet(n *Node, id identity) error {
	c.identities.Lock()
	duplicate, stranger := c.compare(n, id)
	n.known = id
	if stranger != nil {
		n.known = identity{} // it says nothing about the cluster
	}
	old := n.duplicateOf.Swap(duplicate)
	c.identities.Unlock()

	if old != duplicate {
		c.events.duplicate(n, duplicate)
		c.publish()
	}
	if stranger == nil {
		return nil
	}
	c.events.stranger(n, stranger)
	if c.sequence.Load() == 0 && n.standing().present() {
		// Nobody has used the cluster yet: better an error now than writes that
		// half of the readers never see.
		var err error = stranger
		c.fatal.CompareAndSwap(nil, &err)
		c.settle()
	}
	return stranger
}

// compare finds the node that n is another name of, or the one that shows that
// n belongs to another cluster. The caller holds identities.
func (c *Cluster) compare(n *Node, id identity) (*Node, *IdentityError) {
	for _, o := range c.all() {
		other := o.known
		if o == n || other == (identity{}) {
			continue
		}
		same := n.standing().meets(o.standing()) && id.node != "" && id.node == other.node && id.cluster == other.cluster && id.engine == other.engine
		if same && o.duplicateOf.Load() == nil {
			return o, nil // whoever is known already stays
		}
		if id.cluster != "" && other.cluster != "" && id.cluster != other.cluster && !c.mixed {
			return nil, &IdentityError{NodeA: o.addr, ClusterA: other.cluster, NodeB: n.addr, ClusterB: id.cluster}
		}
	}
	return nil, nil
}
