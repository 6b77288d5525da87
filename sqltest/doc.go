// Package sqltest checks that a *sql.DB behaves as database/sql over PostgreSQL
// does: Run carries out close to two hundred conformance cases, each a named
// subtest.
//
// It owns the cases and what they call right, which is what plain pgx over
// PostgreSQL 15 gives (the package's own tests run them against that). It knows
// no driver and no server: a Target hands it databases and declares what they
// can do beyond the common core. It never needs a fresh server, since every
// table has a name of its own and is dropped after its case.
//
// Its subpackages look at a database from further away: workload (load with
// built-in oracles), history and check (what happened, and whether it may
// have), faultproxy (a network that fails on command) and pgdiff (two servers,
// one script). Open target.go first, then any cases_*.go.
package sqltest
