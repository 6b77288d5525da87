package dsn

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anywriter/anywriter/internal/fence"
)

// Key documents one of our own keys. The table of keys is the only place that
// knows their names: parsing, validation, messages and the documentation are
// made from it.
type Key struct {
	// Name is how the key is written.
	Name string
	// Type is one of: whole number, duration, name, qualified name, role, zone, or
	// a list of whole numbers or names.
	Type string
	// Default is the value of a name that doesn't mention the key.
	Default string
	// Range says what is allowed.
	Range string
	// Doc is one sentence.
	Doc string

	set   func(*Settings, string) bool // false: the value isn't allowed
	valid func(*Settings) bool
	flaw  func(*Settings) string // what is wrong with a value that isn't allowed; may be nil
}

// Keys returns the table of our own keys in the order of the documentation.
func Keys() []Key {
	return slices.Concat(balanceKeys(), poolKeys(), retryKeys(), hotKeys(), fenceKeys())
}

// poolKeys holds the keys about nodes, connections and health.
func poolKeys() []Key {
	return []Key{
		// Where all nodes take writes the three are the same. Where some don't,
		// they lag: who hasn't asked for old data mustn't get it.
		nameKey("read_from", []string{ReadFromWriters, ReadFromAny, ReadFromPreferReplicas}, ReadFromWriters,
			"Which nodes reads go to: those that take writes, all, or those that take none as long as one of them is well.",
			func(s *Settings) *string { return &s.ReadFrom }),
		// 16 connections to each of three nodes are 48 of the 100 that
		// PostgreSQL allows by default.
		intKey("max_conns_per_node", 16, 1, 10000, "Server connections to each node, at most.",
			func(s *Settings) *int { return &s.MaxConnsPerNode }),
		// Two warm connections take the first operations after a failover while
		// more are dialed.
		intKey("min_idle", 2, 0, 10000, "Idle connections kept open to each node; at most max_conns_per_node.",
			func(s *Settings) *int { return &s.MinIdle }),
		durationKey("acquire_timeout", time.Second, time.Millisecond, time.Hour,
			"How long an operation waits for a node and a connection before it fails.",
			func(s *Settings) *time.Duration { return &s.AcquireTimeout }),
		// Four probes a second cost a node less than 0.1 % of a core and find a
		// frozen node within a second.
		durationKey("probe_interval", 250*time.Millisecond, 10*time.Millisecond, time.Minute,
			"Time between two probes of a healthy node. A frozen one is found 0.4 s after the next probe, at the earliest.",
			func(s *Settings) *time.Duration { return &s.ProbeInterval }),
		// 10 s is as long as the prober has, too: a dial with TLS and a password takes
		// eight round trips, and may lose a packet or two.
		durationKey("dial_timeout", 10*time.Second, time.Millisecond, time.Hour,
			"How long opening one server connection may take, TLS and login included, where `connect_timeout` isn't given. No operation waits for it that long: others are asked meanwhile.",
			func(s *Settings) *time.Duration { return &s.DialTimeout }),
		nameKey("engine", []string{
			"auto", "postgres", "simnode", "cockroachdb", "yugabyte", "dsql", "pgd", "spock", "pglogical",
			"mesh", "independent",
		}, "auto", "What the servers are; mesh and independent allow different cluster identities.",
			func(s *Settings) *string { return &s.Engine }),
	}
}

// retryKeys holds the keys about attempts and session state.
func retryKeys() []Key {
	return []Key{
		// Thirty attempts wait for about 3 s: longer than a dead node's
		// reservations live.
		intKey("retry_max_attempts", 30, 1, 1000, "Attempts of one autocommit statement, the first included; the context's "+
			"deadline and the retry budget (a fifth of the traffic and ten a second) may end them earlier.",
			func(s *Settings) *int { return &s.RetryMaxAttempts }),
		// A few round trips inside a data centre.
		durationKey("retry_base", 2*time.Millisecond, 100*time.Microsecond, time.Minute,
			"Upper bound of the first wait between attempts; it doubles with each.",
			func(s *Settings) *time.Duration { return &s.RetryBase }),
		// One probe interval: after it the picture of the cluster is a new one.
		durationKey("retry_cap", 250*time.Millisecond, 100*time.Microsecond, time.Minute,
			"Upper bound of every wait between attempts; at least retry_base.",
			func(s *Settings) *time.Duration { return &s.RetryCap }),
		{
			Name: "session_reset", Type: "name", Default: ResetAuto.String(), Range: "auto, strict, off",
			Doc: "How state left in a server session is undone before it serves somebody else.",
			set: func(s *Settings, v string) bool {
				for _, r := range []SessionReset{ResetAuto, ResetStrict, ResetOff} {
					if r.String() == v {
						s.SessionReset = r
						return true
					}
				}
				return false
			},
			valid: func(s *Settings) bool { return s.SessionReset <= ResetOff },
		},
	}
}

// hotKeys holds the keys about rows that many want to change at once.
func hotKeys() []Key {
	return []Key{
		// At 10 ms for each, two round trips inside a region, the last of a
		// thousand waits for ten seconds: longer than anybody should.
		intKey("key_queue", 1000, 1, 1_000_000,
			"How many operations may wait for their turn on one key of WithKey; see [docs/hot-keys.md](docs/hot-keys.md).",
			func(s *Settings) *int { return &s.KeyQueue }),
		nameKey("conflict_affinity", []string{"off", switchedOn}, "off",
			"Whether the row that a server names in a conflict is the key of the next attempt, and for a while of what begins with the same statement; see [docs/hot-keys.md](docs/hot-keys.md).",
			func(s *Settings) *string { return &s.ConflictAffinity }),
	}
}

