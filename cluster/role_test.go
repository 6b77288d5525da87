package cluster

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/engine"
	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/health"
)

// openRoles opens a cluster whose nodes don't answer, so that all claims are the
// test's, and returns it with the log of its changes of roles.
func openRoles(t *testing.T, hosts, params, profile string) (*Cluster, func() []string) {
	t.Helper()
	config, err := ParseConfig("postgres://u@" + hosts + "/db?sslmode=disable" + params)
	require.NoError(t, err)
	var mu sync.Mutex
	var log []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprintf(format, args...))
	}
	config.DialFunc, config.Seed = refuse, 1
	config.Events.RoleChanged = func(node string, to Role, why string) { note("%s %v %s", node, to, why) }
	config.Events.Warned = func(message string) { note("warning: %s", message) }
	c, err := Open(t.Context(), config)
	require.NoError(t, err)
	p, ok := engine.ByName(profile)
	require.True(t, ok)
	for _, n := range c.nodes {
		n.profile.Store(&p)
	}
	return c, func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := log
		log = nil
		return out
	}
}

func says(c *Cluster, node int, claim role.Claim) { c.claim(c.nodes[node], claim, time.Now()) }

func primary(timeline uint32) role.Claim {
	return role.Claim{Role: role.Writer, System: "s", Timeline: timeline}
}

func standby() role.Claim {
	return role.Claim{Role: role.ReadOnly, Reason: role.ReasonRecovery, System: "s"}
}

// A switchover, the way the claims come in, and what is told of it.
func TestClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, log := openRoles(t, "a:1,b:2", "", "postgres")
		defer c.Close()
		says(c, 0, primary(1))
		says(c, 1, standby())
		says(c, 1, standby())
		require.Equal(t, []string{"a:1 Writer ", "b:2 ReadOnly it is a standby"}, log(), "what is no news isn't told")
		says(c, 1, primary(2)) // the old one has said nothing since
		old := "a:1 Superseded it is an old primary on timeline 1; node b:2 has been promoted to timeline 2"
		require.Equal(t, []string{old, "b:2 Writer "}, log())
		says(c, 0, primary(1)) // it is back
		require.Empty(t, log())
		require.Equal(t, []Role{RoleSuperseded, RoleWriter}, []Role{c.Stats().Nodes[0].Role, c.Stats().Nodes[1].Role})
		require.Contains(t, c.Stats().Nodes[0].Note, "old primary on timeline 1")

		c.refusedWrite(c.nodes[0], time.Now())
		require.Empty(t, log(), "it is left alone anyway")
		says(c, 0, standby()) // somebody has rewound it
		require.Equal(t, []string{"a:1 ReadOnly it is a standby"}, log())
		says(c, 1, standby()) // a switch back
		says(c, 0, primary(3))
		require.Equal(t, []string{"b:2 ReadOnly it is a standby", "a:1 Writer "}, log())

		says(c, 1, primary(3))
		require.Equal(t, []string{
			"b:2 Writer ", "warning: nodes b:2 and a:1 both take writes and are on the same timeline of the same system: " +
				"one is a copy of the other, and what is written to one is never seen on the other",
		}, log())
		says(c, 1, primary(3))
		require.Empty(t, log(), "it was said")
		require.True(t, c.rivalled(c.nodes[0]))
		c.nodes[1].duplicateOf.Store(c.nodes[0])
		says(c, 1, primary(3))
		require.False(t, c.rivalled(c.nodes[0]), "another name of a node is nobody's rival")
	})
}

