package wire

import (
	"fmt"
	"runtime/debug"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// guarded carries out one message. A panic in it is a defect of the simulator, but
// the process belongs to the user's program: it becomes an error of this command,
// what the command did is rolled back, and the session goes on.
func (c *conn) guarded(kind byte, data []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = c.panicked(kind, p, debug.Stack())
		}
	}()
	return c.dispatch(kind, data)
}

// panicked tells of a panic and brings the session to where any error of that
// message would. If even that panics, the connection ends.
func (c *conn) panicked(kind byte, p any, stack []byte) (err error) {
	text := fmt.Sprint(p)
	defer func() {
		if recover() != nil {
			err = sqlerr.Fatal("XX000", "internal error: %s", text)
		}
	}()
	if c.cfg.Panicked != nil {
		c.cfg.Panicked(c.info, text, stack)
	}
	c.sess.Fail()
	e := sqlerr.New("XX000", "internal error: %s", text).
		WithHint("This is a defect of the simulated cluster; its event log has more.")
	if err := c.report(e); err != nil {
		return err
	}
	if kind == 'Q' || kind == 'S' || kind == 'F' {
		return c.ready()
	}
	c.skipping, c.owed = true, true
	return nil
}
