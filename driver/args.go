package driver

import "database/sql/driver"

// CheckNamedValue accepts every value: pgx encodes what database/sql's own
// conversion doesn't know (slices, maps, its own types), and calls Valuers
// itself, where a panic of one of them can be caught.
func (c *conn) CheckNamedValue(*driver.NamedValue) error { return nil }

// plain returns the values of the arguments in the handle's scratch slice.
func (c *conn) plain(named []driver.NamedValue) []any {
	if len(named) == 0 {
		return nil
	}
	c.args = c.args[:0]
	for i := range named {
		c.args = append(c.args, named[i].Value)
	}
	return c.args
}
