package engine

import "github.com/anywriter/anywriter/internal/sqlstate"

// dsql is the profile of Amazon Aurora DSQL: optimistic, so nothing ever waits
// for a lock, and conflicts show at COMMIT as 40001 with OC000 (data) or OC001
// (schema) in the message. Its endpoints are found by their host names.
func dsql() Profile {
	return Profile{
		Name:    "dsql",
		Probe:   "select 1",
		Reset:   "reset all",
		Dialect: sqlstate.Dialect{Conflicts: []string{"OC000", "OC001"}, FaultsInDoubt: true},
		Fence: Support{
			Valid: true,
			Why:   "the adjudicators of a commit decide a key once for all endpoints",
		},
		Causality: Support{
			Valid: true,
			Why:   "reads are at a current timestamp and see every commit answered before, in every Region",
		},
		Sources: []string{
			"https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html",
			"https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-postgresql-compatibility.html",
		},
	}
}
