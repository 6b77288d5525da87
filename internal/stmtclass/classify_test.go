package stmtclass

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestReads(t *testing.T) {
	for _, sql := range []string{
		"select 1",
		"SELECT * FROM t WHERE a = $1 AND b IN (1, 2) ORDER BY c LIMIT (5) OFFSET (1)",
		"select 1;",
		";; select 1 ; ;",
		"/* a /* nested */ comment */ select 1 -- end",
		"(select 1) union all (values (2))",
		"((select 1))",
		"values (1, 2), (3, 4)",
		"table t",
		"show search_path",
		"with a as (select 1) select * from a",
		"with a(x, y) as (select 1, 2), b (z) as not materialized (table t) select * from a, b",
		"with recursive t(n) as (values (1) union all select n + 1 from t where n < 5) select sum(n) from t",
		"select 'delete from t', E'it\\'s; drop', $$ insert into t $$, $a$ $$ update $a$, U&'\\0041', b'01', x'ff', n'x'",
		`select "delete", "in""sert" from "update"`,
		"select E'a'\n'b\\'; delete from t' ",
		"select count(*), sum(a), max(b) filter (where c), row_number() over (partition by (a) order by (b)) from t",
		"select percentile_cont(0.5) within group (order by (x)) from t",
		"select coalesce(a, 1), nullif(b, 2), greatest(1, 2), cast(a as varchar(20)), a::numeric(10, 2), a :: pg_catalog.numeric (4) from t",
		"select extract(year from now()), substring(a from 1 for 3), trim(both 'x' from a), position('a' in b), overlay(a placing 'b' from 1 for 2) from t",
		"select case when (a) then (b) else (c) end, not (a), (a) and (b) or (c), a between (1) and (2) from t",
		"select * from generate_series(1, 10) g(n)",
		"select * from generate_series(1, 10) as g (n)",
		"select * from (select 1) x (a)",
		"select * from json_to_recordset('[]') as x(a int, b varchar(3))",
		"select * from a join (select 1 as id) b using (id) left join (values (1)) c (id) on (a.id = c.id)",
		"select * from a inner join (select 1) b on (true) cross join lateral (select 2) d",
		"select exists (select 1), array(select 1), array[1], row(1, 2), a = any ($1), a <> all (select 1) from t",
		"select distinct on (a, b) c from t",
		"select current_timestamp(3), current_date, localtime",
		"select pg_catalog.abs(-1), \"abs\"(-1), ABS (-1), Lower('X')",
		"select a.b.c from d.e.f",
		"select pg_sleep(0.1), random(), clock_timestamp(), gen_random_uuid()",
		"select 1.5e10, .5, 1e-3, 0x1F, $1",
		"select t.update, t.delete from t",
		"select timestamp '2020-01-01', interval '1' day, timestamp with time zone 'now'",
		"select 1 from t group by grouping sets ((a), (b))",
		"select left(a, 1), right(a, 1), replace(a, 'x', 'y') from t",
		"select has_table_privilege('t', 'select')",
	} {
		info := Classify(sql)
		assert.Equal(t, Read, info.Class, "%s: %+v", sql, info)
		assert.Equal(t, 1, info.Commands, sql)
		assert.Zero(t, info.Dirt, sql)
	}
}

