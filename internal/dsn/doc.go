// Package dsn turns a data source name into one connection configuration per
// node and the driver's own settings.
//
// It owns the forms of the name (one URL or keyword/value string with a list of
// hosts, several of them separated by ";"), the documented table of our own
// keys (keys.go, balance.go) and the rule for unknown keys (unknown.go). Everything that
// pgx knows is left to pgx. It never dials, never resolves a host name, and
// never lets any text of the name into an error, except names of keys. Open
// keys.go first, then parse.go.
package dsn
