package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"sync"
	"time"

	"github.com/anywriter/anywriter/internal/fence"
)

// MinFenceAge is the youngest age at which rows of the fence table may be
// purged: they must outlive every connection that could still deliver a commit,
// and every question about one.
const MinFenceAge = fence.MinAge

// FenceStatus describes the fence table.
type FenceStatus struct {
	// Table is its qualified name.
	Table string
	// Rows counts its rows, Marks those among them that say aborted.
	Rows, Marks int64
	// Oldest is the time of the oldest row, by the server's clock; zero if there
	// is none.
	Oldest time.Time
}

// errFenceOff is returned where a fence is administered that isn't configured.
var errFenceOff = errors.New("anywriter: the configuration has no commit fence: set commit_fence=table")

// InstallFence makes the schema and the fence table that the configuration
// names, unless they exist. It needs the privilege to create them; the table
// then belongs to the session's role. An existing table isn't changed or
// checked: opening a cluster with commit_fence=table does that.
func InstallFence(ctx context.Context, config Config) error {
	config, _, err := config.resolve()
	if err != nil {
		return err
	}
	f, err := newCommitFence(config.Settings)
	if err != nil {
		return err
	}
	if !f.on {
		return errFenceOff
	}
	config.Settings.CommitFence = "off" // it can't be used before it is there
	c, err := Open(ctx, config)
	if err != nil {
		return err
	}
	defer c.Close()
	s := c.NewSession()
	defer s.Release()
	// Making what exists already does no harm.
	ctx = WithIdempotent(ctx)
	for _, command := range f.table.Install() {
		if _, err := s.Exec(ctx, command, nil); err != nil {
			return fmt.Errorf("install fence table %s: %w", f.table, err)
		}
		s.Release()
	}
	return nil
}

// FenceNode is what one node says about the commit fence.
type FenceNode struct {
	// Addr is the node's address, Engine what was found there.
	Addr, Engine string
	// Autocommit is true if statements outside transactions are fenced too: the
	// server was seen to run several statements before one Sync as one
	// transaction.
	Autocommit bool
	// Err is why the node can't be used with a fence, or nil.
	Err error
}

// CheckFence asks every node, over a connection of its own to each, whether the
// commit fence can be used there. The result is in the order of the DSN.
func (c *Cluster) CheckFence(ctx context.Context) ([]FenceNode, error) {
	if !c.fence.on {
		return nil, errFenceOff
	}
	members := c.members()
	out := make([]FenceNode, len(members))
	var all sync.WaitGroup
	for i, n := range members {
		all.Go(func() { // ends when the node has answered or the context is over
			out[i] = FenceNode{Addr: n.addr, Err: n.checkFenceAlone(ctx)}
			out[i].Engine, out[i].Autocommit = n.profile.Load().String(), n.implicitTx.Load()
		})
	}
	all.Wait()
	return out, nil
}

// checkFenceAlone is checkFence on a new connection.
func (n *Node) checkFenceAlone(ctx context.Context) error {
	conn, err := n.hooks.Connect(ctx, n.config, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // it was ours alone
	profile, _, err := identify(ctx, conn, n.config.Host, n.cluster.named)
	if err != nil {
		return err
	}
	n.profile.Store(&profile)
	return n.checkFence(ctx, conn)
}

// FenceStatus counts the rows of the fence table. It reads all of it.
func (c *Cluster) FenceStatus(ctx context.Context) (FenceStatus, error) {
	if !c.fence.on {
		return FenceStatus{}, errFenceOff
	}
	status := FenceStatus{Table: c.fence.table.String()}
	rows, marks, oldest := c.fence.table.Count()
	for _, ask := range []struct {
		sql  string
		into any
	}{{rows, &status.Rows}, {marks, &status.Marks}, {oldest, &status.Oldest}} {
		if err := c.scalar(ctx, ask.sql, ask.into); err != nil {
			return status, err
		}
	}
	return status, nil
}

// scalar reads one value, which stays as it is if the server's is NULL.
func (c *Cluster) scalar(ctx context.Context, sql string, into any) error {
	s := c.NewSession()
	defer s.Release()
	rows, err := s.Query(ctx, sql, nil)
	if err != nil {
		return err
	}
	for rows.Next() {
		field, value := rows.Fields()[0], rows.Values()[0]
		if value == nil {
			continue
		}
		if err := rows.TypeMap().Scan(field.DataTypeOID, field.Format, value, into); err != nil {
			_ = rows.Close() // the error of reading counts
			return err
		}
	}
	return rows.Close()
}

// purgeSlice is how many rows one statement of a purge should find: few enough
// to hold locks for milliseconds only.
const purgeSlice = 2000

// PurgeFence deletes the rows of the fence table that are older than age, by
// the server's clock, and returns how many. It goes through the table slice by
// slice, each in a transaction of its own, and may run under load. Younger than
// MinFenceAge is refused.
func (c *Cluster) PurgeFence(ctx context.Context, age time.Duration) (int64, error) {
	if !c.fence.on {
		return 0, errFenceOff
	}
	if age < MinFenceAge {
		return 0, fmt.Errorf("anywriter: fence rows younger than %v may still be needed; asked to purge those older than %v", MinFenceAge, age)
	}
	status, err := c.FenceStatus(ctx)
	if err != nil {
		return 0, err
	}
	var now time.Time
	if err := c.scalar(ctx, "select clock_timestamp()", &now); err != nil {
		return 0, err
	}
	// The keys are random, so equal parts of their range have equal shares.
	steps := 1 << min(16, bits.Len64(uint64(status.Rows/purgeSlice)))
	var deleted int64
	for i := range steps {
		low, high := slice(i, steps)
		n, err := c.purge(ctx, low, high, now.Add(-age))
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// purge deletes one slice. Doing it twice does no harm.
func (c *Cluster) purge(ctx context.Context, low, high txID, before time.Time) (int64, error) {
	s := c.NewSession()
	defer s.Release()
	tag, err := s.Exec(WithIdempotent(ctx), c.fence.table.PurgeSlice(), []any{low.String(), high.String(), before})
	if err != nil || tag.String() == TagResolved {
		return 0, err
	}
	return tag.RowsAffected(), nil
}

// slice returns the bounds, both included, of one of a power of two of equal
// parts of the range of keys.
func slice(i, of int) (low, high txID) {
	shift := 64 - bits.TrailingZeros(uint(of))
	binary.BigEndian.PutUint64(low[:], uint64(i)<<shift)
	for k := range high {
		high[k] = 0xff
	}
	if next := uint64(i+1) << shift; next != 0 {
		binary.BigEndian.PutUint64(high[:], next-1)
	}
	return low, high
}

// String lists the status in one line.
func (s FenceStatus) String() string {
	line := s.Table + ": " + strconv.FormatInt(s.Rows, 10) + " rows, " + strconv.FormatInt(s.Marks, 10) + " of them marks of aborted transactions"
	if !s.Oldest.IsZero() {
		line += ", the oldest of " + s.Oldest.UTC().Format(time.RFC3339)
	}
	return line
}
