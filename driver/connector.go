package driver

import (
	"context"
	"database/sql/driver"
	"sync"

	"github.com/anywriter/anywriter/cluster"
)

// Connector is the driver.Connector of one cluster, for sql.OpenDB. The
// cluster is opened by the first handle, and closed by Close, which sql.DB
// calls when it is closed. It is safe for concurrent use.
type Connector struct {
	config Config

	mu      sync.Mutex
	cluster *cluster.Cluster
	closed  bool
}

var _ driver.Connector = (*Connector)(nil)

// NewConnector returns a connector for a configuration. It starts nothing; a
// configuration that isn't valid is reported by the first use.
func NewConnector(config Config) *Connector { return &Connector{config: config} }

// String describes the configuration without anything that may be secret.
func (c *Connector) String() string { return c.config.String() }

// GoString is String: no form of printing shows a password.
func (c *Connector) GoString() string { return c.String() }

// Connect returns a handle. It dials nothing: handles hold no server
// connection of their own.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{cluster: opened, session: opened.NewSession()}, nil
}

// Driver returns a driver that knows this connector.
func (c *Connector) Driver() driver.Driver { return boundDriver{connector: c} }

// open opens the cluster once.
func (c *Connector) open(ctx context.Context) (*cluster.Cluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, cluster.ErrClosed
	}
	if c.cluster != nil {
		return c.cluster, nil
	}
	opened, err := cluster.Open(ctx, c.config) // no I/O: it only starts goroutines
	if err != nil {
		return nil, err
	}
	c.cluster = opened
	return opened, nil
}

// Close closes the cluster. If handles are in use it returns at once, and the
// cluster is closed when the last of them has come back; otherwise everything
// has ended when it returns.
func (c *Connector) Close() error {
	c.mu.Lock()
	opened := c.cluster
	c.closed = true
	c.mu.Unlock()
	if opened == nil {
		return nil
	}
	if opened.Leases() > 0 {
		go opened.Close() // ends when the last lease is given back
		return nil
	}
	opened.Close()
	return nil
}

// boundDriver is what sql.DB.Driver returns, so that FromDB finds the cluster.
type boundDriver struct {
	Driver
	connector *Connector
}

func (d boundDriver) clusterOf() (*cluster.Cluster, error) {
	return d.connector.open(context.Background())
}

// String describes the connector.
func (d boundDriver) String() string { return d.connector.String() }

// GoString is String.
func (d boundDriver) GoString() string { return d.connector.String() }
