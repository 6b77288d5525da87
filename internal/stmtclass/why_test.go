package stmtclass

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBecause(t *testing.T) {
	for sql, want := range map[string]string{
		"":                             "Empty: holds no command",
		"-- nothing":                   "Empty: holds no command",
		"select 1":                     "Read: begins with SELECT",
		"/* x */ values (1)":           "Read: begins with VALUES",
		"with a as (select 1) table a": "Read: begins with WITH",
		"show work_mem":                "Read: begins with SHOW",
		"insert into t values (1)":     "Write: begins with INSERT",
		"update t set a = f(1)":        "Write: begins with UPDATE",
		"create table t (a int)":       "Write: begins with CREATE",
		"vacuum":                       "Write: begins with VACUUM",
		"explain select 1":             "Write: begins with EXPLAIN",
		"hunter2 is a password":        "Write: begins with no command that is known",
		"'hunter2'":                    "Write: begins with no command that is known",
		"with a as (delete from t returning 1) select * from a": "Write: contains DELETE",
		"select 1 as a into t":                      "Write: contains INTO",
		"select * from t for update":                "Write: locks rows",
		"select * from t for no key update":         "Write: locks rows",
		"select abs(1), Next_One('hunter2'), now()": "Write: calls Next_One, which isn't known to change nothing",
		`select s."f"(1)`:                           `Write: calls "f", which isn't known to change nothing`,
		"select 1 operator(pg_catalog.+) 2":         "Write: contains OPERATOR(…), which may call any function",
		"select (1":                                 "Write: has parentheses that don't match, or too many",
		"select 1)":                                 "Write: has parentheses that don't match, or too many",
		"select " + strings.Repeat("(", 70) + "1" + strings.Repeat(")", 70): "Write: has parentheses that don't match, or too many",
		"select 1; select 2; delete from t":                                 "Write: holds 3 commands",
		"select 'open":                                                      "Write: ends inside a quote or comment",
		"set x = 'hunter2'":                                                 "Session: begins with SET",
		"prepare a as select 1":                                             "Session: begins with PREPARE",
		"rollback to a":                                                     "Transaction: begins with ROLLBACK",
		"call f()":                                                          "Write: begins with CALL",
	} {
		info := Classify(sql)
		assert.Equal(t, want, info.Class.String()+": "+info.Because(sql), sql)
		assert.NotContains(t, info.Because(sql), "hunter2")
	}
	info := Classify("select next_one()")
	assert.NotPanics(t, func() { info.Because("select") }, "another text than the one that was classified")
}
