package builtin

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Context is what functions see of the session and the node. The funcs may be nil
// where nothing is behind them; calling such a function is then 0A000. One
// goroutine uses it at a time.
type Context struct {
	// Ctx ends pg_sleep and whatever else waits. Nil means never.
	Ctx context.Context
	// TxTime is now(), StmtTime statement_timestamp().
	TxTime, StmtTime time.Time
	// Clock is clock_timestamp(). Nil means time.Now.
	Clock                       func() time.Time
	User, SessionUser, Database string
	// Path is the search path, Catalog what the statement sees of the database. A
	// nil Catalog is that of a context where no statement runs.
	Path    catalog.Path
	Catalog catalog.Reader
	// Roles are those of the database.
	Roles []catalog.Role
	// Location is the session's time zone; nil means UTC.
	Location   *time.Location
	BackendPID uint32
	// Sleep waits for pg_sleep. Nil means a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// The sequence functions, by the sequence's name as the statement gives it.
	Nextval func(ctx context.Context, name string) (int64, error)
	Currval func(name string) (int64, error)
	Lastval func() (int64, error)
	Setval  func(ctx context.Context, name string, value int64, called bool) (int64, error)
	// Setting gives a setting's value; SetSetting changes one, only for the
	// transaction if local, and gives the new value.
	Setting    func(name string) (string, bool)
	SetSetting func(name, value string, local bool) (string, error)
	// TxID is txid_current().
	TxID func(ctx context.Context) (int64, error)
	// Rand is random()'s source and gen_random_uuid()'s. Nil means a source of
	// the process's own.
	Rand *rand.Rand
}

// Classes finds relations for regclass, as r sees the database.
func (c *Context) Classes(r catalog.Reader) catalog.Classes {
	return catalog.Classes{Reader: r, Path: c.Path, Database: c.Database}
}

func (c *Context) context() context.Context {
	if c == nil || c.Ctx == nil {
		return context.Background()
	}
	return c.Ctx
}

func (c *Context) location() *time.Location {
	if c == nil || c.Location == nil {
		return time.UTC
	}
	return c.Location
}

func (c *Context) clock() time.Time {
	if c.Clock == nil {
		return time.Now()
	}
	return c.Clock()
}

func (c *Context) uint64() uint64 {
	if c.Rand == nil {
		return rand.Uint64()
	}
	return c.Rand.Uint64()
}

func (c *Context) sleep(d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(c.context(), d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.context().Done():
		return context.Cause(c.context())
	}
}

// text is the value as the type's output function writes it.
func (c *Context) text(d types.Datum) string {
	return types.FormatText(typeOf(d), d, c.location())
}

// castText is the value as a cast to text writes it, which differs from the
// output function for booleans only.
func (c *Context) castText(d types.Datum) string {
	if b, ok := d.(bool); ok {
		if b {
			return "true"
		}
		return "false"
	}
	return c.text(d)
}

// typeOf gives a type whose values look like d. Text stands for all string types.
func typeOf(d types.Datum) types.OID {
	switch d.(type) {
	case int16:
		return types.Int2
	case int32:
		return types.Int4
	case int64:
		return types.Int8
	case uint32:
		return types.OidOID
	case float64:
		return types.Float8
	case bool:
		return types.Bool
	case []byte:
		return types.Bytea
	case time.Time:
		return types.Timestamptz
	case types.Date:
		return types.DateOID
	case [16]byte:
		return types.UUID
	case types.Regclass:
		return types.RegclassOID
	case types.Void:
		return types.VoidOID
	case string:
		return types.Text
	default:
		return types.Numeric
	}
}

func absent(name string) error { return sqlerr.Unsupported("function " + name + " here") }
