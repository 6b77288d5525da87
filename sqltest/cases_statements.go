package sqltest

import (
	"github.com/stretchr/testify/require"
)

func statementCases() []Case {
	return []Case{
		{Name: "statements/ON CONFLICT DO NOTHING", run: func(s *scope) {
			t := s.table("id int primary key, v int unique")
			s.exec("insert into " + t + " values (1, 10)")
			require.EqualValues(s, 1, s.exec("insert into "+t+" values (1, 11), (2, 20) on conflict (id) do nothing"))
			require.EqualValues(s, 0, s.exec("insert into "+t+" values (3, 10) on conflict do nothing"))
			s.failsOn(s.db, "23505", "insert into "+t+" values (3, 10) on conflict (id) do nothing")
			require.Empty(s, column[int](s, s.db, "insert into "+t+" values (1, 0) on conflict do nothing returning id"))
			require.Equal(s, []int{10, 20}, column[int](s, s.db, "select v from "+t+" order by id"))
		}},
		{Name: "statements/ON CONFLICT DO UPDATE", run: func(s *scope) {
			t := s.table("id int primary key, v int not null")
			upsert := "insert into " + t + " as old values ($1, $2) on conflict (id) do update set v = old.v + excluded.v"
			for range 3 {
				require.EqualValues(s, 1, s.exec(upsert, 1, 5))
			}
			require.Equal(s, 15, one[int](s, s.db, "select v from "+t+" where id = 1"))
			require.EqualValues(s, 0, s.exec(upsert+" where old.v < 10", 1, 5))
			require.Equal(s, []int{20}, column[int](s, s.db, upsert+" returning v", 1, 5))
			s.failsOn(s.db, "21000", "insert into "+t+" values (7, 1), (7, 2) on conflict (id) do update set v = excluded.v")
		}},
		{Name: "statements/INSERT SELECT", run: func(s *scope) {
			from, to := s.table("a int, b text"), s.table("b text, a int")
			s.exec("insert into " + from + " values (1, 'x'), (2, 'y'), (3, 'z')")
			require.EqualValues(s, 2, s.exec("insert into "+to+" (a, b) select a * 10, b from "+from+" where a > $1", 1))
			require.Equal(s, []string{"y20", "z30"}, column[string](s, s.db, "select b || a from "+to+" order by a"))
			s.exec("insert into " + to + " select * from " + to)
			require.Equal(s, 4, one[int](s, s.db, "select count(*) from "+to), "it reads what was there before")
		}},
		{Name: "statements/DEFAULT", run: func(s *scope) {
			t := s.table("id int default 7, v text default 'x' || 'y', at timestamptz default now(), n int")
			s.exec("insert into " + t + " default values")
			s.exec("insert into "+t+" (id, v) values ($1, default)", 8)
			require.Equal(s, 2, one[int](s, s.db, "select count(*) from "+t+" where v = 'xy' and at is not null and n is null"))
			s.exec("update " + t + " set id = default")
			require.Equal(s, 14, one[int](s, s.db, "select sum(id) from "+t))
		}},
	}
}

func keyCases() []Case {
	return []Case{
		{Name: "statements/serial", run: func(s *scope) {
			t := s.table("id serial primary key, big bigserial, v int")
			first := one[int](s, s.db, "insert into "+t+" (v) values (1) returning id")
			require.Equal(s, 1, first)
			s.exec("insert into " + t + " (v) select g from generate_series(2, 50) g")
			ids := column[int](s, s.db, "select id from "+t+" order by v")
			require.Len(s, ids, 50)
			for i := 1; i < 49; i++ { // the first row may have got its number from another node's block
				require.Less(s, ids[i], ids[i+1])
			}
		}},
		{Name: "statements/primary key of two columns", run: func(s *scope) {
			t := s.table("a int, b text, v int, primary key (a, b)")
			s.exec("insert into " + t + " values (1, 'x', 1), (1, 'y', 2), (2, 'x', 3)")
			s.failsOn(s.db, "23505", "insert into "+t+" values (1, 'y', 9)")
			s.failsOn(s.db, "23502", "insert into "+t+" values (1, null, 9)")
			require.Equal(s, 2, one[int](s, s.db, "select v from "+t+" where b = $1 and a = $2", "y", 1))
		}},
		{Name: "statements/unique constraint", run: func(s *scope) {
			t := s.table("id int primary key, a int, b int, unique (a, b)")
			s.exec("insert into " + t + " values (1, 1, 1), (2, 1, 2), (3, null, 1), (4, null, 1)")
			s.failsOn(s.db, "23505", "insert into "+t+" values (5, 1, 2)")
			s.failsOn(s.db, "23505", "update "+t+" set b = 1 where id = 2")
			require.EqualValues(s, 1, s.exec("update "+t+" set b = 3 where id = 2"))
			require.EqualValues(s, 1, s.exec("insert into "+t+" values (5, 1, 2)"), "the old key is free again")
		}},
		{Name: "statements/update of a primary key", run: func(s *scope) {
			t := s.table("id int primary key, v text")
			s.exec("insert into " + t + " values (1, 'a'), (2, 'b')")
			require.EqualValues(s, 1, s.exec("update "+t+" set id = 3 where id = 1"))
			s.failsOn(s.db, "23505", "update "+t+" set id = 2 where id = 3")
			s.exec("insert into " + t + " values (1, 'c')")
			require.Equal(s, []string{"c", "b", "a"}, column[string](s, s.db, "select v from "+t+" order by id"))
		}},
		{Name: "statements/update swaps columns", run: func(s *scope) {
			t := s.table("a int, b int")
			s.exec("insert into " + t + " values (1, 2)")
			s.exec("update " + t + " set a = b, b = a")
			require.Equal(s, 21, one[int](s, s.db, "select a * 10 + b from "+t))
		}},
	}
}

