package engine

// postgres is the profile of one PostgreSQL server, or of a primary with
// standbys.
func postgres() Profile {
	return Profile{
		Name:     "postgres",
		Probe:    postgresProbe,
		Roles:    true,
		Timeline: postgresTimeline,
		Identity: postgresIdentity("c.system_identifier::pg_catalog.text"),
		Reset:    postgresReset,
		Fence: Support{
			Valid: true,
			Why:   "one primary decides a unique key; a failover must not lose commits (synchronous_commit, synchronous_standby_names)",
		},
		Causality: Support{
			Valid: true,
			Why:   "all writers are one server",
		},
		LockTimeout: true,
		Sources: []string{
			"https://www.postgresql.org/docs/15/index-unique-checks.html",
			"https://www.postgresql.org/docs/15/protocol-flow.html",
			"https://www.postgresql.org/docs/15/functions-info.html",
			"https://www.postgresql.org/docs/15/hot-standby.html",
			"https://www.postgresql.org/docs/15/mvcc-serialization-failure-handling.html",
		},
	}
}

// postgresReset is the part of DISCARD ALL that leaves prepared statements and
// cached plans alone.
const postgresReset = "reset all; reset session authorization; close all; unlisten *; " +
	"select pg_catalog.pg_advisory_unlock_all(); discard temp; discard sequences"

// postgresProbe tells a server's role. Transactions that begin as read-only
// because of the server's configuration are the server's refusal; because of a
// setting of the connection, the role or the database, they are what the client
// asked for. The view of the settings, which takes a millisecond, is only read
// where they differ from what is usual.
const postgresProbe = "select case when pg_catalog.pg_is_in_recovery() then 'standby' " +
	"when pg_catalog.current_setting('transaction_read_only') = 'off' then 'writer' " +
	"when (select s.source from pg_catalog.pg_settings s where s.name = 'default_transaction_read_only') " +
	"in ('client', 'user', 'database', 'database user', 'session') then 'writer, read-only by choice' " +
	"else 'read-only' end"

// postgresTimeline asks a primary for its timeline. The control file has that of
// the last checkpoint, which may be minutes older than a promotion; the name of
// the WAL file that is being written has the current one, but no server says it
// during recovery.
const postgresTimeline = "select greatest(c.timeline_id::pg_catalog.int8, ('x' || pg_catalog.substr(" +
	"pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::pg_catalog.bit(32)::pg_catalog.int8) " +
	"from pg_catalog.pg_control_checkpoint() c"

// postgresIdentity is the identity query of servers that are PostgreSQL with or
// without extensions; cluster is the expression of what their cluster shares.
//
// The start time has microseconds. Together with the system identifier and the
// port it tells two servers apart, whatever address or network name leads to
// them; inet_server_addr() would tell apart two ways to the same server.
func postgresIdentity(cluster string) string {
	return "select " + cluster + ", c.system_identifier::pg_catalog.text || '/' || " +
		"pg_catalog.current_setting('port') || '/' || " +
		"extract(epoch from pg_catalog.pg_postmaster_start_time())::pg_catalog.text, " +
		"(select pg_catalog.string_agg(extname, ',') from pg_catalog.pg_extension " +
		"where extname in ('bdr', 'spock', 'pglogical')) " +
		"from pg_catalog.pg_control_system() c"
}
