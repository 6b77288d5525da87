//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package socket

type peeker struct{}

func (*peeker) init() {}

// Blind reports that Gone can't see whether the server has closed the connection.
func (*Conn) Blind() bool { return true }

// Gone can't look at a socket on this system: it only knows those that were cut.
func (c *Conn) Gone(bool) bool { return c.cutByUs.Load() }
