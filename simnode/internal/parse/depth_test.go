package parse

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// chains are texts that grow deep with n.
func chains(n int) map[string]string {
	r := func(s string) string { return strings.Repeat(s, n) }
	return map[string]string{
		"operator":    "select 1" + r("+1"),
		"spaced":      "select 1" + r(" + 1"),
		"prefix":      "select " + r("- ") + "1",
		"concat":      "select 'x'" + r("||'(x'"),
		"cast":        "select 1" + r("::int"),
		"not":         "select " + r("not ") + "true",
		"is null":     "select 1" + r(" is null"),
		"isnull":      "select 1" + r(" isnull"),
		"collate":     "select 'x'" + r(` collate "C"`),
		"zone":        "select 'x'" + r(" at time zone 'UTC'"),
		"like":        "select 'x'" + r(" like 'x'"),
		"parentheses": "select " + r("(") + "1" + r(")"),
		"calls":       "select " + r("coalesce(") + "1" + r(")"),
		"arguments":   "select " + r("coalesce(1, ") + "1" + r(")"),
		"queries":     "select " + r("(select ") + "1" + r(")"),
		"case":        "select " + r("case when true then ") + "1" + r(" end"),
		"union":       "select 1, 2" + r(" union select 1, 2"),
		"join":        "select 1 from a" + r(" join b on true and true"),
		"no escape":   `select date'\'` + r("+1") + "'",
		"comment":     "select 1" + r("+/* ; */1"),
		"line":        "select 1" + r("+--;'\n1"),
		"operator()":  "select 1" + r(" operator(pg_catalog.+) 1"),
		"and not":     "select " + r("not (true and ") + "true" + r(")"),
	}
}

func TestDeepTextIsRefusedAndNotFatal(t *testing.T) {
	for name, text := range chains(50_000) {
		_, err := Parse(text)
		var e *sqlerr.Error
		require.True(t, errors.As(err, &e), name)
		require.Equal(t, "54001", e.Code, "%s: %v", name, err)
	}
}

// What the estimate lets through, both builds of the grammar survive.
func TestDeepestText(t *testing.T) {
	for _, n := range []int{maxDepth / weightChain, maxDepth / weightNested, maxDepth/weightNested - 10} {
		for name, text := range chains(n) {
			if checkDepth(text) == nil {
				_, err := Parse(text)
				var e *sqlerr.Error
				require.True(t, err == nil || errors.As(err, &e), "%s: %v", name, err)
			}
		}
	}
}

func TestLongTextsThatAreFlat(t *testing.T) {
	const n = 20_000
	r := func(s string) string { return strings.Repeat(s, n) }
	for name, text := range map[string]string{
		"values":     "insert into t values (1+1, 'a')" + r(", (-1, $1 || 'it''s (')"),
		"in":         "select 1 in (-1" + r(", -1") + ")",
		"or":         "select 1 from t where a = 1" + r(" or a = 1"),
		"and":        "select 1 from t where a = 1" + r(" and b is not null"),
		"statements": r("update t set a = a + 1;"),
		"case":       "select case" + r(" when a = 1 then -1") + " else 0 end",
		"string":     "select '" + r("((((++") + "'",
		"escapes":    "select e'" + r(`\'((((`) + "'",
		"dollar":     "select $a$" + r("(((' +") + "$a$",
		"name":       `select "` + r("((((") + `"`,
		"comment":    "select 1 /*" + r("((/*((*/") + "*/",
		"line":       "select 1 --" + r("(((("),
	} {
		require.NoError(t, checkDepth(text), name)
	}
}
