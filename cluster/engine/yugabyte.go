package engine

import "github.com/anywriter/anywriter/internal/sqlstate"

// yugabyte is the profile of YugabyteDB's YSQL. Time-outs between its nodes,
// also those of a commit, are reported with XX000.
func yugabyte() Profile {
	return Profile{
		Name:     "yugabyte",
		Probe:    "select 1",
		Identity: "select universe_uuid::text, host::text, null::text from yb_servers() where host = host(inet_server_addr())",
		Reset:    "reset all; reset session authorization; close all; discard temp; discard sequences",
		Dialect:  sqlstate.Dialect{FaultsInDoubt: true},
		Fence: Support{
			Valid: true,
			Why:   "a unique key belongs to one tablet, which decides by Raft",
		},
		Causality: Support{
			Valid: true,
			Why:   "reads are linearizable by hybrid time unless follower reads are switched on",
		},
		LockTimeout: true,
		Sources: []string{
			"https://docs.yugabyte.com/stable/develop/learn/transactions/transactions-errorcodes-ysql/",
			"https://docs.yugabyte.com/stable/develop/learn/transactions/transactions-retries-ysql/",
			"https://docs.yugabyte.com/stable/architecture/transactions/distributed-txns/",
		},
	}
}
