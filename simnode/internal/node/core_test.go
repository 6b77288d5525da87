package node

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
	"github.com/anywriter/anywriter/simnode/internal/origin"
)

// anyStore takes every record.
type anyStore struct{}

func (anyStore) Apply(message.LSN, *message.Record) error { return nil }

// stableAfterRelease gives how far a core of three is stable after the log has
// brought its peers' first lives and one commit, and somebody has said that node 3
// has ended.
func stableAfterRelease(from fabric.Addr, m mutant.Set) message.LSN {
	c := newCore(coreConfig{
		self: 1, members: []message.NodeID{1, 2, 3}, epoch: 1, bootID: 1, store: anyStore{}, mutants: m,
	}, 0)
	log := []message.Record{
		{Kind: message.RecordFence, Node: 2, Inc: 1, BootID: 2},
		{Kind: message.RecordFence, Node: 3, Inc: 1, BootID: 3},
		{Kind: message.RecordCommit, TxID: message.TxID{Origin: 2, Inc: 1, Seq: 1}},
	}
	c.receive(headAddr(), message.FetchReply{Records: log, VDL: 3}, 0)
	c.receive(nodeAddr(2), message.Applied{Node: 2, Inc: 1, LSN: 3}, 0)
	c.receive(nodeAddr(3), message.Applied{Node: 3, Inc: 1, LSN: 2}, 0)
	c.receive(from, message.Release{Node: 3, Inc: 1}, time.Millisecond)
	c.settle(time.Millisecond)
	return c.member.Stable()
}

// Nobody but a node's supervisor can say that it has ended: a peer may be wrong.
func TestReleaseIsBelievedFromTheSupervisorOnly(t *testing.T) {
	supervisor := func(id uint16) fabric.Addr { return fabric.Addr{Kind: fabric.KindSupervisor, ID: id} }
	require.EqualValues(t, 3, stableAfterRelease(supervisor(3), 0))
	for _, from := range []fabric.Addr{
		supervisor(2), nodeAddr(2), nodeAddr(3), headAddr(), storageAddr(3), {Kind: fabric.KindClient, ID: 3},
	} {
		require.EqualValues(t, 2, stableAfterRelease(from, 0), "%v", from)
		require.EqualValues(t, 3, stableAfterRelease(from, mutant.ReleaseFromAnybody), "the mutant, %v", from)
	}
}

// A deposed node tells nobody how far it has applied the log until it serves again:
// it would be taken for the word of the process in its place.
func TestDeposedNodeKeepsSilent(t *testing.T) {
	c := newCore(coreConfig{self: 1, members: []message.NodeID{1, 2}, epoch: 1, bootID: 7, store: anyStore{}}, 0)
	told := func() (newest message.LSN) {
		for _, e := range c.out {
			if a, ok := e.msg.(message.Applied); ok {
				newest = max(newest, a.LSN)
			}
		}
		c.out = nil
		return newest
	}
	step := func(now time.Duration, m message.Message) {
		c.receive(headAddr(), m, now)
		c.tick(now)
		c.settle(now)
	}
	step(0, message.FenceReply{Node: 1, Inc: 1, BootID: 7, LSN: 1, OK: true})
	require.Equal(t, serving, c.phase)
	require.EqualValues(t, 1, told())
	log := []message.Record{
		{Kind: message.RecordFence, Node: 1, Inc: 2, BootID: 8},
		{Kind: message.RecordCommit, TxID: message.TxID{Origin: 2, Inc: 1, Seq: 1}},
	}
	step(time.Millisecond, message.FetchReply{From: 1, Records: log, VDL: 3})
	require.Equal(t, fencing, c.phase)
	require.EqualValues(t, 1, c.life, "the life to release is its own, not its successor's")
	require.EqualValues(t, 3, c.member.Applied())
	step(100*time.Millisecond, message.FetchReply{From: 3, VDL: 3})
	require.Zero(t, told())
	step(101*time.Millisecond, message.FenceReply{Node: 1, Inc: 3, BootID: c.bootID, LSN: 4, OK: true})
	require.EqualValues(t, 3, c.life)
	require.EqualValues(t, 4, told(), "it serves again")
}

// brokenStore refuses every commit.
type brokenStore struct{}

func (brokenStore) Apply(_ message.LSN, r *message.Record) error {
	if r.Kind == message.RecordCommit {
		return errors.New("no")
	}
	return nil
}

// A node whose cache has failed neither reads nor votes nor proposes: what it
// began would never be applied here.
func TestFailedNodeTakesNoPart(t *testing.T) {
	c := newCore(coreConfig{
		self: 1, members: []message.NodeID{1, 2, 3}, epoch: 1, bootID: 7, store: brokenStore{}, eventual: true,
	}, 0)
	c.receive(headAddr(), message.FenceReply{Node: 1, Inc: 1, BootID: 7, LSN: 1, OK: true}, 0)
	_, ok := c.snapshot(0)
	require.True(t, ok)
	propose := message.Propose{TxID: message.TxID{Origin: 2, Inc: 1, Seq: 1}}
	c.out = nil
	c.receive(nodeAddr(2), propose, 0)
	require.Len(t, c.out, 1, "a vote")

	c.receive(nodeAddr(2), message.Committed{LSN: 2, Record: message.Record{Kind: message.RecordCommit, TxID: propose.TxID}}, 0)
	require.Error(t, c.failed)
	_, ok = c.snapshot(0)
	require.False(t, ok)
	c.out, c.events = nil, nil
	propose.TxID.Seq++
	c.receive(nodeAddr(2), propose, 0)
	id := c.commit([]message.KeyRef{{Key: "k", Mode: message.ModeWritten}}, nil, time.Time{}, 0)
	require.Empty(t, c.out)
	require.Equal(t, []event{
		{txid: id, released: true, done: true, result: origin.Result{TxID: id, Outcome: origin.NoMajority}},
	}, c.events)
}
