package dsn

import (
	"fmt"
	"strings"
)

// pgxKeys are the keys that pgx itself understands (version 5.12).
func pgxKeys() []string {
	return []string{
		"host", "port", "database", "dbname", "user", "password", "passfile", "connect_timeout",
		"sslmode", "sslkey", "sslcert", "sslcertmode", "sslrootcert", "sslnegotiation", "sslpassword",
		"sslsni", "ssl", "krbspn", "krbsrvname", "target_session_attrs", "service", "servicefile",
		"min_protocol_version", "max_protocol_version", "channel_binding", "require_auth",
		"statement_cache_capacity", "description_cache_capacity", "default_query_exec_mode",
	}
}

// startupKeys are the parameters of the start-up packet that aren't settings.
func startupKeys() []string { return []string{"options", "replication"} }

// unavailable lists keys that are known but can't be used, with the reason.
func unavailable() map[string]string {
	const later = "it isn't available in this version"
	pool := func(ours string) string { return "it is pgxpool's; use " + ours }
	return map[string]string{
		"discover":          later,
		"conflict_affinity": later,

		"pool_max_conns":                pool("max_conns_per_node"),
		"pool_min_conns":                pool("min_idle"),
		"pool_min_idle_conns":           pool("min_idle"),
		"pool_max_conn_lifetime":        "it is pgxpool's, which is managed per node",
		"pool_max_conn_lifetime_jitter": "it is pgxpool's, which is managed per node",
		"pool_max_conn_idle_time":       "it is pgxpool's, which is managed per node",
		"pool_health_check_period":      pool("probe_interval"),
		"pool_ping_timeout":             pool("probe_interval"),

		"load_balance_hosts":        "it is libpq's; use balancer",
		"fallback_application_name": "it is libpq's; use application_name",
		"hostaddr":                  "it is libpq's; use host",
		"keepalives":                "it is libpq's; health is probed (probe_interval)",
		"keepalives_idle":           "it is libpq's; health is probed (probe_interval)",
		"keepalives_interval":       "it is libpq's; health is probed (probe_interval)",
		"keepalives_count":          "it is libpq's; health is probed (probe_interval)",
		"tcp_user_timeout":          "it is libpq's; health is probed (probe_interval)",
		"gssencmode":                "it is libpq's and not implemented",
		"gsslib":                    "it is libpq's and not implemented",
		"gssdelegation":             "it is libpq's and not implemented",
		"sslcompression":            "it is libpq's and not implemented",
		"sslcrl":                    "it is libpq's and not implemented",
		"sslcrldir":                 "it is libpq's and not implemented",
		"ssl_min_protocol_version":  "as a client's key it is libpq's and not implemented",
		"ssl_max_protocol_version":  "as a client's key it is libpq's and not implemented",
		"requiressl":                "it is libpq's; use sslmode",
		"requirepeer":               "it is libpq's and not implemented",
	}
}

// checkForeignKey allows a key that isn't ours if pgx or the server can know it.
// With secret set, a key that is nowhere near a known one isn't shown.
func checkForeignKey(key string, secret bool) error {
	if why, found := unavailable()[key]; found {
		return fmt.Errorf("dsn: the key %s can't be used: %s", key, why)
	}
	if isServerSetting(strings.ToLower(key)) || isExtensionSetting(key) {
		return nil
	}
	for _, k := range startupKeys() {
		if k == key {
			return nil
		}
	}
	nearest, distance := nearestKey(key)
	misspelt := distance <= max(2, len(nearest)/4)
	const hint = "a server setting that isn't in the list of known ones can be passed as options='-c name=value'"
	switch {
	case misspelt:
		return fmt.Errorf("dsn: unknown key %s; did you mean %s? (%s)", key, nearest, hint)
	case isPlainKey(key) && !secret:
		return fmt.Errorf("dsn: unknown key %s; the nearest known key is %s (%s)", key, nearest, hint)
	default:
		return fmt.Errorf("dsn: unknown key; it isn't shown because it may be a part of a password, "+
			"which must be quoted (keyword/value) or percent-encoded (URL) if it holds special characters; "+
			"the nearest known key is %s (%s)", nearest, hint)
	}
}

// mayBeSecret reports whether a word of the name that was taken for a key could
// be a part of a password that isn't quoted as it should be.
func mayBeSecret(name string) bool {
	if isURL(name) {
		// A "?" or "/" in a password ends it, and leaves the "@" behind.
		query, _ := urlQuery(name)
		return strings.ContainsAny(query, "@:/#")
	}
	for rest := strings.ToLower(name); ; {
		_, after, found := strings.Cut(rest, "password")
		if !found {
			return false
		}
		value, isKey := strings.CutPrefix(trimSpace(after), "=")
		if isKey && !strings.HasPrefix(trimSpace(value), "'") {
			return true
		}
		rest = after
	}
}

// isPlainKey reports whether key looks like one.
func isPlainKey(key string) bool {
	for i := range len(key) {
		if !isKeyByte(key[i]) {
			return false
		}
	}
	return len(key) > 0 && len(key) <= 63
}

// isExtensionSetting reports whether key is a setting of an extension, which
// the server accepts without knowing it: a name with a dot.
func isExtensionSetting(key string) bool {
	prefix, rest, found := strings.Cut(key, ".")
	return found && prefix != "" && rest != "" && isPlainKey(key)
}

// nearestKey returns the key of ours or pgx's that differs least from key, and
// by how many edits.
func nearestKey(key string) (string, int) {
	best, distance := "", 1<<30
	consider := func(name string) {
		if d := editDistance(strings.ToLower(key), name); d < distance {
			best, distance = name, d
		}
	}
	for _, k := range Keys() {
		consider(k.Name)
	}
	for _, k := range pgxKeys() {
		consider(k)
	}
	for _, k := range commonSettings() {
		consider(k)
	}
	return best, distance
}

// commonSettings are the server settings that are offered as the nearest key.
func commonSettings() []string {
	return []string{
		"application_name", "search_path", "statement_timeout", "lock_timeout", "timezone", "datestyle",
		"client_encoding", "idle_in_transaction_session_timeout", "default_transaction_isolation",
		"default_transaction_read_only", "options", "work_mem",
	}
}

// editDistance is Levenshtein's distance between two words in bytes. Words
// longer than any key are cut, so that the time stays bounded.
func editDistance(a, b string) int {
	const longest = 64
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
