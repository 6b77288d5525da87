package engine

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster/internal/role"
)

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		reported map[string]string
		host     string
		want     string
	}{
		{map[string]string{"server_version": "15.18 (Debian 15.18-0+deb12u1)"}, "n1", "postgres"},
		{map[string]string{"server_version": "15.0", "simnode.version": "1"}, "n1", "simnode"},
		{map[string]string{"server_version": "13.0.0", "crdb_version": "CockroachDB CCL v24.3.0"}, "n1", "cockroachdb"},
		{map[string]string{"server_version": "15.12-YB-2025.1.0.0-b0"}, "n1", "yugabyte"},
		{map[string]string{"server_version": "16.9"}, "abc.dsql.us-east-1.on.aws", "dsql"},
		{map[string]string{"server_version": "16.9"}, "abc.dsql-fnh4.us-east-1.on.aws.", "dsql"},
		{map[string]string{"server_version": "16.9"}, "dsql.us-east-1.on.aws", "postgres"},
		{map[string]string{"server_version": "16.9"}, "dsql.example.com", "postgres"},
		{map[string]string{"server_version": "16.9"}, "abc.dsql.us-east-1.on.aws.example.com", "postgres"},
		{nil, "n1", "unknown"},
	} {
		got := Detect(func(name string) string { return c.reported[name] }, c.host)
		require.Equal(t, c.want, got.String(), "%v %s", c.reported, c.host)
	}
}

func TestRefine(t *testing.T) {
	for extensions, want := range map[string]string{
		"": "postgres", "bdr": "pgd", "spock": "spock", "pglogical": "pglogical",
		"pglogical,bdr": "pgd", "bdrx": "postgres",
	} {
		require.Equal(t, want, postgres().Refine(extensions).Name, extensions)
	}
	require.Equal(t, "simnode", simnode().Refine("bdr").Name, "only PostgreSQL is refined")
}

func TestByName(t *testing.T) {
	for _, p := range All() {
		got, ok := ByName(p.Name)
		require.True(t, ok)
		require.Equal(t, p, got)
	}
	for _, name := range []string{"", "auto", "mesh", "independent", "oracle"} {
		_, ok := ByName(name)
		require.False(t, ok, name)
	}
}

// TestProfilesAreWhole holds what every profile needs to be used.
func TestProfilesAreWhole(t *testing.T) {
	for _, p := range append(All(), Unknown()) {
		require.NotEmpty(t, p.Probe, p)
		require.NotEmpty(t, p.Reset, p)
		require.NotContains(t, strings.ToLower(p.Reset), "discard all", "%v: it would drop the statement cache's statements", p)
		require.NotContains(t, strings.ToLower(p.Reset), "deallocate", p)
		require.NotEmpty(t, p.Fence.Why, p)
		require.NotEmpty(t, p.Causality.Why, p)
		if p.Name == "" {
			continue
		}
		require.NotEmpty(t, p.Sources, p)
		for _, answer := range []string{role.AnswerWriter, role.AnswerChosen, role.AnswerReadOnly, role.AnswerStandby} {
			// The simulator's server words its answer itself.
			require.Equal(t, p.Roles && p.Name != "simnode", strings.Contains(p.Probe, "'"+answer+"'"), "%v: %s", p, answer)
		}
		require.False(t, p.Timeline != "" && p.Identity == "", "%v: timelines are compared among those of one system", p)
		if p.Identity != "" {
			require.Empty(t, p.ClusterParameter+p.NodeParameter, "%v: asked or told, not both", p)
		}
	}
	for _, name := range []string{"pgd", "spock", "pglogical"} {
		p, _ := ByName(name)
		require.False(t, p.Fence.Valid, "%s commits before the others know", name)
		require.False(t, p.Causality.Valid, name)
	}
	require.False(t, Unknown().Fence.Valid)
}
