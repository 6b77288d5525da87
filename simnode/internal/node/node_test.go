package node_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/node"
	"github.com/anywriter/anywriter/simnode/internal/segment"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func addr(id uint16) fabric.Addr { return fabric.Addr{Kind: fabric.KindNode, ID: id} }

func TestWriteOnOneReadOnAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		for i := range int32(10) {
			writer := b.nodes[i%3]
			lsn, err := set(writer, 7, i)
			require.NoError(t, err)
			require.GreaterOrEqual(t, writer.Stable(), lsn)
			for _, n := range b.nodes {
				got, err := get(n, 7)
				require.NoError(t, err)
				require.Equal(t, i, got, "node %d after an acknowledged write", n.ID())
			}
		}
	})
}

func TestConflictIs40001(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 100)
		require.NoError(t, err)

		// Two transactions on two nodes read the row at the same snapshot.
		one, table, err := begin(b.nodes[0])
		require.NoError(t, err)
		require.NoError(t, put(one, table, 7, 101))
		two, table, err := begin(b.nodes[1])
		require.NoError(t, err)
		require.NoError(t, put(two, table, 7, 102))

		_, err = b.nodes[0].Commit(context.Background(), one)
		require.NoError(t, err)
		_, err = b.nodes[1].Commit(context.Background(), two)
		e := requireState(t, err, "40001")
		require.Equal(t, "could not serialize access due to concurrent update", e.Message)
		require.Regexp(t, `^Conflict on table "accounts", key \(id\)=\(7\): transaction 1\.1/\d+ committed it at LSN \d+\.$`, e.Detail)

		got, err := get(b.nodes[2], 7)
		require.NoError(t, err)
		require.Equal(t, int32(101), got)
		for _, n := range b.nodes {
			require.Zero(t, n.Reservations(), "node %d", n.ID())
		}
	})
}

// Two commits of one row set out at the same time: at most one wins, and a loser
// hears who holds the row.
func TestConcurrentCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 0)
		require.NoError(t, err)
		for range 20 {
			results := make(chan error, 2)
			for i := range 2 {
				tx, table, err := begin(b.nodes[i])
				require.NoError(t, err)
				require.NoError(t, put(tx, table, 7, int32(i)))
				go func() { // ends when the commit has its outcome
					_, err := b.nodes[i].Commit(context.Background(), tx)
					results <- err
				}()
			}
			won := 0
			for range 2 {
				if err := <-results; err != nil {
					requireState(t, err, "40001")
					continue
				}
				won++
			}
			require.LessOrEqual(t, won, 1)
		}
	})
}

func TestLocalWritersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		n := b.nodes[0]
		_, err := set(n, 7, 0)
		require.NoError(t, err)
		const writers = 8
		results := make(chan error, writers)
		for range writers {
			go func() { results <- increment(n, 7) }() // ends with the commit's outcome
		}
		for range writers {
			require.NoError(t, <-results, "READ COMMITTED writers on one node wait, they don't fail")
		}
		got, err := get(b.nodes[1], 7)
		require.NoError(t, err)
		require.Equal(t, int32(writers), got)
	})
}

func TestKilledNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 1)
		require.NoError(t, err)
		b.kill(b.nodes[2])

		began := time.Now()
		for i := range int32(5) {
			_, err = set(b.nodes[i%2], 7, i)
			require.NoError(t, err)
		}
		require.Less(t, time.Since(began), 100*time.Millisecond, "a reported exit delays nobody")

		// It comes back with a cold cache and reads what was written meanwhile.
		n := b.start(3)
		b.ready(n)
		require.EqualValues(t, 2, n.Incarnation())
		got, err := get(n, 7)
		require.NoError(t, err)
		require.Equal(t, int32(4), got)
		_, err = set(n, 7, 50)
		require.NoError(t, err)
		b.sameCaches()
	})
}

func TestFrozenNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 1)
		require.NoError(t, err)

		frozen := b.nodes[2]
		thaw := b.fabric.Freeze(addr(3))
		frozen.Freeze()
		began := time.Now()
		_, err = set(b.nodes[0], 7, 2)
		require.NoError(t, err)
		waited := time.Since(began)
		require.Greater(t, waited, 100*time.Millisecond, "the frozen node may still read: the commit must wait for its lease")
		require.Less(t, waited, 230*time.Millisecond)
		began = time.Now()
		_, err = set(b.nodes[1], 7, 3)
		require.NoError(t, err)
		require.Less(t, time.Since(began), 20*time.Millisecond, "its lease is over: nobody waits any more")

		frozen.Thaw()
		thaw()
		got, err := get(frozen, 7)
		require.NoError(t, err)
		require.Equal(t, int32(3), got, "the thawed node must not answer from before the freeze")
		b.sameCaches()
	})
}

// A statement that arrives at a frozen node waits for the thaw.
func TestSessionsOfAFrozenNodeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{})
		defer b.close()
		n := b.nodes[0]
		n.Freeze()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := n.Snapshot(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, n.WaitStable(ctx, 1), context.DeadlineExceeded)
		n.Thaw()
		_, err = n.Snapshot(context.Background())
		require.NoError(t, err)
	})
}

func TestPartitionedMinority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 1)
		require.NoError(t, err)
		cut := b.nodes[2]
		tx, table, err := begin(cut) // its snapshot is from before the partition
		require.NoError(t, err)
		require.NoError(t, put(tx, table, 7, 9))

		// The node loses its peers, not the storage.
		heal := b.fabric.Partition([]fabric.Addr{addr(3)}, []fabric.Addr{addr(1), addr(2)})
		began := time.Now()
		_, err = cut.Commit(context.Background(), tx)
		e := requireState(t, err, "40001")
		require.Equal(t, "no majority of votes", e.Detail)
		require.LessOrEqual(t, time.Since(began), 130*time.Millisecond)
		pass(250*time.Millisecond - time.Since(began))
		require.Contains(t, requireState(t, cut.Ready(), "57P03").Detail, "majority")

		_, err = set(b.nodes[0], 7, 2)
		require.NoError(t, err, "the majority goes on")
		got, err := get(cut, 7)
		require.NoError(t, err, "the storage still grants it leases")
		require.Equal(t, int32(2), got)

		heal()
		b.ready(cut)
		_, err = set(cut, 7, 3)
		require.NoError(t, err)
		b.sameCaches()
	})
}

func TestIsolatedNodeStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 1)
		require.NoError(t, err)
		heal := b.fabric.Isolate(addr(3))
		began := time.Now()
		_, err = set(b.nodes[0], 7, 2)
		require.NoError(t, err)
		require.Less(t, time.Since(began), 230*time.Millisecond)
		_, err = get(b.nodes[2], 7)
		requireState(t, err, "57P03")
		requireState(t, b.nodes[2].Ready(), "57P03")
		heal()
		b.ready(b.nodes[2])
		got, err := get(b.nodes[2], 7)
		require.NoError(t, err)
		require.Equal(t, int32(2), got)
	})
}

// A node is cut off from the others and the storage when its append is out. Nobody
// waits long: not the client of that transaction, not the one behind its row lock,
// not a new commit or a new statement.
func TestCutOffNodeAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		n := b.nodes[2]
		_, err := set(n, 7, 1)
		require.NoError(t, err)
		other, table, err := begin(n)
		require.NoError(t, err)
		require.NoError(t, put(other, table, 8, 1))

		results, successor := make(chan error, 1), make(chan error, 1)
		go func() { // ends when the commit has its answer
			_, err := set(n, 7, 2)
			results <- err
		}()
		pass(2500 * time.Microsecond) // the votes are in, the append is on its way
		others := []fabric.Addr{addr(1), addr(2), segment.HeadAddr()}
		for id := range message.StorageID(6) {
			others = append(others, segment.StorageAddr(id+1))
		}
		heal := b.fabric.Partition([]fabric.Addr{addr(3)}, others)
		began := time.Now()
		go func() { successor <- increment(n, 7) }() // ends as the one above
		_, err = n.Commit(context.Background(), other)
		require.Equal(t, "no majority of votes", requireState(t, err, "40001").Detail)
		require.LessOrEqual(t, time.Since(began), 150*time.Millisecond)
		pass(200*time.Millisecond - time.Since(began))
		asked := time.Now()
		_, err = get(n, 8)
		requireState(t, err, "57P03")
		require.LessOrEqual(t, time.Since(asked), 260*time.Millisecond)
		requireState(t, <-results, "40003")
		require.LessOrEqual(t, time.Since(began), 580*time.Millisecond)
		requireState(t, <-successor, "40001")
		require.LessOrEqual(t, time.Since(began), 720*time.Millisecond)

		heal()
		b.ready(n)
		b.sameCaches()
		require.NoError(t, increment(n, 7))
		got, err := get(b.nodes[0], 7)
		require.NoError(t, err)
		require.Equal(t, int32(3), got, "the transaction in doubt was committed")
	})
}

