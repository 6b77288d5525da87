package dsn

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// maxNodes bounds the hosts of one name, as the balancer's views are bounded.
const maxNodes = 256

// Parse reads a data source name: one URL or keyword/value string, each with one
// host or a list of them, or several separated by ";". What a name leaves out
// comes from the PG… environment variables, a service file and pgx's defaults.
// It reads the files that the name points to (certificates, .pgpass), but
// doesn't dial or resolve names. No error shows any text of the name except the
// names of keys. It is safe for concurrent use.
func Parse(name string) (*Config, error) { return ParseList([]string{name}) }

// ParseList is Parse for several names, which may differ in everything but our
// own keys: one of these may be given in one name or with the same value in
// several.
func ParseList(names []string) (*Config, error) {
	if len(names) == 0 {
		return nil, errors.New("dsn: no data source name is given")
	}
	b := builder{given: make(map[string]string)}
	for _, name := range names {
		parts, err := split(trimSpace(name))
		if err != nil {
			return nil, err
		}
		for i, part := range parts {
			if err := b.add(part, i > 0); err != nil {
				return nil, err
			}
		}
	}
	settings, err := b.settings()
	if err != nil {
		return nil, err
	}
	return &Config{Nodes: b.nodes, Settings: settings, Warnings: b.warnings}, nil
}

// builder collects the nodes and settings of several names.
type builder struct {
	nodes    []Node
	warnings []string
	given    map[string]string // our own keys
}

// add reads one single name. follows says that it stands behind a ";", which may
// have been meant as a part of a password.
func (b *builder) add(name string, follows bool) error {
	all, err := pgx.ParseConfig(name)
	if err != nil {
		return sanitise(err)
	}
	if err := differsFromItself(name); err != nil {
		return err
	}
	if err := b.takeKeys(all, follows || mayBeSecret(name)); err != nil {
		return err
	}
	if err := b.takeRole(all); err != nil {
		return err
	}
	list := hosts(all)
	if len(list) > maxNodes {
		return fmt.Errorf("dsn: %d hosts are given, at most %d are possible", len(list), maxNodes)
	}
	for _, host := range list {
		if strings.ContainsRune(host.name, '@') {
			// Most likely the rest of a password, so the host is not named.
			return errors.New("dsn: a host name contains @: write an @ in a user name or password as %40")
		}
		single, err := pgx.ParseConfig(withHost(name, host))
		if err != nil {
			return sanitise(err)
		}
		for _, k := range Keys() {
			delete(single.RuntimeParams, k.Name)
		}
		single.ValidateConnect = nil // would ask on each new connection what the prober knows
		b.addNode(Node{Name: address(single.Host, single.Port), Conn: single})
	}
	return nil
}

// addNode appends a node unless its address is there already.
func (b *builder) addNode(n Node) {
	for i, have := range b.nodes {
		if have.Name == n.Name {
			b.warnings = append(b.warnings, fmt.Sprintf("%s is named more than once; it is node %d", n.Name, i+1))
			return
		}
	}
	b.nodes = append(b.nodes, n)
}

// takeKeys takes our own keys out of what pgx would send to the server, and
// checks that the server can know the rest. With secret set, an unknown key may
// be a part of a password.
func (b *builder) takeKeys(all *pgx.ConnConfig, secret bool) error {
	own := make(map[string]bool)
	for _, k := range Keys() {
		value, found := all.RuntimeParams[k.Name]
		if !found {
			continue
		}
		own[k.Name] = true
		if before, twice := b.given[k.Name]; twice && before != value {
			return fmt.Errorf("dsn: %s is given with different values; it holds for the whole cluster", k.Name)
		}
		b.given[k.Name] = value
	}
	var rest []string
	for key := range all.RuntimeParams {
		if !own[key] {
			rest = append(rest, key)
		}
	}
	sort.Strings(rest) // the same error for the same name
	for _, key := range rest {
		if err := checkForeignKey(key, secret); err != nil {
			return err
		}
	}
	return nil
}

// settings makes the values of our own keys from the defaults and what was
// given.
func (b *builder) settings() (Settings, error) {
	s := DefaultSettings()
	for _, k := range Keys() {
		value, found := b.given[k.Name]
		if found && !k.set(&s, value) {
			return Settings{}, k.notAllowed(&s)
		}
	}
	// The two bounds below depend on another key: a default gives way to what
	// was given.
	if _, given := b.given["min_idle"]; !given {
		s.MinIdle = min(s.MinIdle, s.MaxConnsPerNode)
	}
	if _, given := b.given["retry_cap"]; !given {
		s.RetryCap = max(s.RetryCap, s.RetryBase)
	}
	return s, s.Validate()
}

// host is one address of a name.
type host struct {
	name string
	port uint16
}

// hosts returns the addresses that pgx found, without the repetitions that it
// makes for TLS and plain attempts.
func hosts(all *pgx.ConnConfig) []host {
	list := []host{{all.Host, all.Port}}
	for _, f := range all.Fallbacks {
		if h := (host{f.Host, f.Port}); h != list[len(list)-1] {
			list = append(list, h)
		}
	}
	return list
}

// withHost returns the same name for one host only, by adding the keys host and
// port at its end: the last of several values counts in both forms.
func withHost(name string, h host) string {
	port := strconv.Itoa(int(h.port))
	if !isURL(name) {
		// A single backslash at the end escapes nothing, but it would escape
		// the space that is added here.
		if trailing := len(name) - len(strings.TrimRight(name, `\`)); trailing%2 == 1 {
			name = name[:len(name)-1]
		}
		if endsInEmptyValue(name) {
			name += "''" // or what is added would be the value
		}
		return name + " host='" + quoteValue(h.name) + "' port='" + port + "'"
	}
	separator := "&"
	switch query, found := urlQuery(name); {
	case !found:
		separator = "?"
	case query == "" || strings.HasSuffix(query, "&"):
		separator = ""
	}
	return name + separator + "host=" + percentEncode(h.name) + "&port=" + port
}

// urlQuery returns what follows the "?" that starts the query of a URL. A "?"
// inside the user or password starts nothing.
func urlQuery(name string) (string, bool) {
	_, rest, _ := strings.Cut(name, "://")
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		rest = rest[i+1:]
	}
	_, query, found := strings.Cut(rest, "?")
	return query, found
}

// quoteValue escapes a value for single quotes.
func quoteValue(v string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v)
}

// percentEncode encodes every byte that isn't a letter or digit.
func percentEncode(v string) string {
	var b strings.Builder
	for i := range len(v) {
		if c := v[i]; isKeyByte(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
