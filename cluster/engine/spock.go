package engine

// spock is the profile of pgEdge's Spock, found by its extension.
func spock() Profile {
	return mesh("spock",
		"replication is asynchronous and the last update of a row wins",
		"https://docs.pgedge.com/spock-v5/",
		"https://github.com/pgEdge/spock",
	)
}