// With one of three nodes dead, two commits of one row reject each other. Neither
// waits for the vote of the dead one, and one of them soon gets through.
func TestConflictsWithoutTheThirdNode(t *testing.T) {
	for _, reported := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
			defer b.close()
			_, err := set(b.nodes[0], 7, 0)
			require.NoError(t, err)
			if reported {
				b.kill(b.nodes[2])
			} else {
				b.nodes[2].Close()
				pass(300 * time.Millisecond)
			}
			results := make(chan error, 2)
			for i := range 2 {
				tx, table, err := begin(b.nodes[i])
				require.NoError(t, err)
				require.NoError(t, put(tx, table, 7, int32(i)))
				go func() { // ends when the commit has its outcome
					_, err := b.nodes[i].Commit(context.Background(), tx)
					results <- err
				}()
			}
			began := time.Now()
			for range 2 {
				e := requireState(t, <-results, "40001")
				require.Contains(t, e.Detail, "is committing it")
			}
			require.Less(t, time.Since(began), 10*time.Millisecond, "reported %v", reported)
		})
	}
}

// Statements that find no lease wait for one, and all go on when it comes.
func TestStatementsWaitForALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		n := b.nodes[2]
		_, err := set(n, 7, 1)
		require.NoError(t, err)
		heal := b.fabric.Isolate(addr(3))
		pass(300 * time.Millisecond)
		for range 2 { // the first ones in vain
			_, err = n.Snapshot(context.Background())
			requireState(t, err, "57P03")
		}
		const statements = 20
		results := make(chan error, statements)
		began := time.Now()
		for range statements {
			go func() { // ends when the statement has its rows
				_, err := get(n, 7)
				results <- err
			}()
		}
		pass(100 * time.Millisecond)
		require.Empty(t, results)
		heal()
		for range statements {
			require.NoError(t, <-results)
		}
		require.Less(t, time.Since(began), 200*time.Millisecond)
	})
}

// The storage hears the append and its answers are lost: the client is told that
// the outcome is unknown, and the node finds it out once it can.
func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 1)
		require.NoError(t, err)
		head := segment.HeadAddr()
		heal := b.fabric.PartitionOneWay([]fabric.Addr{head}, []fabric.Addr{addr(1), addr(2), addr(3)})
		began := time.Now()
		_, err = set(b.nodes[0], 7, 2)
		requireState(t, err, "40003")
		// No node can follow the log, so none has a lease, and half the patience is all.
		require.InDelta(t, 540*time.Millisecond, time.Since(began), float64(40*time.Millisecond))
		heal()
		pass(200 * time.Millisecond)
		got, err := get(b.nodes[0], 7)
		require.NoError(t, err)
		require.Equal(t, int32(2), got, "it was committed all along")
		require.NoError(t, increment(b.nodes[0], 7), "its local lock is free")
		b.sameCaches()
	})
}

func TestCancelBeforeAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: 20 * time.Millisecond})
		defer b.close()
		tx, table, err := begin(b.nodes[0])
		require.NoError(t, err)
		require.NoError(t, put(tx, table, 7, 1))
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		_, err = b.nodes[0].Commit(ctx, tx)
		requireState(t, err, "57014")
		_, err = set(b.nodes[1], 7, 2)
		require.NoError(t, err, "the reservations are given back")
	})
}

func TestCloseEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: 20 * time.Millisecond})
		defer b.close()
		n := b.nodes[0]
		tx, table, err := begin(n)
		require.NoError(t, err)
		require.NoError(t, put(tx, table, 7, 1))
		go func() { // ends with Close
			pass(10 * time.Millisecond)
			n.Close()
		}()
		_, err = n.Commit(context.Background(), tx)
		requireState(t, err, "08007")
		_, err = n.Snapshot(context.Background())
		requireState(t, err, "57P01")
		requireState(t, n.Ready(), "57P01")
	})
}

func TestEventualMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Eventual, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		thaw := b.fabric.Freeze(addr(3))
		defer thaw()
		b.nodes[2].Freeze()
		defer b.nodes[2].Thaw()
		began := time.Now()
		_, err := set(b.nodes[0], 7, 2)
		require.NoError(t, err)
		require.Less(t, time.Since(began), 20*time.Millisecond, "nobody waits for a frozen cache")
	})
}

func TestLaggingCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 1)
		require.NoError(t, err)
		b.nodes[2].SetLag(60 * time.Millisecond)
		began := time.Now()
		_, err = set(b.nodes[0], 7, 2)
		require.NoError(t, err)
		require.Greater(t, time.Since(began), 60*time.Millisecond, "strict waits for the slow cache")
		got, err := get(b.nodes[2], 7)
		require.NoError(t, err)
		require.Equal(t, int32(2), got)
	})
}

func TestSequences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		seen := map[uint32]bool{}
		for i := range 60 {
			oid, err := b.nodes[i%3].Sequences().NextOID(context.Background())
			require.NoError(t, err)
			require.False(t, seen[oid], "OID %d given twice", oid)
			require.GreaterOrEqual(t, oid, uint32(16384))
			seen[oid] = true
		}
		heal := b.fabric.Isolate(segment.HeadAddr())
		defer heal()
		for range 300 {
			if _, err := b.nodes[0].Sequences().NextOID(context.Background()); err != nil {
				requireState(t, err, "57P03")
				return
			}
		}
		t.Fatal("blocks never run out")
	})
}

func TestReadOnlyCommitNeedsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 1)
		require.NoError(t, err)
		tx, table, err := begin(b.nodes[0])
		require.NoError(t, err)
		_, ok := tx.Get(table, rowKey(table, 7))
		require.True(t, ok)
		heal := b.fabric.Isolate(addr(1))
		defer heal()
		began := time.Now()
		lsn, err := b.nodes[0].Commit(context.Background(), tx)
		require.NoError(t, err)
		require.Equal(t, b.nodes[0].Applied(), lsn)
		require.Zero(t, time.Since(began))
	})
}

func TestStorageNodesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		require.NoError(t, b.volume.StopAZ(1))
		for i := range int32(5) {
			_, err := set(b.nodes[i%3], 7, i)
			require.NoError(t, err, "a whole AZ may be down")
		}
		require.NoError(t, b.volume.StopStorage(2))
		_, err := set(b.nodes[0], 7, 9)
		requireState(t, err, "40003")
		require.NoError(t, b.volume.StartStorage(2))
		pass(300 * time.Millisecond)
		got, err := get(b.nodes[1], 7)
		require.NoError(t, err)
		require.Equal(t, int32(9), got)
		b.sameCaches()
	})
}

// Somebody raises a living node's incarnation: its votes and leases are void, so it
// takes a new life when it sees that in the log.
func TestDeposedNodeStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		n := b.nodes[0]
		_, err := set(n, 7, 1)
		require.NoError(t, err)
		late := message.Encode(message.FenceRequest{Node: 1, Expect: 0, BootID: 98})
		b.fabric.Send(addr(1), segment.HeadAddr(), late)
		pass(100 * time.Millisecond)
		require.EqualValues(t, 1, n.Incarnation(), "a late request of an older life changes nothing")

		b.fabric.Send(addr(1), segment.HeadAddr(), message.Encode(message.FenceRequest{Node: 1, Expect: 1, BootID: 99}))
		pass(100 * time.Millisecond)
		b.ready(n)
		require.EqualValues(t, 3, n.Incarnation())
		_, err = set(n, 7, 2)
		require.NoError(t, err)
		b.sameCaches()
	})
}

