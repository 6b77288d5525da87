package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// Name is the name under which the driver is registered with database/sql.
const Name = "anywriter"

func init() { sql.Register(Name, Driver{}) }

// Driver is the registered driver. Its zero value is ready; it is stateless.
type Driver struct{}

var (
	_ driver.Driver        = Driver{}
	_ driver.DriverContext = Driver{}
)

// OpenConnector reads a data source name. Nothing is dialed or started before
// the first use.
func (Driver) OpenConnector(name string) (driver.Connector, error) {
	config, err := ParseConfig(name)
	if err != nil {
		return nil, err
	}
	return NewConnector(config), nil
}

// Open opens a handle with a cluster of its own, which the handle's Close
// ends. database/sql calls OpenConnector instead.
func (d Driver) Open(name string) (driver.Conn, error) {
	c, err := d.OpenConnector(name)
	if err != nil {
		return nil, err
	}
	connector := c.(*Connector)
	opened, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	opened.(*conn).owned = connector
	return opened, nil
}