func TestWrites(t *testing.T) {
	for _, sql := range []string{
		"insert into t values (1)",
		"INSERT INTO t SELECT 1",
		"update t set a = 1",
		"delete from t",
		"merge into t using s on true when matched then delete",
		"with a as (insert into t values (1) returning *) select * from a",
		"with a as (delete from t returning *) select * from a",
		"select * from t for update",
		"select * from t for no key update skip locked",
		"select * from t for share",
		"select * from t FOR KEY SHARE",
		"select * from (select * from t for update) x",
		"select 1 into x",
		"select 1into x",
		"select nextval('s')",
		"select pg_catalog . nextval('s')",
		"select setval('s', 1)",
		"select pg_notify('c', 'x')",
		"select lo_create(1)",
		"select myfunc(1)",
		"select public.abs(1)",
		"select a.pg_catalog.abs(1)",
		`select "Abs"(1)`,
		`select u&"abs"(1)`,
		"select * from myfunc(1) as x (a)",
		"select distinct on (a) nextval('s') from t",
		"select x::timestamp with time zone, nextval('s') from t",
		"with a as (select 1), b as (select nextval('s')) select * from a, b",
		"select 1 operator(pg_catalog.+) nextval('s')",
		"select 1 operator(public.+) 2",
		"select first(a) from t",
		"select 1 from t where sets(a)",
		"select * from t join u on conflict(a)",
		"select set(1)",
		"select filter(a), over(b) from t",
		"select (t).f(1)",
		"select query_to_xml('delete from t', true, true, '')",
		"select pg_current_xact_id()",
		"select currval('s')",
		"explain analyze delete from t",
		"explain select 1",
		"create table t (a int)",
		"create function f() returns int begin atomic select 1; select 2; end",
		"do $$ begin end $$",
		"call p(1)",
		"copy t from stdin",
		"vacuum",
		"lock table t",
		"notify c",
		"execute p(1)",
		"commit prepared 'x'",
		"rollback prepared 'x'",
		"select 1 /* unterminated",
		"select 'unterminated",
		`select "unterminated`,
		"select $a$ unterminated $b$",
		"select 1\x00; delete from t",
		"select 'a\x00b'",
		"select (1",
		"select 1)",
		"select " + strings.Repeat("(", 65) + "1" + strings.Repeat(")", 65),
		"gibberish",
		"'string'",
		"$1",
	} {
		info := Classify(sql)
		assert.Equal(t, Write, info.Class, "%s: %+v", sql, info)
		assert.Equal(t, 1, info.Commands, sql)
	}
}

func TestCommands(t *testing.T) {
	for sql, want := range map[string]int{
		"":                                   0,
		" \n\t-- c\n/* c */ ;;; ":            0,
		"select 1":                           1,
		"select 1; select 2":                 2,
		"select ';'; select $$;$$; select 3": 3,
		"create rule r as on insert to t do (delete from a; delete from b)":                                       1,
		"create or replace function f() returns int begin atomic select case when true then 1 end; end; select 1": 2,
		"create procedure p() begin atomic select 1; end":                                                         1,
		"begin; select 1; commit":                     3,
		"select E'\\' ; select 1 -- '; delete from t": 2,
		"create table begin_atomic (a int); select 1": 2,
		"select 1; 'open":                             2,
	} {
		info := Classify(sql)
		assert.Equal(t, want, info.Commands, sql)
		switch {
		case want == 0:
			assert.Equal(t, Empty, info.Class, sql)
		case want > 1:
			assert.Equal(t, Write, info.Class, sql)
			assert.Equal(t, ControlNone, info.Control, sql)
		}
	}
	assert.True(t, Classify("begin; select 1; commit").ControlsTx)
	assert.False(t, Classify("select 1; select 2").ControlsTx)
	assert.True(t, Classify("select 1; copy t to stdout").Copy)
	for text, want := range map[string]bool{
		"copy t from stdin": true,
		"COPY public.t (a, b) FROM STDIN WITH (FORMAT csv)":  true,
		"select 1; /* c */ copy t /* x */ from -- y\n stdin": true,
		"copy t from stdin; select 1":                        true,
		"copy t to stdout":                                   false,
		"copy stdin from '/tmp/x'":                           false,
		"copy t from 'stdin'":                                false,
		"copy (select a from stdin) to stdout":               false,
		"copy t to '/tmp/x'":                                 false,
		"select * from stdin":                                false,
	} {
		assert.Equal(t, want, Classify(text).CopyIn, text)
	}
	for text, want := range map[string]bool{
		"call p()": true,
		" ; /* a /* b */ c */ -- d\n CALL s.p (1);": true,
		";do $$ begin commit; end $$":               true,
		"select call()":                             false,
		"prepare p as select 1":                     false,
		"":                                          false,
	} {
		assert.Equal(t, want, Classify(text).Procedural, text)
	}
	for text, want := range map[string]bool{
		"insert into t values (1)":                              true,
		"select f(); update t set a = 1":                        true,
		"with x as (delete from t returning *) select * from x": true,
		"select f(), (select 1) into t":                         true,
		"explain analyze insert into t values (1)":              true,
		"select f() from t for update":                          false,
		"select * from t for no key update":                     false,
		"call p()":                                              false,
		`select "insert", 'update' from t`:                      false,
	} {
		assert.Equal(t, want, Classify(text).Changes, text)
	}
	assert.True(t, Classify("select 1; 'open").Malformed)
	for _, sql := range []string{"\x00", "--\x00", "select 1 /* \x00 */", "select $$\x00$$", "select \"\x00\""} {
		info := Classify(sql)
		assert.True(t, info.Malformed, "%q", sql)
		assert.Equal(t, Write, info.Class, "%q", sql)
	}
}

