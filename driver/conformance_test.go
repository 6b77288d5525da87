package driver_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest"
)

func TestConformance(t *testing.T) {
	dsn := sharedServer(t)
	for _, name := range []string{"anywriter", "pgx"} { // pgx is the control
		sqltest.Run(t, sqltest.Target{
			Name: name,
			Open: func(t *testing.T) *sql.DB {
				db, err := sql.Open(name, dsn)
				require.NoError(t, err)
				return db
			},
			Capabilities: sqltest.Capabilities{
				Arrays: true, JSON: true, Serializable: true, RowLocks: true,
				SessionReset: name == "anywriter", MultipleResults: name == "anywriter",
			},
		})
	}
}
