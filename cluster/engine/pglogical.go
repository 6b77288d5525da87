package engine

// pglogical is the profile of a mesh of pglogical subscriptions, found by the
// extension.
func pglogical() Profile {
	return mesh("pglogical",
		"replication is asynchronous and conflicts are settled by each node for itself",
		"https://github.com/2ndQuadrant/pglogical",
	)
}