// With no peer to tell it, a deposed node learns of that from the log.
func TestDeposedSingleNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		n := b.nodes[0]
		b.fabric.Send(addr(1), segment.HeadAddr(), message.Encode(message.FenceRequest{Node: 1, Expect: 1, BootID: 99}))
		pass(400 * time.Millisecond)
		b.ready(n)
		require.EqualValues(t, 3, n.Incarnation())
		_, err := set(n, 7, 2)
		require.NoError(t, err)
	})
}

// A node that has no incarnation yet serves nothing: it would use names of an earlier
// life.
func TestStartingNodeServesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 3, node.Strict, fabric.Link{Latency: time.Millisecond})
		defer b.close()
		_, err := set(b.nodes[0], 7, 1)
		require.NoError(t, err)
		b.kill(b.nodes[0])
		heal := b.fabric.Isolate(segment.HeadAddr())
		n := b.start(1)
		ctx := context.Background()
		_, err = n.Sequences().NextOID(ctx)
		requireState(t, err, "57P03")
		_, err = n.Snapshot(ctx)
		require.Contains(t, requireState(t, err, "57P03").Detail, "incarnation")
		heal()
		b.ready(n)
		_, err = set(n, 7, 2)
		require.NoError(t, err)
	})
}

func TestConfigIsChecked(t *testing.T) {
	f := fabric.New(fabric.Config{})
	defer f.Close()
	good := node.Config{ID: 1, Members: []message.NodeID{1, 2}, Fabric: f, Seed: 1}
	for name, edit := range map[string]func(c *node.Config){
		"ID":      func(c *node.Config) { c.ID = 0 },
		"members": func(c *node.Config) { c.ID = 3 },
		"Fabric":  func(c *node.Config) { c.Fabric = nil },
		"Seed":    func(c *node.Config) { c.Seed = 0 },
		"Mode":    func(c *node.Config) { c.Mode = 7 },
	} {
		cfg := good
		edit(&cfg)
		_, err := node.Start(cfg)
		require.ErrorContains(t, err, name)
	}
}

// increment adds one to a row as a READ COMMITTED transaction does.
func increment(n *node.Node, id int32) error {
	ctx := context.Background()
	tx := n.Begin(mvcc.ReadCommitted, false)
	s, err := n.Snapshot(ctx)
	if err != nil {
		tx.Finish()
		return err
	}
	tx.SetSnapshot(s)
	tx.NextCommand()
	rel, _ := tx.RelationByOID(tableOID)
	key := rowKey(rel.Table, id)
	locked, err := tx.LockRow(ctx, rel.Table, key, mvcc.LockOptions{Mode: mvcc.ForUpdate})
	if err != nil {
		tx.Finish()
		return err
	}
	row := types.Row{id, locked.Row[1].(int32) + 1}
	if _, err := tx.Update(ctx, rel.Table, key, row); err != nil {
		tx.Finish()
		return err
	}
	_, err = n.Commit(ctx, tx)
	return err
}

// sameCaches waits until all nodes have applied the whole log, and compares them.
func (b *bed) sameCaches() {
	b.t.Helper()
	pass(500 * time.Millisecond)
	want, at := b.nodes[0].Hash()
	require.Equal(b.t, b.volume.VDL(), at)
	for _, n := range b.nodes {
		got, lsn := n.Hash()
		require.Equal(b.t, at, lsn, "node %d", n.ID())
		require.Equal(b.t, want, got, "node %d", n.ID())
		require.Equal(b.t, at, n.Stable())
		require.Zero(b.t, n.Reservations(), "node %d", n.ID())
	}
}