func TestInSteps(t *testing.T) {
	for text, want := range map[string]bool{
		"vacuum":                            true,
		"VACUUM (analyze) t":                true,
		"analyze":                           true,
		"cluster":                           true,
		"reindex (concurrently) table t":    true,
		"reindex database d":                true,
		"create index concurrently on t(a)": true,
		"/* x */ CREATE UNIQUE INDEX CONCURRENTLY if not exists i on t(a);": true,
		"drop index concurrently i":                                         true,
		"create database d":                                                 true,
		"drop database d":                                                   true,
		"create tablespace s location '/x'":                                 true,
		"alter database d set tablespace s":                                 true,
		"create subscription s connection '' publication p":                 true,
		"alter table only a.t detach partition a.p concurrently":            true,
		"alter table t detach partition p finalize":                         false,
		"alter table t rename to \"concurrently\"":                          false,
		"alter database d set work_mem = '4MB'":                             false,
		"create index i on t(a)":                                            false,
		"create table t (concurrent int)":                                   false,
		"create index \"concurrently\" on t(a)":                             false,
		"drop index i":                                                      false,
		"drop table vacuum":                                                 false,
		"refresh materialized view concurrently v":                          false,
		"explain analyze select 1":                                          false,
		"select analyze from vacuum":                                        false,
		"insert into t values ('vacuum')":                                   false,
		"create index concurrently on t(a); insert into t values (1)":       false,
	} {
		assert.Equal(t, want, Classify(text).InSteps, text)
	}
}

func TestSetsReadOnly(t *testing.T) {
	for text, want := range map[string]bool{
		"set transaction read only":                                     true,
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY":       true,
		"set session characteristics as transaction read only":          true,
		"set local transaction_read_only = off":                         true,
		"set default_transaction_read_only to on":                       true,
		"reset transaction_read_only":                                   true,
		"start transaction read only":                                   true,
		"select set_config('transaction_read_only', 'on', true)":        true,
		"update pg_settings set setting = 'on' where name like '%only'": true,
		"select 1; set transaction read only":                           true,
		"set transaction isolation level serializable":                  false,
		"set local statement_timeout = 100":                             false,
		"select set_config('app.user', $1, true)":                       false,
		"select * from only t":                                          false,
		"select 'set transaction read only'":                            false,
	} {
		assert.Equal(t, want, Classify(text).SetsReadOnly, text)
	}
}

func TestControl(t *testing.T) {
	for sql, want := range map[string]Control{
		"begin":                              ControlBegin,
		"BEGIN ISOLATION LEVEL SERIALIZABLE": ControlBegin,
		"start transaction read only":        ControlBegin,
		"commit":                             ControlCommit,
		"/* x */ Commit work;":               ControlCommit,
		"end":                                ControlCommit,
		"rollback":                           ControlRollback,
		"abort":                              ControlRollback,
		"savepoint a":                        ControlSavepoint,
		"release a":                          ControlRelease,
		"release savepoint a":                ControlRelease,
		"rollback to a":                      ControlRollbackTo,
		"rollback work to savepoint a":       ControlRollbackTo,
		"prepare transaction 'x'":            ControlPrepare,
		"set transaction isolation level serializable": ControlSet,
	} {
		info := Classify(sql)
		assert.Equal(t, Transaction, info.Class, sql)
		assert.Equal(t, want, info.Control, sql)
		assert.True(t, info.ControlsTx, sql)
		assert.False(t, info.Dirties(true), sql)
	}
	assert.Equal(t, ControlPrepared, Classify("commit prepared 'x'").Control)
}