func tableCases() []Case {
	return []Case{
		{Name: "statements/ORDER BY, LIMIT, OFFSET, NULLS", run: orderAndLimit},
		{Name: "statements/CREATE and DROP TABLE IF EXISTS", run: func(s *scope) {
			t := s.table("id int")
			s.failsOn(s.db, "42P07", "create table "+t+" (id int)")
			s.exec("create table if not exists " + t + " (other text)")
			s.exec("insert into " + t + " (id) values (1)")
			s.exec("drop table " + t)
			s.failsOn(s.db, "42P01", "drop table "+t)
			s.exec("drop table if exists " + t)
			s.failsOn(s.db, "42P01", "select * from "+t)
		}},
		{Name: "statements/quoted identifiers", run: func(s *scope) {
			name := `"` + s.name() + ` Größe ""x"""`
			s.exec("create table " + name + ` ("select" int, "B" int, b int)`)
			s.dropAtEnd(name)
			s.exec("insert into " + name + ` ("select", "B", B) values (1, 2, 3)`)
			require.Equal(s, 123, one[int](s, s.db, `select x."select" * 100 + x."B" * 10 + x.b from `+name+` as x`))
			s.failsOn(s.db, "42703", `select "Select" from `+name)
		}},
		{Name: "statements/comments", run: func(s *scope) {
			require.Equal(s, 3, one[int](s, s.db, "/* a /* nested */ ; */ select 1 -- one\n + /* $1 ' */ 2 -- the end"))
		}},
	}
}

func atomicCases() []Case {
	return []Case{
		{Name: "statements/several in one Exec are one transaction", run: func(s *scope) {
			t := s.table("id int primary key")
			require.EqualValues(s, 1, s.exec("insert into "+t+" values (1), (2); insert into "+t+" values (3)"))
			_, err := s.db.ExecContext(s.ctx, "insert into "+t+" values (4); insert into "+t+" values (1)")
			s.isState(err, "23505", "second statement")
			require.Equal(s, 3, one[int](s, s.db, "select count(*) from "+t))
			other := s.name()
			s.dropAtEnd(other)
			s.exec("create table " + other + " (id int); insert into " + other + " values (1)")
			require.Equal(s, 1, one[int](s, s.db, "select id from "+other))
		}},
		{Name: "statements/atomic", run: func(s *scope) {
			t := s.table("id int primary key, v int")
			s.exec("insert into " + t + " values (5, 1)")
			s.failsOn(s.db, "23505", "insert into "+t+" select g, 1 from generate_series(1, 5) g")
			s.failsOn(s.db, "22012", "update "+t+" set v = 1 / (id - 5)")
			s.failsOn(s.db, "22012", "insert into "+t+" select g, 1 / (g - 50) from generate_series(10, 60) g")
			require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
			require.Equal(s, 1, one[int](s, s.db, "select v from "+t))
		}},
		{Name: "statements/what cannot be done is refused", run: func(s *scope) {
			_, err := s.db.ExecContext(s.ctx, "create collation no_such_thing from \"also none\"")
			s.isState(err, "0A000", "create collation", "42704")
		}},
	}
}

func orderAndLimit(s *scope) {
	t := s.table("id int primary key, v int, w text")
	s.exec("insert into " + t + " values (1, 3, 'b'), (2, null, 'a'), (3, 1, 'B'), (4, 3, 'a'), (5, 2, 'A')")
	for order, want := range map[string][]int{
		"v, id":                          {3, 5, 1, 4, 2},
		"v desc, id":                     {2, 1, 4, 5, 3},
		"v nulls first, id desc":         {2, 3, 5, 4, 1},
		"v desc nulls last, id desc":     {4, 1, 5, 3, 2},
		"1 desc":                         {5, 4, 3, 2, 1},
		"v % 2 nulls first, v desc, id":  {2, 5, 1, 4, 3},
		"id desc limit 2":                {5, 4},
		"id limit 2 offset 3":            {4, 5},
		"id offset 4":                    {5},
		"id limit 0":                     {},
		"id limit all offset 10":         {},
		"id limit null":                  {1, 2, 3, 4, 5},
		"id limit 1 + 1":                 {1, 2},
		"coalesce(v, 100) desc, id desc": {2, 4, 1, 5, 3},
	} {
		require.Equal(s, want, column[int](s, s.db, "select id from "+t+" order by "+order), order)
	}
}
