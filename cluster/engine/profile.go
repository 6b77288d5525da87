package engine

import "github.com/anywriter/anywriter/internal/sqlstate"

// Profile is what a client does differently for one kind of server. The zero
// value is the profile of a server that said nothing about itself: it is asked
// plain questions, and nothing is assumed of it. Profiles are shared: don't
// change what their slices and pointers refer to.
type Profile struct {
	// Name is the value of the DSN's engine key, or "" for the zero value.
	Name string
	// Probe asks a server whether it takes work: one command, without
	// parameters.
	Probe string
	// Roles is set if the probe's answer is one text that says whether the server
	// takes writes: "writer", "writer, read-only by choice" (of the client, its
	// role or its database), "read-only", "standby" or "no majority". Of other
	// servers it is believed until they refuse a write.
	Roles bool
	// Timeline asks a server that takes writes for a whole number that grows with
	// each promotion among the servers that share what Identity answers first.
	// Empty if there is no such thing.
	Timeline string
	// Identity asks a server who it is. It answers with one row of three texts:
	// what is the same on every server of a cluster, what is the server's alone,
	// and a comma-separated list of replication extensions that Refine looks
	// at. NULL is "not known". Empty if the profile's servers say it in
	// ParameterStatus messages, or not at all.
	Identity string
	// ClusterParameter and NodeParameter are the names of the parameters that a
	// server reports its identity by; empty if Identity asks for it.
	ClusterParameter, NodeParameter string
	// Reset undoes session state in one round trip of the simple protocol. It
	// leaves prepared statements alone, because a client's statement cache
	// believes in them.
	Reset string
	// Dialect is what the engine's errors mean where that differs from
	// PostgreSQL.
	Dialect sqlstate.Dialect
	// Fence tells whether a commit fence is decisive: whether a unique key is
	// decided for the whole cluster before a commit is answered.
	Fence Support
	// Causality tells whether a read on any node sees every commit that was
	// answered before it began.
	Causality Support
	// LockTimeout is set if the server knows the parameter lock_timeout.
	LockTimeout bool
	// Sources are where this profile's facts come from.
	Sources []string
}

// Support says whether something may be relied on, and why.
type Support struct {
	Valid bool
	// Why is half a sentence that ends an error message or a line of a table.
	Why string
}

// String returns the name, or "unknown".
func (p Profile) String() string {
	if p.Name == "" {
		return "unknown"
	}
	return p.Name
}

// Unknown is the profile of a server of which nothing is known.
func Unknown() Profile {
	return Profile{
		Probe: "select 1",
		Reset: "reset all",
		Fence: Support{Why: "nothing is known about how this server decides a unique key"},
		Causality: Support{
			Why: "nothing is known about when a commit becomes visible elsewhere",
		},
	}
}

// All returns every profile that a DSN can name, in the order of the
// documentation.
func All() []Profile {
	return []Profile{
		postgres(), simnode(), cockroachdb(), yugabyte(), dsql(), pgd(), spock(), pglogical(),
	}
}

// ByName returns the profile with a name, and whether there is one.
func ByName(name string) (Profile, bool) {
	for _, p := range All() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}
