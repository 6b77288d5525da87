package cluster

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// engine is the kind of server, as far as the driver treats kinds differently.
type engine uint8

const (
	engineUnknown engine = iota
	enginePostgres
	engineSimnode
	engineCockroach
	engineYugabyte
)

// String returns the name used in DSNs and statistics.
func (e engine) String() string {
	switch e {
	case enginePostgres:
		return "postgres"
	case engineSimnode:
		return "simnode"
	case engineCockroach:
		return "cockroachdb"
	case engineYugabyte:
		return "yugabyte"
	default:
		return "unknown"
	}
}

// hasRecovery reports whether a server of this kind may be a standby.
func (e engine) hasRecovery() bool { return e == enginePostgres }

// probe is the text that asks a server whether it is well. The simulator's
// setting fails with 57P03 on a node that can't serve.
func (e engine) probe() string {
	switch e {
	case engineSimnode:
		return "show simnode.ready"
	case enginePostgres:
		return "select pg_is_in_recovery()"
	default:
		return "select 1"
	}
}

// resetSQL undoes session state in one round trip. It leaves prepared
// statements alone, because the statement cache believes in them.
func (e engine) resetSQL() string {
	switch e {
	case engineSimnode, engineCockroach:
		return "reset all"
	default:
		return "reset all; reset session authorization; close all; unlisten *; " +
			"select pg_catalog.pg_advisory_unlock_all(); discard temp; discard sequences"
	}
}

// identity is what a server says about itself. Empty strings are not known and
// match everything.
type identity struct {
	engine  engine
	cluster string
	node    string
}

// detect finds the engine by what the server reports at the start of a session.
func detect(conn *pgconn.PgConn) engine {
	switch {
	case conn.ParameterStatus("simnode.version") != "":
		return engineSimnode
	case conn.ParameterStatus("crdb_version") != "":
		return engineCockroach
	case strings.Contains(conn.ParameterStatus("server_version"), "-YB-"):
		return engineYugabyte
	case conn.ParameterStatus("server_version") != "":
		return enginePostgres
	default:
		return engineUnknown
	}
}

// identify asks a server who it is. A server that refuses the question stays
// unknown; an error means that the connection is of no use.
func identify(ctx context.Context, conn *pgconn.PgConn) (identity, error) {
	id := identity{engine: detect(conn)}
	query := ""
	switch id.engine {
	case engineSimnode:
		id.cluster = conn.ParameterStatus("simnode.cluster_id")
		id.node = conn.ParameterStatus("simnode.node_id")
		return id, nil
	case enginePostgres:
		// The start time has microseconds. Together with the system identifier
		// and the port it tells two servers apart, whatever address or network
		// name leads to them; inet_server_addr() would tell apart two ways to
		// the same server.
		query = "select c.system_identifier::text, c.system_identifier::text || '/' || " +
			"pg_catalog.current_setting('port') || '/' || " +
			"extract(epoch from pg_catalog.pg_postmaster_start_time())::text " +
			"from pg_catalog.pg_control_system() c"
	case engineCockroach:
		query = "select crdb_internal.cluster_id()::text, crdb_internal.node_id()::text"
	case engineYugabyte:
		query = "select universe_uuid::text, host::text from yb_servers() where host = host(inet_server_addr())"
	default:
		return id, nil
	}
	res := conn.ExecParams(ctx, query, nil, nil, nil, nil).Read()
	if res.Err != nil {
		if _, pgErr := factsOf(res.Err); pgErr != nil && !conn.IsClosed() {
			return id, nil // not allowed to ask
		}
		return id, res.Err
	}
	if len(res.Rows) == 1 && len(res.Rows[0]) == 2 {
		id.cluster, id.node = string(res.Rows[0][0]), string(res.Rows[0][1])
	}
	return id, nil
}

// meet compares what a server says about itself with what the others said. An
// error means that the node doesn't belong here and must not be used.
func (c *Cluster) meet(n *Node, id identity) error {
	c.identities.Lock()
	duplicate, stranger := c.compare(n, id)
	c.known[n.index] = id
	if stranger != nil {
		c.known[n.index] = identity{} // it says nothing about the cluster
	}
	c.identities.Unlock()

	if old := n.duplicateOf.Swap(duplicate); old != duplicate {
		c.events.duplicate(n, duplicate)
		c.publish()
	}
	if stranger == nil {
		return nil
	}
	c.events.stranger(n, stranger)
	if c.leases.Load() == 0 && c.sequence.Load() == 0 {
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
	for i, other := range c.known {
		o := c.nodes[i]
		if i == n.index || other == (identity{}) {
			continue
		}
		same := id.node != "" && id.node == other.node && id.cluster == other.cluster && id.engine == other.engine
		if same && o.duplicateOf.Load() == nil {
			return o, nil // whoever is known already stays
		}
		if id.cluster != "" && other.cluster != "" && id.cluster != other.cluster && !c.mixed {
			return nil, &IdentityError{NodeA: o.addr, ClusterA: other.cluster, NodeB: n.addr, ClusterB: id.cluster}
		}
	}
	return nil, nil
}
