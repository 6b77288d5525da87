package sqltest

import (
	"database/sql"

	"github.com/stretchr/testify/require"
)

// capabilityCases and declaredCases are those of what a target has to declare.
func capabilityCases() []Case {
	return []Case{
		{
			Name: "full/expressions", needs: func(c Capabilities) bool { return c.FullSQL },
			run: texts(map[string]string{
				"coalesce(nullif(1, 1), -1)":                     "-1",
				"case when 1 > 2 then 'a' else 'b' end":          "b",
				"case 2 when 1 then 'one' when 2 then 'two' end": "two",
				"greatest(1, 3, 2)":                              "3",
				"least(1, null, -2)":                             "-2",
				"null is distinct from 1":                        "true",
				"'2024-01-02'::date < now()":                     "true",
				"'2024-02-29'::date + 1":                         "2024-03-01",
				"current_user = session_user":                    "true",
				"now() = transaction_timestamp()":                "true",
			}),
		},
		{
			Name: "full/queries", needs: func(c Capabilities) bool { return c.FullSQL },
			run: func(s *scope) {
				t := s.table("id int primary key, w text")
				s.exec("insert into " + t + " values (1, 'b'), (2, 'a'), (3, 'B'), (4, 'a'), (5, 'A')")
				require.Equal(s, []int{5, 3, 2, 4, 1}, column[int](s, s.db, "select id from "+t+` order by w collate "C", id`))
				require.Equal(s, []int{1, 2}, column[int](s, s.db, "select id from "+t+" order by id fetch first 2 rows only"))
				require.Equal(s, []string{"a"}, column[string](s, s.db, "select w from "+t+" group by w having count(*) > 1"))
				require.Equal(s, 4, one[int](s, s.db, "select count(distinct w) from "+t))
				require.Equal(s, 9, one[int](s, s.db, "select sum(id) filter (where id > 3) from "+t))
				require.Equal(s, []int{5}, column[int](s, s.db, "select id from "+t+" where id = (select max(id) from "+t+")"))
			},
		},
	}
}

func declaredCases() []Case {
	return []Case{
		{
			Name: "arrays/round trip", needs: func(c Capabilities) bool { return c.Arrays },
			run: func(s *scope) {
				t := s.table("id int primary key, i int4[], t text[]")
				s.exec("insert into "+t+" values (1, $1, $2)", []int32{1, 2, 3}, []string{"a", `b"c`, "", "d,e"})
				require.Equal(s, "{1,2,3}", one[string](s, s.db, "select i from "+t))
				require.Equal(s, `{a,"b\"c","","d,e"}`, one[string](s, s.db, "select t from "+t))
				require.Equal(s, 1, one[int](s, s.db, "select id from "+t+" where $1 = any(i)", 2))
				require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t+" where id = any($1)", []int32{1, 5}))
			},
		},
		{
			Name: "json/round trip", needs: func(c Capabilities) bool { return c.JSON },
			run: func(s *scope) {
				t := s.table("id int primary key, j json, b jsonb")
				s.exec("insert into "+t+" values (1, $1, $2)", `{"a": [1, "x"]}`, `{"b":1,  "a":null}`)
				require.Equal(s, `{"a": [1, "x"]}`, one[string](s, s.db, "select j from "+t))
				require.JSONEq(s, `{"a": null, "b": 1}`, one[string](s, s.db, "select b from "+t))
				require.Equal(s, "x", one[string](s, s.db, "select j->'a'->>1 from "+t))
				s.failsOn(s.db, "22P02", "select '{'::json")
			},
		},
		{
			Name: "serializable/write skew", needs: func(c Capabilities) bool { return c.Serializable },
			run: writeSkew,
		},
		{
			Name: "session/SET is undone for others", needs: func(c Capabilities) bool { return c.SessionReset },
			run: func(s *scope) {
				conn := s.conn()
				s.execOn(conn, "set application_name = 'left behind'")
				require.NoError(s, conn.Close())
				for range 20 {
					require.NotEqual(s, "left behind", one[string](s, s.db, "show application_name"))
				}
			},
		},
		{
			Name: "rows/NextResultSet", needs: func(c Capabilities) bool { return c.MultipleResults },
			run: multipleResults,
		},
	}
}

func writeSkew(s *scope) {
	t := s.table("id int primary key, on_call bool not null")
	s.exec("insert into " + t + " values (1, true), (2, true)")
	s.race(2, 1, &sql.TxOptions{Isolation: sql.LevelSerializable}, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(s.ctx, "select count(*) from "+t+" where on_call").Scan(&n); err != nil || n < 2 {
			return err
		}
		_, err := tx.ExecContext(s.ctx, "update "+t+" set on_call = false where id = (select min(id) from "+t+" where on_call)")
		return err
	})
	require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t+" where on_call"))

	a := s.begin(&sql.TxOptions{Isolation: sql.LevelSerializable})
	b := s.begin(&sql.TxOptions{Isolation: sql.LevelSerializable})
	s.exec("update " + t + " set on_call = true")
	conflicts := 0
	for i, tx := range []*sql.Tx{a, b} {
		require.Equal(s, 2, one[int](s, tx, "select count(*) from "+t+" where on_call"))
		if i == 0 {
			require.Equal(s, 2, one[int](s, b, "select count(*) from "+t+" where on_call"))
		}
		_, err := tx.ExecContext(s.ctx, "update "+t+" set on_call = false where id = $1", i+1)
		if err == nil {
			err = tx.Commit()
		}
		if isConflict(err) {
			conflicts++
			_ = tx.Rollback() // done already if COMMIT found the conflict
			continue
		}
		require.NoError(s, err)
	}
	require.Equal(s, 1, conflicts)
}

func multipleResults(s *scope) {
	rows, err := s.db.QueryContext(s.ctx, "select 1 as a; select 'x' as b, 2 as c; select 3 where false")
	require.NoError(s, err)
	defer rows.Close()
	want := [][]string{{"a"}, {"b", "c"}, {"?column?"}}
	for i, columns := range want {
		got, err := rows.Columns()
		require.NoError(s, err)
		require.Equal(s, columns, got)
		require.Equal(s, i < 2, rows.Next())
		require.False(s, rows.Next())
		require.NoError(s, rows.Err())
		require.Equal(s, i+1 < len(want), rows.NextResultSet())
	}
	rows, err = s.db.QueryContext(s.ctx, "select 1; select 1 / 0")
	if err == nil {
		for rows.Next() || rows.NextResultSet() {
		}
		err = rows.Err()
		_ = rows.Close() // may repeat the error
	}
	s.isState(err, "22012", "second statement")
}
