package engine

import "strings"

// Detect returns the profile of a server from what it reported at the start of
// a session (parameter returns a ParameterStatus value or "") and from the
// host name that it was reached by. PostgreSQL's profile is a first answer:
// Refine it with what the profile's Identity query says.
func Detect(parameter func(name string) string, host string) Profile {
	version := parameter("server_version")
	switch {
	case parameter("simnode.version") != "":
		return simnode()
	case parameter("crdb_version") != "":
		return cockroachdb()
	case strings.Contains(version, "-YB-"):
		return yugabyte()
	case isDSQLHost(host):
		return dsql()
	case version != "":
		return postgres()
	default:
		return Unknown()
	}
}

// isDSQLHost reports whether a host name is that of an Aurora DSQL endpoint:
// <cluster>.dsql.<region>.on.aws, also behind a private link
// (<cluster>.dsql-<service>.<region>.on.aws). Such a server reports a plain
// PostgreSQL version.
func isDSQLHost(host string) bool {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	n := len(labels)
	return n >= 5 && labels[n-1] == "aws" && labels[n-2] == "on" &&
		(labels[n-4] == "dsql" || strings.HasPrefix(labels[n-4], "dsql-"))
}

// Refine returns the profile of a PostgreSQL server on which the given
// replication extensions are installed, a comma-separated list as Identity
// gives it. Other profiles stay as they are.
func (p Profile) Refine(extensions string) Profile {
	if p.Name != "postgres" {
		return p
	}
	installed := strings.Split(extensions, ",")
	for _, known := range []struct {
		extension string
		profile   Profile
	}{{"bdr", pgd()}, {"spock", spock()}, {"pglogical", pglogical()}} {
		for _, name := range installed {
			if name == known.extension {
				return known.profile
			}
		}
	}
	return p
}
