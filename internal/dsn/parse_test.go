package dsn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/balancer"
)

// clearEnv hides the PG… variables of whoever runs the tests.
func clearEnv(t testing.TB) {
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "PG") {
			require.NoError(t, os.Unsetenv(name))
			t.Cleanup(func() { os.Setenv(name, value) })
		}
	}
}

func names(c *Config) []string {
	out := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		out[i] = n.Name
	}
	return out
}

func TestParseNodes(t *testing.T) {
	clearEnv(t)
	for dsn, want := range map[string][]string{
		"postgres://u:p@a:1,b:2,c:3/db":                            {"a:1", "b:2", "c:3"},
		"postgresql://u@a,b,c/db":                                  {"a:5432", "b:5432", "c:5432"},
		"postgres://u@a:1,b/db":                                    {"a:1", "b:5432"},
		"postgres://u@a,b/db?port=7":                               {"a:7", "b:7"},
		"postgres://u@[::1]:6432,[fe80::1]/db":                     {"[::1]:6432", "[fe80::1]:5432"},
		"postgres://u@%2Fvar%2Frun%2Fpg:5433/db":                   {"/var/run/pg/.s.PGSQL.5433"},
		"postgres://u@/db?host=/run/pg":                            {"/run/pg/.s.PGSQL.5432"},
		"postgres://u@/db?host=a,b&port=1,2":                       {"a:1", "b:2"},
		"postgres://u:p%3Fw@a/db":                                  {"a:5432"},
		"postgres://u:p?w@a:1/db":                                  {"a:1"},
		"postgres://a":                                             {"a:5432"},
		"postgres://a?":                                            {"a:5432"},
		"postgres://a:1?sslmode=disable&":                          {"a:1"},
		"host=a,b port=1,2 user=u":                                 {"a:1", "b:2"},
		"host=a,b,c port=9 user=u":                                 {"a:9", "b:9", "c:9"},
		"host = a  user = u ":                                      {"a:5432"},
		"host=::1 user=u":                                          {"[::1]:5432"},
		"host=/run/pg,a user=u":                                    {"/run/pg/.s.PGSQL.5432", "a:5432"},
		`host='/run/it\'s' user=u`:                                 {"/run/it's/.s.PGSQL.5432"},
		`host=a user=u password=x\`:                                {"a:5432"},
		"postgres://u@a/db;postgres://u@b/db":                      {"a:5432", "b:5432"},
		"postgres://u@a/db ; \n postgresql://u@b:2,c:3/db":         {"a:5432", "b:2", "c:3"},
		"host=a user=u;host=b user=u":                              {"a:5432", "b:5432"},
		"host=a user=u ; host = b user=u":                          {"a:5432", "b:5432"},
		"host=a user=u password='x;host=z';host=b":                 {"a:5432", "b:5432"},
		`host=a user=u password='x\';host=z' ;host=b`:              {"a:5432", "b:5432"},
		"host=a user=u password=x;y":                               {"a:5432"},
		`host=a user=u password=x\;host=b`:                         {"a:5432"},
		"host=a user=u;postgres://b/db":                            {"a:5432", "b:5432"},
		"postgres://a/db;host=b":                                   {"a:5432", "b:5432"},
		"postgres://u@a:1,a:1/db":                                  {"a:1"},
		"postgres://u@a:1/db;postgres://u@a:1/db2;postgres://b/db": {"a:1", "b:5432"},
	} {
		t.Run(dsn, func(t *testing.T) {
			c, err := Parse(dsn)
			require.NoError(t, err)
			assert.Equal(t, want, names(c))
			for _, n := range c.Nodes {
				for _, f := range n.Conn.Fallbacks {
					assert.Equal(t, n.Conn.Host, f.Host, "one pool, one host")
					assert.Equal(t, n.Conn.Port, f.Port)
				}
			}
		})
	}
}

func TestParseList(t *testing.T) {
	clearEnv(t)
	c, err := ParseList([]string{"host=a user=u", "postgres://b:1/db;host=c"})
	require.NoError(t, err)
	assert.Equal(t, []string{"a:5432", "b:1", "c:5432"}, names(c))
	_, err = ParseList(nil)
	assert.ErrorContains(t, err, "no data source name")
}

func TestParsePasswords(t *testing.T) {
	clearEnv(t)
	for dsn, want := range map[string]string{
		"postgres://u:p%3Bq@a,b/db":                     "p;q",
		"postgres://u:p%40%2F%3F%23%25@a,b":             "p@/?#%",
		"postgres://u:p?q@a,b/db":                       "p?q",
		"postgres://u:p:q@a,b/db?sslmode=allow":         "p:q",
		"host=a,b user=u password='p q;host=z'":         "p q;host=z",
		`host=a,b user=u password='p\'\\q'`:             `p'\q`,
		`host=a,b user=u password=p\ q`:                 "p q",
		`host=a,b user=u password=p\`:                   "p",
		`host=a,b user=u password=p\\`:                  `p\`,
		"host=a,b user=u password=p;q":                  "p;q",
		"host=a,b user=u password=it's":                 "it's",
		"host=a,b user=u password='x' sslmode=disable ": "x",
		"postgres://a,b/db?password=p%3Bq":              "p;q",
	} {
		t.Run(dsn, func(t *testing.T) {
			c, err := Parse(dsn)
			require.NoError(t, err)
			require.Len(t, c.Nodes, 2)
			for _, n := range c.Nodes {
				assert.Equal(t, want, n.Conn.Password)
			}
			for _, shown := range []string{c.String(), fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, c), fmt.Sprintf("%v", c.Nodes), fmt.Sprintf("%+v", *c)} {
				assert.NotContains(t, shown, want+" ")
				assert.NotContains(t, shown, "password")
			}
		})
	}
}

func TestParseAgreesWithPgx(t *testing.T) {
	clearEnv(t)
	for _, dsn := range []string{
		"postgres://u:p@h:1/db?sslmode=disable&application_name=x&statement_cache_capacity=7",
		"postgres://u:p@h/db?default_query_exec_mode=simple_protocol&search_path=a,b&connect_timeout=3",
		"host=h user=u dbname=d sslmode=require options='-c work_mem=64kB' TimeZone=UTC my.setting=1",
		"postgres://u@h/db?channel_binding=disable&description_cache_capacity=3&min_protocol_version=3.2",
		"host=h sslmode=prefer",
	} {
		t.Run(dsn, func(t *testing.T) {
			want, err := pgx.ParseConfig(dsn)
			require.NoError(t, err)
			c, err := Parse(dsn + map[bool]string{true: "&balancer=round_robin", false: " balancer=round_robin"}[isURL(dsn)])
			require.NoError(t, err)
			got := c.Nodes[0].Conn
			assert.Equal(t, want.User, got.User)
			assert.Equal(t, want.Password, got.Password)
			assert.Equal(t, want.Database, got.Database)
			assert.Equal(t, want.RuntimeParams, got.RuntimeParams)
			assert.Equal(t, want.StatementCacheCapacity, got.StatementCacheCapacity)
			assert.Equal(t, want.DescriptionCacheCapacity, got.DescriptionCacheCapacity)
			assert.Equal(t, want.DefaultQueryExecMode, got.DefaultQueryExecMode)
			assert.Equal(t, want.ConnectTimeout, got.ConnectTimeout)
			assert.Equal(t, want.TLSConfig == nil, got.TLSConfig == nil)
			assert.Equal(t, len(want.Fallbacks), len(got.Fallbacks))
			assert.Equal(t, want.ChannelBinding, got.ChannelBinding)
			assert.Equal(t, want.MaxProtocolVersion, got.MaxProtocolVersion)
			assert.Equal(t, "round_robin", c.Settings.Balancer)
		})
	}
}

func TestParseTLSIsPerHost(t *testing.T) {
	clearEnv(t)
	c, err := Parse("postgres://u@a.example,b.example/db?sslmode=verify-full")
	require.NoError(t, err)
	assert.Equal(t, "a.example", c.Nodes[0].Conn.TLSConfig.ServerName)
	assert.Equal(t, "b.example", c.Nodes[1].Conn.TLSConfig.ServerName)
}

func TestParseEnvironmentServiceAndPassfile(t *testing.T) {
	clearEnv(t)
	dir := t.TempDir()
	pass := filepath.Join(dir, "pass")
	require.NoError(t, os.WriteFile(pass, []byte("a:1:*:*:first\nb:2:*:*:second\n"), 0o600))
	service := filepath.Join(dir, "service")
	require.NoError(t, os.WriteFile(service, []byte("[s]\nhost=a,b\nport=1,2\nuser=fromservice\n"), 0o600))
	t.Run("environment", func(t *testing.T) {
		t.Setenv("PGHOST", "a,b")
		t.Setenv("PGPORT", "1,2")
		t.Setenv("PGUSER", "me")
		t.Setenv("PGPASSFILE", pass)
		c, err := Parse("")
		require.NoError(t, err)
		assert.Equal(t, []string{"a:1", "b:2"}, names(c))
		assert.Equal(t, "me", c.Nodes[1].Conn.User)
		assert.Equal(t, "first", c.Nodes[0].Conn.Password, "each host has its own line in the password file")
		assert.Equal(t, "second", c.Nodes[1].Conn.Password)
	})
	t.Run("service", func(t *testing.T) {
		c, err := Parse("service=s servicefile=" + service + " min_idle=1")
		require.NoError(t, err)
		assert.Equal(t, []string{"a:1", "b:2"}, names(c))
		assert.Equal(t, "fromservice", c.Nodes[0].Conn.User)
		assert.Equal(t, 1, c.Settings.MinIdle)
	})
	t.Run("role from the environment", func(t *testing.T) {
		t.Setenv("PGTARGETSESSIONATTRS", "standby")
		_, err := Parse("host=a")
		assert.ErrorContains(t, err, "allowed are any, read-write, primary, prefer-standby")
	})
}

// target_session_attrs is translated, and pgx's own check of each new connection
// is left out.
func TestRoles(t *testing.T) {
	clearEnv(t)
	for name, want := range map[string]string{
		"host=a":                          ReadFromWriters,
		"host=a target_session_attrs=any": ReadFromWriters,
		"host=a target_session_attrs=any read_from=any":                              ReadFromAny,
		"host=a target_session_attrs=read-write":                                     ReadFromWriters,
		"host=a target_session_attrs=primary read_from=writers":                      ReadFromWriters,
		"host=a,b target_session_attrs=prefer-standby":                               ReadFromPreferReplicas,
		"postgres://a,b/db?target_session_attrs=prefer-standby;host=c":               ReadFromPreferReplicas,
		"host=a target_session_attrs=read-write;host=b target_session_attrs=primary": ReadFromWriters,
		"host=a read_from=prefer_replicas":                                           ReadFromPreferReplicas,
	} {
		c, err := Parse(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, c.Settings.ReadFrom, name)
		for _, n := range c.Nodes {
			assert.Nil(t, n.Conn.ValidateConnect, name)
		}
	}
}

func TestParseSettings(t *testing.T) {
	clearEnv(t)
	c, err := Parse("host=a balancer=round_robin weights=7 zone=x zones=x max_conns_per_node=5 min_idle=0 acquire_timeout=2 probe_interval=100ms " +
		"dial_timeout=1m retry_max_attempts=3 retry_base=1ms retry_cap=0.5 key_queue=9 conflict_affinity=on session_reset=strict engine=mesh " +
		"read_from=any commit_fence=table fence_table=a.b fence_owner=ops fence_resolve_timeout=500ms")
	require.NoError(t, err)
	assert.Equal(t, Settings{
		Balancer: "round_robin", ReadFrom: "any", Weights: []int{7}, Zone: "x", Zones: []string{"x"}, MaxConnsPerNode: 5, MinIdle: 0, AcquireTimeout: 2 * time.Second,
		ProbeInterval: 100 * time.Millisecond, DialTimeout: time.Minute, RetryMaxAttempts: 3,
		RetryBase: time.Millisecond, RetryCap: 500 * time.Millisecond, KeyQueue: 9, ConflictAffinity: "on", SessionReset: ResetStrict, Engine: "mesh",
		CommitFence: "table", FenceTable: "a.b", FenceOwner: "ops", FenceResolveTimeout: 500 * time.Millisecond,
	}, c.Settings)
	assert.Empty(t, c.Nodes[0].Conn.RuntimeParams, "our keys don't reach the server")

	c, err = Parse("host=a")
	require.NoError(t, err)
	assert.Equal(t, DefaultSettings(), c.Settings)
	assert.Equal(t, Settings{
		Balancer: "p2c", ReadFrom: "writers", MaxConnsPerNode: 16, MinIdle: 2, AcquireTimeout: time.Second,
		ProbeInterval: 250 * time.Millisecond, DialTimeout: 10 * time.Second, RetryMaxAttempts: 30,
		RetryBase: 2 * time.Millisecond, RetryCap: 250 * time.Millisecond, KeyQueue: 1000, ConflictAffinity: "off", SessionReset: ResetAuto, Engine: "auto",
		CommitFence: "off", FenceTable: "anywriter.fence", FenceResolveTimeout: 2 * time.Second,
	}, c.Settings)
	require.NoError(t, c.Settings.Validate())

	c, err = Parse("host=a max_conns_per_node=1 retry_base=1s")
	require.NoError(t, err)
	assert.Equal(t, 1, c.Settings.MinIdle, "a default gives way")
	assert.Equal(t, time.Second, c.Settings.RetryCap)

	c, err = Parse("host=a min_idle=1;host=b min_idle=1;host=c")
	require.NoError(t, err)
	assert.Equal(t, 1, c.Settings.MinIdle)
}

// TestEmptyLastValue ends names in a key without a value: it is empty, and every
// host counts.
func TestEmptyLastValue(t *testing.T) {
	clearEnv(t)
	for _, last := range []string{"password=", "password= ", "password = ", "password=''", "application_name=", "password=a\\", "password=a=", "password='a='"} {
		c, err := Parse("host=n1,n2 port=5432 user=u dbname=d " + last)
		require.NoError(t, err, last)
		require.Len(t, c.Nodes, 2, last)
		theirs, err := pgx.ParseConfig("host=n1 port=5432 user=u dbname=d " + last)
		require.NoError(t, err, last)
		for i, n := range c.Nodes {
			require.Equal(t, fmt.Sprintf("n%d", i+1), n.Conn.Host, last)
			require.Equal(t, theirs.Password, n.Conn.Password, last)
			require.Equal(t, theirs.RuntimeParams, n.Conn.RuntimeParams, last)
			require.Equal(t, "d", n.Conn.Database)
		}
	}
}

func TestWarnings(t *testing.T) {
	clearEnv(t)
	c, err := Parse("host=a user=u;host=b;host=a user=v")
	require.NoError(t, err)
	assert.Equal(t, []string{"a:5432 is named more than once; it is node 1"}, c.Warnings)
}

func TestKeysAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		assert.False(t, seen[k.Name], "%s twice", k.Name)
		seen[k.Name] = true
		assert.NotEmpty(t, k.Type)
		assert.NotEmpty(t, k.Default)
		assert.NotEmpty(t, k.Range)
		assert.True(t, strings.HasSuffix(k.Doc, "."), k.Name)
		assert.False(t, isServerSetting(k.Name), "%s would hide a server setting", k.Name)
		var s Settings
		assert.True(t, k.set(&s, k.Default), "the default of %s is allowed", k.Name)
		assert.True(t, k.valid(&s))
	}
	for _, k := range Keys() {
		if k.Name == "balancer" {
			assert.Equal(t, strings.Join(balancer.Names(), ", "), k.Range)
			assert.Equal(t, balancer.DefaultName, k.Default)
			assert.Equal(t, balancer.MaxShare, maxWeight)
		}
	}
}

func TestTable(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(Table()), "\n")
	assert.Len(t, lines, len(Keys())+2)
	for _, line := range lines {
		assert.Equal(t, 6, strings.Count(line, "|"), line)
	}
	assert.Contains(t, lines, "| `min_idle` | whole number | 2 | 0 to 10000 | Idle connections kept open to each node; at most max_conns_per_node. |")
}

func TestParseErrors(t *testing.T) {
	clearEnv(t)
	for dsn, want := range map[string]string{
		"postgres://a/db?conflict_affinity=yes":                        "conflict_affinity is unknown; allowed are off, on",
		"postgres://a/db?key_queue=0":                                  "key_queue must be a whole number from 1 to 1000000",
		"postgres://a/db?fence_table=fence":                            "fence_table must be a qualified name: schema.name",
		"postgres://a/db?commit_fence=on":                              "allowed are off, table",
		"postgres://a/db?fence_resolve_timeout=0":                      "fence_resolve_timeout",
		"postgres://u:p;q@a/db":                                        "%3B",
		"postgres://u@a/db;":                                           "%3B",
		"postgres://u@a/db?application_name=x;y":                       "%3B",
		"host=a balancr=p2c":                                           "did you mean balancer?",
		"host=a sslmod=disable":                                        "did you mean sslmode?",
		"host=a aply_name=x":                                           "nearest known key is",
		"host=a nonsense_key=x":                                        "unknown key nonsense_key",
		"postgres://a/db?nonsense_key=x":                               "unknown key nonsense_key",
		"host=a statement_timout=1":                                    "did you mean statement_timeout?",
		"host=a balancer=best":                                         "allowed are p2c, least_inflight, round_robin, weighted, random, zone, affinity",
		"host=a,b weights=3,0":                                         "value 2 of weights isn't a whole number from 1 to 1000",
		"host=a,b weights=-1,3":                                        "value 1 of weights isn't",
		"host=a,b weights=1001,3":                                      "value 1 of weights isn't",
		"host=a,b weights=1,x":                                         "value 2 of weights isn't",
		"host=a,b weights=1,":                                          "value 2 of weights isn't",
		"host=a weights=":                                              "value 1 of weights isn't",
		"host=a,b zones=x,,":                                           "value 2 of zones isn't a name",
		"host=a zone=''":                                               "zone must be one name",
		"host=a zone=a,b":                                              "zone must be one name",
		"host=a weights=1;host=b weights=2":                            "weights is given with different values",
		"host=a engine=oracle":                                         "allowed are auto, postgres",
		"host=a session_reset=on":                                      "allowed are auto, strict, off",
		"host=a max_conns_per_node=0":                                  "whole number from 1 to 10000",
		"host=a max_conns_per_node=x":                                  "whole number from 1 to 10000",
		"host=a min_idle=-1":                                           "whole number from 0 to 10000",
		"host=a max_conns_per_node=2 min_idle=3":                       "min_idle must be at most max_conns_per_node",
		"host=a retry_base=1s retry_cap=1ms":                           "retry_cap must be at least retry_base",
		"host=a probe_interval=1ms":                                    "duration from 10ms to 1m0s",
		"host=a probe_interval=NaN":                                    "duration from",
		"host=a probe_interval=1e300":                                  "duration from",
		"host=a acquire_timeout=fast":                                  "duration from",
		"host=a retry_max_attempts=0":                                  "1 to 1000",
		"host=a min_idle=1;host=b min_idle=2":                          "min_idle is given with different values",
		"postgres://a/db?min_idle=1&max_conns_per_node=5&min_idle=2":   "min_idle is given twice with different values",
		"postgres://a/db?min%5fidle=1&min_idle=%32":                    "min_idle is given twice with different values",
		"host=a min_idle=1 min_idle = '2'":                             "min_idle is given twice with different values",
		"host=a;host=b application_name='it\\'s' application_name=its": "application_name is given twice with different values",
		"host=a dbname=x database=y":                                   "database is given twice with different values",
		"host=a sslmode=disable sslmode=require":                       "sslmode is given twice with different values",
		"postgres://a/db?statement_timeout=1&statement_timeout=2":      "statement_timeout is given twice with different values",
		"host=a discover=dns":                                          "discover can't be used: it isn't available in this version",
		"host=a read_from=standby":                                     "allowed are writers, any, prefer_replicas",
		"host=a fence_owner=''":                                        "fence_owner must be a role",
		"host=a pool_max_conns=3":                                      "use max_conns_per_node",
		"host=a load_balance_hosts=random":                             "use balancer",
		"host=a target_session_attrs=standby":                          "allowed are any, read-write",
		"host=a target_session_attrs=read-only":                        "allowed are any, read-write, primary, prefer-standby",
		"host=a target_session_attrs=primary read_from=any":            "contradict",
		"host=a read_from=any;host=b target_session_attrs=primary":     "contradict",
		"host=a target_session_attrs=primary;host=b read_from=any":     "read_from is given with different values",
		"host=a target_session_attrs=odd":                              "allowed are any, read-write",
		"host=a,b port=1,2,3":                                          "number of ports",
		"host=a port=70000":                                            "1 to 65535",
		"host=a port=x":                                                "1 to 65535",
		"host=a sslmode=maybe":                                         "sslmode (disable",
		"host=a sslrootcert=/no/such/file sslmode=verify-ca":           "doesn't exist",
		"host=a sslcertmode=x":                                         "sslcertmode",
		"host=a connect_timeout=x":                                     "connect_timeout",
		"host=a channel_binding=x":                                     "channel_binding",
		"host=a require_auth=x":                                        "require_auth",
		"host=a min_protocol_version=9":                                "min_protocol_version",
		"host=a max_protocol_version=9":                                "max_protocol_version",
		"host=a min_protocol_version=3.2 max_protocol_version=3.0":     "at most max_protocol_version",
		"host=a statement_cache_capacity=x":                            "statement_cache_capacity must",
		"host=a description_cache_capacity=x":                          "description_cache_capacity must",
		"host=a default_query_exec_mode=x":                             "simple_protocol",
		"host=a service=none servicefile=/no/such":                     "service",
		"host=a password='open":                                        "keyword/value string can't be read",
		"just words":                                                   "keyword/value string can't be read",
		"postgres://u:%zz@a/db":                                        "URL can't be read",
		"host=a\x00b":                                                  "can't be read",
		"mysql://u:p@a/db":                                             "keyword/value string can't be read",
	} {
		t.Run(dsn, func(t *testing.T) {
			_, err := Parse(dsn)
			require.ErrorContains(t, err, want)
			var theirs *pgconn.ParseConfigError
			assert.False(t, errors.As(err, &theirs), "pgx's error keeps the whole name")
		})
	}
}

// A key that is given twice with the same value contradicts nothing, however the
// value is written.
func TestTwiceTheSame(t *testing.T) {
	clearEnv(t)
	for _, dsn := range []string{
		"postgres://a/db?min_idle=1&min_idle=%31",
		"host=a min_idle=1 min_idle='1' min_idle=\\1",
		"host=a min_idle=1;host=b min_idle=1",
		"host=a application_name='x = y' application_name=x\\ =\\ y",
		"host=a dbname=x database='x'",
		"host=a sslmode=disable;host=b sslmode=prefer",
	} {
		_, err := Parse(dsn)
		assert.NoError(t, err, dsn)
	}
}

// TestErrorsOfPgxAreAllKnown holds that no error above fell through to the
// general message, so that a release of pgx with other texts is noticed.
func TestErrorsOfPgxAreAllKnown(t *testing.T) {
	clearEnv(t)
	for _, c := range complaints() {
		assert.NotEmpty(t, c.ours)
	}
	for _, dsn := range []string{"host=a port=x", "host=a sslmode=x", "host=a,b port=1,2,3", "x", "postgres://%zz"} {
		_, err := Parse(dsn)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "a parameter isn't valid", dsn)
	}
}

const marker = "hunter2secret"

func TestNoSecretInErrors(t *testing.T) {
	clearEnv(t)
	for _, dsn := range []string{
		"postgres://u:" + marker + "@a:x/db",
		"postgres://u:" + marker + ";x@a/db",
		"postgres://u:x;" + marker + "=1@a/db",
		"postgres://u:123;" + marker + "=1@a/db",
		"postgres://u:x;balancr=" + marker + "@a/db",
		"postgres://u:p?" + marker + "=x/y@a/db",
		"postgres://u:p/" + marker + "@a/db",
		"postgres://u:p/x?" + marker + "=1@a/db",
		"postgres://u:" + marker + "%zz@a/db",
		"postgres://u:%zz" + marker + "@a/db",
		"postgres://u:" + marker + "@[a/db",
		"postgres://u:p:" + marker + "@a:b:c/db",
		"host=a password=my " + marker + "=word",
		"host=a password=my " + marker,
		"host=a password= " + marker + " x",
		"host=a password=" + marker + " balancr=1",
		"host=a password='" + marker,
		"host=a password='x' '" + marker + "'",
		"host=a password=x;" + marker + "=y",
		"host=a sslpassword=my " + marker + "=word",
		"host=a balancer=" + marker,
		"host=a weights=" + marker,
		"host=a zones=," + marker,
		"host=a zone=," + marker,
		"host=a port=" + marker,
		"host=a sslmode=" + marker,
		"host=a target_session_attrs=" + marker,
		"host=a default_query_exec_mode=" + marker,
		"host=a statement_cache_capacity=" + marker,
		"host=a require_auth=" + marker,
		"host=a channel_binding=" + marker,
		"host=a connect_timeout=" + marker,
		"host=a service=" + marker,
		"host=a sslrootcert=/" + marker,
		"host=a engine=" + marker,
		"host=a max_conns_per_node=" + marker,
		"host=a probe_interval=" + marker,
		marker,
		"postgres://" + marker + ":x:y",
	} {
		_, err := Parse(dsn)
		if assert.Error(t, err, dsn) {
			assert.NotContains(t, err.Error(), marker, dsn)
			for e := err; e != nil; e = errors.Unwrap(e) {
				assert.NotContains(t, fmt.Sprintf("%+v %#v", e, e), marker, dsn)
			}
		}
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"":                              {""},
		"host=a":                        {"host=a"},
		"host=a;host=b":                 {"host=a", "host=b"},
		"host=a; host=b ;port=1":        {"host=a", "host=b ", "port=1"},
		"password=a;b":                  {"password=a;b"},
		"password='a;host=b'":           {"password='a;host=b'"},
		"password='a;host=b":            {"password='a;host=b"},
		`password=a\;host=b`:            {`password=a\;host=b`},
		"password=';postgres://x'":      {"password=';postgres://x'"},
		"postgres://a;my.key=1":         {"postgres://a", "my.key=1"},
		"postgres://a;\t\npostgres://b": {"postgres://a", "postgres://b"},
		"nonsense":                      {"nonsense"},
		"a=1 ;b = 2":                    {"a=1 ", "b = 2"},
		`a=\`:                           {`a=\`},
		`a='\`:                          {`a='\`},
	} {
		got, err := split(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"postgres://a;", "postgres://a;b", "postgres://a;=", "postgres://u:p;q@a;host=b"} {
		_, err := split(text)
		assert.ErrorIs(t, err, errSemicolon, text)
	}
}

func TestTooManyHosts(t *testing.T) {
	clearEnv(t)
	_, err := Parse("user=u host=" + strings.Repeat("a,b,", maxNodes))
	assert.ErrorContains(t, err, "at most 256 are possible")
	assert.Equal(t, maxNodes, balancer.MaxCandidates)
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 1},
		{"kitten", "sitting", 3},
		{"balancr", "balancer", 1},
		{"abc", "abc", 0},
	} {
		assert.Equal(t, c.want, editDistance(c.a, c.b))
		assert.Equal(t, c.want, editDistance(c.b, c.a))
	}
}

// FuzzParse puts a marker into a password in every way and holds that no error
// shows it, and that what parses has sane nodes.
func FuzzParse(f *testing.F) {
	clearEnv(f)
	for _, s := range [][2]string{
		{"postgres://u:", "@a,b:1/db?sslmode=disable"},
		{"host=a password=", " port=1"},
		{"host=a password='", "' balancr=1"},
		{"host=a;host=b password=x ", "=y"},
		{"postgres://u:p;", "@a;host=b"},
		{"postgres://u:x?", "=1@a/db"},
		{"host=a balancer=", ""},
		{"host=a ", "=x"},
		{"postgres://a/db?", "=x"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before, "service") || strings.Contains(before, "file") || strings.Contains(before, "ssl") {
			return // may read files that the machine has
		}
		const secret = "Zq7Wx9Kj"
		c, err := Parse(before + secret + after)
		if err != nil {
			inPassword := isURL(before) && strings.Contains(after, "@") ||
				!isURL(before) && strings.Contains(before, "password") && !strings.Contains(before, "'")
			if inPassword && strings.Contains(err.Error(), secret) {
				t.Fatalf("%q: the error shows the secret: %v", before+secret+after, err)
			}
			// A secret that stands where a key stands, behind nothing but spaces, is one.
			start := strings.TrimSpace(before)
			if strings.ContainsAny(start, "= :") && strings.Contains(err.Error(), start+secret) {
				t.Fatalf("the error shows the name: %v", err)
			}
			return
		}
		if len(c.Nodes) == 0 {
			t.Fatal("no nodes and no error")
		}
		if strings.Contains(c.String(), secret) && strings.Contains(before, "password=") && !strings.Contains(before, "host") {
			t.Fatalf("String shows the secret: %v", c)
		}
		if err := c.Settings.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAtSignInHost takes what follows an unencoded @ of a password for a part of
// it, and shows none of it.
func TestAtSignInHost(t *testing.T) {
	_, err := Parse("postgres://u:SE@CRET@127.0.0.1:1/db")
	require.ErrorContains(t, err, "%40")
	require.NotContains(t, err.Error(), "CRET")
}
