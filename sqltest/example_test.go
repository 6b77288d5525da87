package sqltest_test

import (
	"database/sql"
	"fmt"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/anywriter/anywriter/sqltest"
)

// In a test of your own, with the driver and the database that you want to check.
func ExampleRun() {
	test := func(t *testing.T) {
		sqltest.Run(t, sqltest.Target{
			Open: func(t *testing.T) *sql.DB {
				db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
				if err != nil {
					t.Fatal(err)
				}
				return db
			},
			Capabilities: sqltest.Capabilities{FullSQL: true, Arrays: true, JSON: true, Serializable: true, RowLocks: true},
		})
	}
	_ = test // func TestConformance(t *testing.T) in yours
	fmt.Println(len(sqltest.Cases()) >= 60)
	// Output: true
}
