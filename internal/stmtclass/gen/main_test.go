package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const bin = "/usr/lib/postgresql/15/bin"

// TestCommittedFileIsCurrent asks a real PostgreSQL 15 and compares.
func TestCommittedFileIsCurrent(t *testing.T) {
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		t.Skipf("no PostgreSQL 15 in %s: the list of built-in functions isn't compared with a server", bin)
	}
	want, err := generate(bin)
	require.NoError(t, err)
	have, err := os.ReadFile("../procs_gen.go")
	require.NoError(t, err)
	assert.True(t, string(want) == string(have), "procs_gen.go differs from the server's pg_proc; run go generate in stmtclass")
}

func TestParseAnswer(t *testing.T) {
	_, _, err := parseAnswer([]byte("\t 1: entry = \"abs:false\"\t(typeid = 25)\n"))
	assert.ErrorContains(t, err, "only 1 stable and 0 volatile")
	_, _, err = parseAnswer([]byte("\t 1: entry = \"abs\"\t(typeid = 25)\n"))
	assert.ErrorContains(t, err, "unexpected line")
}
