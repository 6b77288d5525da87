package driver

import (
	"database/sql"
	"errors"

	"github.com/anywriter/anywriter/cluster"
)

// Config is the configuration of a cluster; see cluster.Config.
type Config = cluster.Config

// ParseConfig reads data source names. Change the result as needed and pass it
// to NewConnector.
func ParseConfig(names ...string) (Config, error) { return cluster.ParseConfig(names...) }

// FromDB returns the cluster behind a *sql.DB that was opened with this
// driver: for statistics, and for use without database/sql. The cluster
// belongs to the DB: don't close it.
func FromDB(db *sql.DB) (*cluster.Cluster, error) {
	c, ok := db.Driver().(interface {
		clusterOf() (*cluster.Cluster, error)
	})
	if !ok {
		return nil, errors.New("anywriter: FromDB: this *sql.DB wasn't opened with the anywriter driver")
	}
	return c.clusterOf()
}
