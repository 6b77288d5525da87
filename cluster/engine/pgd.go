package engine

// pgd is the profile of EDB Postgres Distributed, found by its extension bdr.
func pgd() Profile {
	return mesh("pgd",
		"a node commits before the others have heard of it, unless a commit scope says otherwise",
		"https://www.enterprisedb.com/docs/pgd/latest/commit-scopes/commit-scopes/",
		"https://www.enterprisedb.com/docs/pgd/latest/conflict-management/conflicts/",
	)
}

// mesh is the profile of PostgreSQL servers that send their commits to each
// other afterwards. Every server has a system identifier of its own, so nothing
// tells that two of them belong together.
func mesh(name, why string, sources ...string) Profile {
	p := postgres()
	p.Name = name
	p.Identity = postgresIdentity("null::pg_catalog.text")
	p.Timeline = "" // of no use where servers descend from nobody
	p.Fence = Support{Why: why}
	p.Causality = Support{Why: why}
	p.Sources = append(sources, p.Sources...)
	return p
}
