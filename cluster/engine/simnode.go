package engine

// simnode is the profile of the simulated cluster of this repository. A node
// that can't even answer reads fails its probe with 57P03; one that hears no
// majority of the others answers reads, as current as any, and no writes.
func simnode() Profile {
	return Profile{
		Name:             "simnode",
		Probe:            "show simnode.role",
		Roles:            true,
		ClusterParameter: "simnode.cluster_id",
		NodeParameter:    "simnode.node_id",
		Reset:            "reset all",
		Fence: Support{
			Valid: true,
			Why:   "every write is certified by a majority of the nodes and decided by one log",
		},
		Causality: Support{
			Valid: true,
			Why:   "in strict mode an answer waits until no node can serve an older state (rules 12 to 15 of the protocol)",
		},
		LockTimeout: true,
		Sources:     []string{"docs/protocol.md"},
	}
}
