package wire

import (
	"errors"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// errTerminated ends the loop after a Terminate message.
var errTerminated = errors.New("wire: the client said goodbye")

// loop serves commands until the connection ends. Its error is a FATAL
// *sqlerr.Error that the client must see, or the reason of a silent end.
func (c *conn) loop() error {
	for {
		kind, data, err := c.receive()
		if err != nil {
			return err
		}
		if f := c.intr.terminated(); f != nil {
			// The message came in the instant between the end and its waking us.
			return f
		}
		if c.skipping && kind != 'S' && kind != 'X' && kind != 'p' {
			continue
		}
		c.ctx = c.intr.enter()
		err = c.guarded(kind, data)
		c.intr.leave()
		if f := c.intr.terminated(); f != nil {
			return f
		}
		if err != nil {
			return err
		}
	}
}

// receive waits for the next message.
func (c *conn) receive() (byte, []byte, error) {
	if !c.in.buffered() {
		if c.owed {
			c.owed = false
			if err := c.out.flush(); err != nil {
				return 0, nil, err
			}
		}
		c.bound()
	}
	kind, data, err := c.in.message()
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) && c.idleErr != nil {
			err = c.idleErr
		}
		return 0, nil, err
	}
	c.idle = false
	if c.deadlined {
		c.deadlined = false
		c.intr.setReadDeadline(time.Time{})
	}
	c.ahead.watch()
	return kind, data, nil
}

// bound sets how long an idle client may be silent.
func (c *conn) bound() {
	if !c.idle {
		return
	}
	wait, err := c.sess.IdleTimeout()
	c.idleErr = err
	if wait > 0 {
		c.deadlined = true
		c.intr.setReadDeadline(time.Now().Add(wait))
	}
}

// dispatch carries out one message. Its error ends the connection; what fails
// within a command is told to the client here.
func (c *conn) dispatch(kind byte, data []byte) error {
	switch kind {
	case 'Q':
		return c.query(data)
	case 'P', 'B', 'D', 'E', 'C', 'H':
		return c.extended(kind, data)
	case 'S':
		return c.sync(data)
	case 'F':
		return c.functionCall()
	case 'X':
		if c.owed { // an error that nothing has been waited behind yet
			_ = c.out.flush()
		}
		return errTerminated
	case 'p':
		return sqlerr.Fatal("08P01", "unexpected password message: authentication is over")
	default:
		// CopyData, CopyDone and CopyFail that no COPY waits for: a client may have
		// sent them before it heard that its COPY failed.
		return nil
	}
}

// query carries out a simple Query.
func (c *conn) query(data []byte) error {
	sql, err := decodeQuery(data)
	if err == nil {
		err = checkText(sql)
	}
	if err != nil {
		c.skipping = false
		c.sess.Fail()
	} else {
		err = c.sess.Query(c.ctx, sql, c.out)
	}
	if err := c.report(err); err != nil {
		return err
	}
	return c.ready()
}

// sync ends a sequence of extended commands.
func (c *conn) sync(data []byte) error {
	c.skipping = false
	err := decodeEmpty("Sync", data)
	if err != nil {
		c.sess.Fail()
	}
	if err := c.report(errors.Join(err, c.sess.Sync(c.ctx))); err != nil {
		return err
	}
	return c.ready()
}

func (c *conn) functionCall() error {
	c.sess.Fail()
	if err := c.report(sqlerr.Unsupported("the function call protocol")); err != nil {
		return err
	}
	return c.ready()
}

// report tells the client of a command's error. It gives the error back if it ends
// the connection.
func (c *conn) report(err error) error {
	switch {
	case err == nil, c.out.err != nil:
		return c.out.err
	case errors.Is(err, session.ErrCut):
		c.kill(true)
		return err
	}
	e := asError(err)
	if e.Severity == "FATAL" || e.Severity == "PANIC" {
		return e
	}
	c.out.error(e)
	return nil
}

// extended carries out a message of the extended protocol. An error makes the
// connection skip to the next Sync.
func (c *conn) extended(kind byte, data []byte) error {
	var err error
	switch kind {
	case 'P':
		err = c.parse(data)
	case 'B':
		err = c.bind(data)
	case 'D':
		err = c.describe(data)
	case 'E':
		err = c.execute(data)
	case 'C':
		err = c.closeTarget(data)
	case 'H':
		err = c.flush(data)
	}
	if err != nil {
		c.skipping, c.owed = true, true
	}
	return c.report(err)
}

// refused fails the session's transaction over a message that never reached it.
func (c *conn) refused(err error) error {
	c.sess.Fail()
	return err
}

func (c *conn) parse(data []byte) error {
	m, err := decodeParse(data)
	if err != nil {
		return c.refused(err)
	}
	if err := checkText(m.sql); err != nil {
		return c.refused(err)
	}
	if err := c.sess.Parse(c.ctx, m.name, m.sql, m.params); err != nil {
		return err
	}
	c.out.send(&pgproto3.ParseComplete{})
	return nil
}

func (c *conn) bind(data []byte) error {
	m, err := decodeBind(data)
	if err != nil {
		return c.refused(err)
	}
	oids, err := c.sess.ParamTypes(m.statement)
	if err != nil {
		return err
	}
	params, err := decodeParams(&m, oids, c.sess.Style())
	if err != nil {
		return c.refused(err)
	}
	if err := c.sess.Bind(c.ctx, m.portal, m.statement, params, m.resultFormats); err != nil {
		return err
	}
	c.out.send(&pgproto3.BindComplete{})
	return nil
}

func (c *conn) describe(data []byte) error {
	kind, name, err := decodeTarget("Describe", data)
	if err != nil {
		return c.refused(err)
	}
	if kind == 'P' {
		columns, formats, err := c.sess.DescribePortal(c.ctx, name)
		if err != nil {
			return err
		}
		if columns == nil {
			c.out.send(&pgproto3.NoData{})
		} else {
			c.out.describe(columns, formats)
		}
		return nil
	}
	params, columns, err := c.sess.Describe(c.ctx, name)
	if params != nil {
		c.out.send(&pgproto3.ParameterDescription{ParameterOIDs: params})
	}
	if err != nil {
		return err
	}
	if columns == nil {
		c.out.send(&pgproto3.NoData{})
	} else {
		c.out.describe(columns, nil)
	}
	return nil
}

func (c *conn) execute(data []byte) error {
	portal, maxRows, err := decodeExecute(data)
	if err != nil {
		return c.refused(err)
	}
	return c.sess.Execute(c.ctx, portal, maxRows, c.out)
}

func (c *conn) closeTarget(data []byte) error {
	kind, name, err := decodeTarget("Close", data)
	if err != nil {
		return c.refused(err)
	}
	if kind == 'S' {
		c.sess.CloseStatement(name)
	} else {
		c.sess.ClosePortal(name)
	}
	c.out.send(&pgproto3.CloseComplete{})
	return nil
}

func (c *conn) flush(data []byte) error {
	if err := decodeEmpty("Flush", data); err != nil {
		return c.refused(err)
	}
	if err := c.sess.Flush(c.ctx); err != nil {
		return err
	}
	return c.out.flush()
}
