package engine

// cockroachdb is the profile of CockroachDB. An ambiguous commit is 40003
// there, which is PostgreSQL's own code for it.
func cockroachdb() Profile {
	return Profile{
		Name:     "cockroachdb",
		Probe:    "select 1",
		Identity: "select crdb_internal.cluster_id()::text, crdb_internal.node_id()::text, null::text",
		Reset:    "reset all",
		Fence: Support{
			Valid: true,
			Why:   "transactions are serializable across the cluster and a key belongs to one range",
		},
		Causality: Support{
			Valid: true,
			Why:   "reads of a key see every commit of it that was answered before, within the clock offset limit",
		},
		LockTimeout: true,
		Sources: []string{
			"https://www.cockroachlabs.com/docs/stable/transaction-retry-error-reference",
			"https://www.cockroachlabs.com/docs/stable/common-errors#result-is-ambiguous",
			"https://www.cockroachlabs.com/docs/stable/architecture/transaction-layer",
			"https://www.cockroachlabs.com/docs/stable/session-variables",
		},
	}
}