func TestDirt(t *testing.T) {
	for sql, want := range map[string]Dirt{
		"set statement_timeout = 1":   DirtSetting,
		"SET SESSION AUTHORIZATION x": DirtSetting,
		"set role x":                  DirtSetting,
		"set session characteristics as transaction read only": DirtSetting,
		"set local a = 1":              0,
		"set constraints all deferred": 0,
		"reset all":                    0,
		"unlisten *":                   0,
		"fetch all from c":             0,
		"move 1 from c":                0,
		"close c":                      0,
		"listen c":                     DirtListen,
		"prepare p as select 1":        DirtPrepare,
		"deallocate all":               DirtDiscard,
		"discard all":                  DirtDiscard,
		"declare c cursor with hold for select 1": DirtCursor,
		"load 'x'":                                  DirtLoad,
		"create temp table t (a int)":               DirtTemp,
		"create temporary view v as select 1":       DirtTemp,
		"create local temp table t (a int)":         DirtTemp,
		"create or replace temp view v as select 1": DirtTemp,
		"create table pg_temp.t (a int)":            DirtTemp,
		`create table "pg_temp".t (a int)`:          DirtTemp,
		"update pg_settings set setting = 1":        DirtSetting,
		`with x as (select 1) update PG_CATALOG."pg_settings" set setting = 1 from x`: DirtSetting,
		"select * from pg_settings":                             0,
		"select 1 into temp t":                                  DirtTemp,
		"select 1 into t":                                       DirtTemp,
		"insert into t select 1":                                0,
		"merge into t using s on true when matched then delete": 0,
		"select temp from readings":                             0,
		"select set_config('a.b', 'c', false)":                  DirtSetting,
		"select pg_advisory_lock(1)":                            DirtAdvisory,
		"select pg_catalog.pg_try_advisory_lock_shared(1)":      DirtAdvisory,
		"select pg_advisory_xact_lock(1)":                       0,
		"select pg_advisory_unlock(1)":                          0,
		"select nextval('s')":                                   DirtSequence,
		"select f(1)":                                           DirtUnknownCall,
		"select s.f(1)":                                         DirtUnknownCall,
		"call p()":                                              DirtUnknownCall,
		"do $$ $$":                                              DirtUnknownCall,
		"select 1; set a = 1; listen x":                         DirtSetting | DirtListen,
		"insert into t (a, b) values (1, 2) on conflict (a) do update set (a, b) = (1, 2)": 0,
		"insert into s.t (a) select lower(b) from u":                                       0,
		"insert into t (a) values (f(1))":                                                  DirtUnknownCall,
		"create table t (a int default f(1), primary key (a))":                             0,
		"create table t as select f(1)":                                                    DirtUnknownCall,
		"explain analyze select f(1)":                                                      DirtUnknownCall,
		"copy t (a) from stdin":                                                            0,
		"update t set (a, b) = (1, 2)":                                                     0,
		"update t set a = lower(b)":                                                        0,
	} {
		assert.Equal(t, want, Classify(sql).Dirt, "%s: %v", sql, Classify(sql).Dirt)
	}
	for _, c := range []struct {
		dirt         Dirt
		auto, strict bool
	}{
		{0, false, false},
		{DirtSetting, true, true},
		{DirtDiscard, true, true},
		{DirtSequence, false, true},
		{DirtUnknownCall, false, true},
	} {
		assert.Equal(t, c.auto, Info{Dirt: c.dirt}.Dirties(false), c.dirt)
		assert.Equal(t, c.strict, Info{Dirt: c.dirt}.Dirties(true), c.dirt)
	}
	assert.Equal(t, "clean", Dirt(0).String())
	assert.Equal(t, "setting+unknown call", (DirtSetting | DirtUnknownCall).String())
}