// fenceKeys holds the keys of the commit fence.
func fenceKeys() []Key {
	return []Key{
		nameKey("commit_fence", []string{"off", FenceInTable}, "off",
			"Whether each transaction that writes leaves a row by which its outcome can be found out if the answer to COMMIT is lost.",
			func(s *Settings) *string { return &s.CommitFence }),
		{
			Name: "fence_table", Type: "qualified name", Default: fence.DefaultTable, Range: "schema.name",
			Doc: "The table of these rows; `anywriter fence install` makes it.",
			set: func(s *Settings, v string) bool {
				s.FenceTable = v
				_, err := fence.ParseTable(v)
				return err == nil
			},
			valid: func(s *Settings) bool {
				_, err := fence.ParseTable(s.FenceTable)
				return err == nil
			},
		},
		{
			// PostgreSQL lets no role be called none.
			Name: "fence_owner", Type: "role", Default: "none", Range: "its name",
			Doc: "A role that may own the fence table besides the session's own, superusers and the database's owner.",
			set: func(s *Settings, v string) bool {
				s.FenceOwner = v
				if v == "none" {
					s.FenceOwner = ""
				}
				return v != ""
			},
			valid: func(*Settings) bool { return true },
		},
		// 2 s is the longest that a frozen node may stay undetected.
		durationKey("fence_resolve_timeout", 2*time.Second, time.Millisecond, time.Minute,
			"How long the driver tries to find out what became of a commit whose answer is lost, whatever the caller's context says.",
			func(s *Settings) *time.Duration { return &s.FenceResolveTimeout }),
	}
}

// nameKey describes a key whose value is one of a few names.
func nameKey(name string, allowed []string, def, doc string, field func(*Settings) *string) Key {
	known := func(v string) bool {
		for _, a := range allowed {
			if a == v {
				return true
			}
		}
		return false
	}
	return Key{
		Name: name, Type: "name", Default: def, Range: strings.Join(allowed, ", "), Doc: doc,
		set: func(s *Settings, v string) bool {
			*field(s) = v
			return known(v)
		},
		valid: func(s *Settings) bool { return known(*field(s)) },
	}
}

// intKey describes a key whose value is a whole number.
func intKey(name string, def, low, high int, doc string, field func(*Settings) *int) Key {
	return Key{
		Name: name, Type: "whole number", Default: strconv.Itoa(def),
		Range: fmt.Sprintf("%d to %d", low, high), Doc: doc,
		set: func(s *Settings, v string) bool {
			n, err := strconv.Atoi(v)
			*field(s) = n
			return err == nil
		},
		valid: func(s *Settings) bool { return *field(s) >= low && *field(s) <= high },
	}
}

// durationKey describes a key whose value is a duration: a number with a unit
// (250ms, 1s, 1m30s), or a plain number of seconds as in libpq's
// connect_timeout.
func durationKey(name string, def, low, high time.Duration, doc string, field func(*Settings) *time.Duration) Key {
	return Key{
		Name: name, Type: "duration", Default: def.String(),
		Range: fmt.Sprintf("%v to %v", low, high), Doc: doc,
		set: func(s *Settings, v string) bool {
			d, ok := parseDuration(v)
			*field(s) = d
			return ok
		},
		valid: func(s *Settings) bool { return *field(s) >= low && *field(s) <= high },
	}
}

// parseDuration reads Go's notation, or a plain number of seconds.
func parseDuration(v string) (time.Duration, bool) {
	if seconds, err := strconv.ParseFloat(v, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) > math.MaxInt32 {
			return 0, false
		}
		return time.Duration(seconds * float64(time.Second)), true
	}
	d, err := time.ParseDuration(v)
	return d, err == nil
}

// Table returns the table of our own keys as Markdown, for the documentation.
func Table() string {
	var b strings.Builder
	b.WriteString("| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n")
	for _, k := range Keys() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, k.Type, k.Default, k.Range, k.Doc)
	}
	return b.String()
}

// DefaultSettings returns the value of a name that mentions none of our keys.
func DefaultSettings() Settings {
	var s Settings
	for _, k := range Keys() {
		k.set(&s, k.Default)
	}
	return s
}

// Validate checks every value against the table of keys. The error names the
// key and what is allowed.
func (s Settings) Validate() error {
	for _, k := range Keys() {
		if !k.valid(&s) {
			return k.notAllowed(&s)
		}
	}
	if s.MinIdle > s.MaxConnsPerNode {
		return fmt.Errorf("dsn: min_idle must be at most max_conns_per_node")
	}
	if s.RetryCap < s.RetryBase {
		return fmt.Errorf("dsn: retry_cap must be at least retry_base")
	}
	return nil
}

// notAllowed is the error for a bad value. It doesn't show the value: in a
// broken name that could be a part of a password.
func (k Key) notAllowed(s *Settings) error {
	if k.flaw != nil {
		return fmt.Errorf("dsn: %s", k.flaw(s))
	}
	switch k.Type {
	case "name":
		return fmt.Errorf("dsn: the value of %s is unknown; allowed are %s", k.Name, k.Range)
	case "qualified name", "role":
		return fmt.Errorf("dsn: the value of %s must be a %s: %s", k.Name, k.Type, k.Range)
	}
	return fmt.Errorf("dsn: the value of %s must be a %s from %s", k.Name, k.Type, k.Range)
}
