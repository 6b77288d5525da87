package dsn

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// complaint is one of pgx's messages with ours in its place.
type complaint struct{ theirs, ours string }

// complaints lists pgx's messages by their constant beginnings. pgx offers no
// other way to tell them apart, and theirs may quote parts of the name.
func complaints() []complaint {
	return []complaint{
		{"failed to parse as URL", "the URL can't be read: expected is postgres://user:password@host:port,host:port/database?key=value&…, with special characters percent-encoded"},
		{"failed to parse as keyword/value", "the keyword/value string can't be read: expected is key=value key='quoted value' …"},
		{"failed to read service", "the service can't be read: check the keys service and servicefile"},
		{"invalid sslcertmode", "the value of sslcertmode is unknown; allowed are disable, allow, require"},
		{"invalid connect_timeout", "the value of connect_timeout must be a whole number of seconds"},
		{"invalid port", "a port must be a whole number from 1 to 65535 (if the password holds a special character, percent-encode it)"},
		{"could not match", "the number of ports must be one, or that of the hosts"},
		{"failed to configure TLS", "TLS can't be configured: check the keys sslmode (disable, allow, prefer, require, verify-ca, verify-full), sslrootcert, sslcert, sslkey, sslpassword, sslsni and sslnegotiation"},
		{"unknown target_session_attrs", strings.TrimPrefix(errRole.Error(), "dsn: ")},
		{"invalid min_protocol_version", "the value of min_protocol_version is unknown; allowed are 3.0, 3.2, latest"},
		{"invalid max_protocol_version", "the value of max_protocol_version is unknown; allowed are 3.0, 3.2, latest"},
		{"min_protocol_version cannot", "min_protocol_version must be at most max_protocol_version"},
		{"unknown channel_binding", "the value of channel_binding is unknown; allowed are disable, prefer, require"},
		{"invalid require_auth", "the value of require_auth is unknown; allowed are the methods password, md5, gss, sspi, scram-sha-256, oauth, none, or all with a leading !"},
		{"cannot parse statement_cache_capacity", "the value of statement_cache_capacity must be a whole number"},
		{"cannot parse description_cache_capacity", "the value of description_cache_capacity must be a whole number"},
		{"invalid default_query_exec_mode", "the value of default_query_exec_mode is unknown; allowed are cache_statement, cache_describe, describe_exec, exec, simple_protocol"},
	}
}

// sanitise replaces an error of pgx's parser by our own, which shows nothing of
// the name and doesn't wrap pgx's, because that one keeps the whole name.
func sanitise(err error) error {
	message := "a parameter isn't valid"
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		// The error without message and cause is exactly the part that quotes
		// the name.
		quoted := pgconn.NewParseConfigError(parse.ConnString, "", nil).Error()
		rest := strings.TrimPrefix(err.Error(), quoted)
		for _, c := range complaints() {
			if strings.HasPrefix(rest, c.theirs) {
				message = c.ours
				break
			}
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		message += "; a file that is named there doesn't exist"
	case errors.Is(err, fs.ErrPermission):
		message += "; a file that is named there may not be read"
	}
	return errors.New("dsn: " + message)
}