func TestSessionClass(t *testing.T) {
	for _, sql := range []string{"set a = 1", "set local a = 1", "reset a", "listen x", "prepare p as select 1", "fetch 1 from c", "discard temp"} {
		assert.Equal(t, Session, Classify(sql).Class, sql)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Unknown.String(), "Unknown"},
		{Empty.String(), "Empty"},
		{Read.String(), "Read"},
		{Write.String(), "Write"},
		{Session.String(), "Session"},
		{Transaction.String(), "Transaction"},
		{ControlPrepared.String(), "Prepared"},
		{Control(99).String(), "None"},
	} {
		assert.Equal(t, c.want, c.got)
	}
}

func TestLongestKeyword(t *testing.T) {
	for _, word := range []string{"current_timestamp", "materialized", "localtimestamp", "savepoint"} {
		assert.NotEqual(t, kwNone, keywordOf(word), word)
		assert.LessOrEqual(t, len(word), longestKeyword)
	}
}

// TestLinear holds that ten times the text takes nowhere near a hundred times
// as long, for texts made to hurt.
func TestLinear(t *testing.T) {
	for name, unit := range map[string]string{
		"open comments": "/*", "open quotes": "$a$ $b$ ", "parentheses": "(", "continued": "E'a'\n", "dollars": "$a",
		"words": "select ", "semicolons": ";;a", "lines": "E'x' --\n",
	} {
		short, long := strings.Repeat(unit, 10_000), strings.Repeat(unit, 100_000)
		measure := func(sql string) time.Duration {
			best := time.Hour
			for range 3 {
				begun := time.Now()
				Classify(sql)
				best = min(best, time.Since(begun))
			}
			return best
		}
		var a, b time.Duration
		for range 5 { // a busy machine may slow down one measurement, and not the other
			if a, b = measure(short), measure(long); b < 40*a+20*time.Millisecond {
				break
			}
		}
		assert.Less(t, b, 40*a+20*time.Millisecond, name)
	}
}

func TestNoAllocations(t *testing.T) {
	for _, sql := range []string{
		"select id, balance from accounts where id = $1",
		"SELECT COUNT(*), Lower(name) FROM t WHERE a = 'x' AND pg_catalog.abs(b) > 1 AND \"abs\"(c) = 2",
		"insert into t (a, b) values ($1, $2) on conflict (a) do update set b = excluded.b returning *",
		"with x (a) as (select 1) select myfunc(a) from x",
	} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { Classify(sql) }), sql)
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{
		"select 1", "select E'a'\n'b\\'' ", "$a$ $$ $a$", "/* /* */", "u&\"x\"(", "1..2", "with a(b) as (select 1) select * from a",
		"create function f() begin atomic select 1; end", "x::numeric(1,2)", "a.b.c.d(",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		info := Classify(sql)
		switch {
		case info.Class == Unknown:
			t.Fatal("no class")
		case info.Class == Read && (info.Commands != 1 || info.Malformed || info.Dirt != 0 || info.ControlsTx || info.Copy):
			t.Fatalf("a Read that isn't clean: %+v", info)
		case (info.Class == Empty) != (info.Commands == 0):
			t.Fatalf("empty or not: %+v", info)
		case info.Commands > 1 && info.Class != Write:
			t.Fatalf("several commands: %+v", info)
		}
		if again := Classify(sql + ";"); !info.Malformed && again.Commands < info.Commands {
			t.Fatalf("a semicolon took a command away: %+v, %+v", info, again)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for name, sql := range map[string]string{
		"read":  "select id, balance from accounts where id = $1",
		"write": "insert into ledger (id, account, amount, note) values ($1, $2, $3, 'x') on conflict (id) do nothing",
		"calls": "select count(*), sum(amount), max(lower(note)) from ledger where created > now() and abs(amount) > 1",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Classify(sql)
			}
		})
	}
}