// A refused write counts at once, against answers to older questions too, until
// the node is asked again; for a while where the probe can't tell.
func TestRefusedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, log := openRoles(t, "a:1,b:2", "", "postgres")
		defer c.Close()
		says(c, 0, primary(1))
		asked := time.Now()
		time.Sleep(time.Millisecond)
		c.refusedWrite(c.nodes[0], time.Now())
		c.refusedWrite(c.nodes[0], time.Now())
		require.Equal(t, []string{"a:1 Writer ", "a:1 ReadOnly it has refused a write (25006)"}, log())
		c.claim(c.nodes[0], primary(1), asked)
		require.Empty(t, log(), "the answer is older than the refusal")
		says(c, 0, primary(1))
		require.Equal(t, []string{"a:1 Writer "}, log())
		c.refusedWrite(c.nodes[1], time.Now())
		require.Equal(t, []string{"b:2 ReadOnly it has refused a write (25006)"}, log(), "one that has said nothing yet")
	})
	synctest.Test(t, func(t *testing.T) {
		c, log := openRoles(t, "a:1,b:2", "", "cockroachdb")
		defer c.Close()
		says(c, 0, role.Claim{Role: role.Writer})
		c.refusedWrite(c.nodes[0], time.Now())
		log()
		time.Sleep(refusalHold - time.Millisecond)
		says(c, 0, role.Claim{Role: role.Writer})
		require.Empty(t, log())
		time.Sleep(time.Millisecond)
		says(c, 0, role.Claim{Role: role.Writer})
		require.Equal(t, []string{"a:1 Writer "}, log())
	})
}

// Which nodes writes and reads have, by roles and states. W, S, R, M and O are a
// writer, a standby, a server that was made read-only, a node that lacks a majority
// and an old primary; a small letter is one that is down, ? one that has said nothing.
func TestGroups(t *testing.T) {
	for _, x := range []struct{ roles, writes, writers, any, replicas string }{
		{"W", "0", "0", "0", "0"},
		{"WWW", "012", "012", "012", "012"},
		{"W?W", "012", "012", "012", "012"},
		{"WSS", "0", "0", "012", "12 0"},
		{"SWS", "1", "1", "012", "02 1"},
		{"WsS", "0", "0", "012", "12 0"},
		{"Wss", "0", "0", "012", "0 12"},
		{"wSS", "0", "0", "012", "12 0"},
		{"WWR", "01", "01", "012", "2 01"},
		{"wSR", "0", "0", "012", "12 0"},
		{"WWM", "01", "01 2", "012", "2 01"},
		{"wMR", "0", "0 1", "012", "12 0"},
		{"RMS", "", " 10", "012", "012 "},
		{"RRS", "", " 01", "012", "012 "},
		{"SSS", "", "", "012", "012 "},
		{"OWS", "1", "1", "12", "2 1"},
		{"OSS", "", "", "12", "12 "},
		{"OW", "1", "1", "1", "1"},
	} {
		for mode, want := range map[string]string{"writers": x.writers, "any": x.any, "prefer_replicas": x.replicas} {
			c := withRoles(x.roles, mode)
			v := c.buildView(reportsOf(x.roles))
			require.Equal(t, x.writes, names(v.writes), "writes of %s", x.roles)
			require.Equal(t, want, names(v.reads), "reads of %s with read_from=%s", x.roles, mode)
			require.Equal(t, x.any, names(v.hinted), x.roles)
			require.Equal(t, want != x.writes, v.apart(false), "%s %s", x.roles, mode)
			require.Equal(t, x.any != x.writes, v.apart(true), "%s %s", x.roles, mode)
		}
	}
}

func withRoles(roles, mode string) *Cluster {
	c := &Cluster{}
	c.settings.ReadFrom = mode
	for i, r := range roles {
		n := &Node{cluster: c, index: i, addr: fmt.Sprint(i), load: new(balancer.Load)}
		verdict := map[rune]role.Verdict{
			'w': {Role: role.Writer}, '?': {},
			's': {Role: role.ReadOnly, Reason: role.ReasonRecovery},
			'r': {Role: role.ReadOnly, Reason: role.ReasonDefault},
			'm': {Role: role.ReadOnly, Reason: role.ReasonMinority},
			'o': {Role: role.Superseded, Reason: role.ReasonTimeline},
		}[unicode.ToLower(r)]
		n.role.Store(&verdict)
		c.nodes = append(c.nodes, n)
	}
	return c
}

func reportsOf(roles string) *health.View {
	v := &health.View{}
	for _, r := range roles {
		state := health.Up
		if r >= 'a' {
			state = health.Down
		}
		if r == '?' {
			state = health.Unknown
		}
		v.Reports = append(v.Reports, health.Report{State: state})
	}
	return v
}

// names lists the nodes of groups.
func names(groups []*group) string {
	out := make([]string, 0, len(groups))
	for _, g := range groups {
		s := ""
		for _, n := range g.nodes {
			s += n.addr
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}
