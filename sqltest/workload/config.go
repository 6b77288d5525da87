package workload

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/anywriter/anywriter/sqltest/history"
)

// Config says how a workload runs. DB is required.
type Config struct {
	// DB is the database under test. The workload doesn't close it.
	DB *sql.DB
	// Control is where tables are made, read in the end and dropped; nil is DB.
	// Give a DB that no fault reaches.
	Control *sql.DB
	// Seed determines every random choice of the clients; 0 is a seed as good as
	// any.
	Seed uint64
	// Clients is how many work at once, 1 to 1000; 0 means 8.
	Clients int
	// Rate is how many operations a client begins per second at most; 0 means 50.
	// A client waits for each operation's end before it begins the next.
	Rate float64
	// Duration is how long clients begin operations; 0 means until Ops.
	Duration time.Duration
	// Ops is how many operations each client does at most; 0 means until
	// Duration. With both zero, Duration is 5 s.
	Ops int
	// Timeout bounds one operation with all its retries; 0 means 2 s, twice what
	// the driver may wait for a node by default.
	Timeout time.Duration
	// ReadShare is the part of operations that only read, 0 to 1; 0 means 0.25
	// and a negative value none.
	ReadShare float64
	// Isolation is that of the transactions; the zero value is the database's
	// default. The bank's transfers lock their rows in READ COMMITTED and rely on
	// the conflict in REPEATABLE READ.
	Isolation sql.IsolationLevel
	// Tx runs transactions; nil is PlainTx, which never retries.
	Tx TxFunc
	// Classify judges errors; nil is Classify.
	Classify func(error) history.Outcome
	// Table is the prefix of the tables' names; empty means "aw" and the name of
	// the workload. Workloads on one database at a time need different ones.
	Table string
	// Replay is the command that repeats the run; it ends the error of a failed
	// check. Empty means the seed.
	Replay string
}

// withDefaults returns the configuration with its zero values filled in.
func (c Config) withDefaults(name string) (Config, error) {
	if c.DB == nil {
		return c, errors.New("workload: Config.DB is nil")
	}
	if c.Clients < 0 || c.Clients > 1000 || c.Rate < 0 || c.Duration < 0 || c.Ops < 0 || c.Timeout < 0 || c.ReadShare > 1 {
		return c, fmt.Errorf("workload: Clients %d, Rate %g, Duration %v, Ops %d, Timeout %v, ReadShare %g: want 0 to 1000 clients, a share up to 1 and nothing else negative",
			c.Clients, c.Rate, c.Duration, c.Ops, c.Timeout, c.ReadShare)
	}
	if c.Control == nil {
		c.Control = c.DB
	}
	if c.Clients == 0 {
		c.Clients = 8
	}
	if c.Rate == 0 {
		c.Rate = 50
	}
	if c.Duration == 0 && c.Ops == 0 {
		c.Duration = 5 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	if c.ReadShare == 0 {
		c.ReadShare = 0.25
	}
	if c.Tx == nil {
		c.Tx = PlainTx
	}
	if c.Classify == nil {
		c.Classify = Classify
	}
	if c.Table == "" {
		c.Table = "aw_" + name
	}
	if c.Replay == "" {
		c.Replay = fmt.Sprintf("seed %d", c.Seed)
	}
	return c, nil
}
