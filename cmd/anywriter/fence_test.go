package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
)

func TestFenceCommand(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	t.Setenv(dsnVariable, server.DSN())

	status, stdout, stderr := command(t, "fence", "status")
	require.Equal(t, exitFailed, status)
	require.Contains(t, stdout, server.Addr()+" (postgres): anywriter: commit_fence=table: fence table \"anywriter\".\"fence\": it doesn't exist")
	require.Equal(t, "anywriter: the commit fence can't be used on every node\n", stderr)

	for range 2 {
		status, stdout, stderr = command(t, "fence", "install")
		require.Equal(t, exitOK, status, stderr)
		require.Contains(t, stdout, "(postgres): fences transactions and single statements")
		require.Contains(t, stdout, "\"anywriter\".\"fence\": 0 rows")
	}
	status, stdout, stderr = command(t, "fence", "purge", "--older-than", "48h")
	require.Equal(t, exitOK, status, stderr)
	require.Equal(t, "deleted 0 rows older than 48h0m0s\n", stdout)

	for want, args := range map[string][]string{
		`want install, status or purge`: {"fence"},
		`fence "remove": want install`:  {"fence", "remove"},
		"allowed are 1h0m0s and more":   {"fence", "purge", "--older-than", "1m"},
		`takes no argument "now"`:       {"fence", "status", "now"},
		"--timeout is 0s":               {"fence", "status", "--timeout", "0"},
	} {
		status, _, stderr = command(t, args...)
		require.Equal(t, exitUsage, status)
		require.Contains(t, stderr, want)
	}
	t.Setenv(dsnVariable, "postgres://u:secret@127.0.0.1/x?commit_fnce=table")
	status, _, stderr = command(t, "fence", "status")
	require.Equal(t, exitFailed, status)
	require.Contains(t, stderr, "commit_fence")
	require.NotContains(t, stderr, "secret")
	_, _, stderr = command(t, "fence", "-h")
	require.Contains(t, stderr, "older-than")
	require.NotContains(t, stderr, "secret")
	t.Setenv(dsnVariable, "")
	status, _, stderr = command(t, "fence", "status")
	require.Equal(t, exitUsage, status)
	require.Contains(t, stderr, "set ANYWRITER_DSN or --dsn")
}
