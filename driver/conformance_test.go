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
				own := dsn
				if name == "anywriter" {
					// Each case opens the driver anew, and a busy machine may need more
					// than a second for the server's first answer; pgx waits for ever.
					own = withParams(dsn, "acquire_timeout=30s")
				}
				db, err := sql.Open(name, own)
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
