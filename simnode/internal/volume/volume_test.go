package volume

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// The protocol's text has a storage node keep one lease per node: the newest. A
// node may use an older one, whose tail is lower, as long as that lasts. LSN 2
// comes late to the only storage node that both granted and decides, after a
// renewal that names LSN 3: with the newest grant alone nobody would be named a
// holder of LSN 2, and node 2 could read at LSN 1 after LSN 2 was acknowledged.
// The random search needs more than 2,000 seeds to meet this.
func TestAnOlderGrantStillCounts(t *testing.T) {
	holdersOf2 := func(m Mutant) message.Decided {
		w := newWorld([]message.NodeID{1, 2}, m)
		commit := func(seq uint64) {
			w.post(Party{}, w.step(Party{}, NodeParty(1), message.Append{Record: message.Record{
				Kind: message.RecordCommit, TxID: message.TxID{Origin: 1, Seq: seq},
				Votes: []message.VoteRef{{Voter: 1, ConfigEpoch: 1}, {Voter: 2, ConfigEpoch: 1}},
			}}))
		}
		store := func(id message.StorageID, lsn message.LSN) {
			for _, e := range w.onWay {
				if a, ok := e.msg.(message.Accept); ok && e.to == StorageParty(id) && a.LSN == lsn {
					w.post(e.to, w.step(e.to, Party{}, a))
				}
			}
		}
		var told []message.Decided
		answer := func() {
			for _, e := range w.take(Party{}) {
				for _, o := range w.step(Party{}, e.from, e.msg) {
					if d, ok := o.Msg.(message.Decided); ok {
						told = append(told, d)
					}
				}
			}
		}
		nonces := map[message.StorageID]uint64{}
		lease := func(id message.StorageID, req uint64, tail message.LSN) {
			out := w.step(StorageParty(id), NodeParty(2), message.LeaseRequest{Node: 2, Inc: 1, ReqID: req, Nonce: nonces[id]})
			g := out[0].Msg.(message.LeaseGrant)
			require.False(t, g.Refused)
			require.Equal(t, tail, g.Tail)
			nonces[id] = g.Nonce
		}
		commit(1)
		for id := message.StorageID(1); id <= 6; id++ {
			store(id, 1)
		}
		answer()
		for id := message.StorageID(1); id <= 3; id++ {
			lease(id, 1, 1) // good for 180 ms at LSN 1
		}
		commit(2)
		commit(3)
		w.now += 50 * time.Millisecond
		store(3, 3)
		lease(3, 2, 3)
		for id := message.StorageID(3); id <= 6; id++ {
			store(id, 2)
			answer()
		}
		require.Len(t, told, 2)
		require.Equal(t, message.LSN(2), told[1].LSN)
		return told[1]
	}
	assert.Equal(t, []message.NodeID{2}, holdersOf2(0).Holders)
	assert.Empty(t, holdersOf2(MutantNewestGrant).Holders, "the mutant shows what goes wrong")
}

func TestCountVotes(t *testing.T) {
	s := NewState([]message.NodeID{1, 2, 3})
	s.Apply(&message.Record{Kind: message.RecordFence, Node: 2, Inc: 1, BootID: 9})
	s.Apply(&message.Record{Kind: message.RecordFence, Node: 2, Inc: 2, BootID: 10})
	v := func(voter message.NodeID, inc message.Incarnation, epoch message.Epoch) message.VoteRef {
		return message.VoteRef{Voter: voter, Inc: inc, ConfigEpoch: epoch}
	}
	for name, c := range map[string]struct {
		votes []message.VoteRef
		want  int
	}{
		"none":                        {nil, 0},
		"all":                         {[]message.VoteRef{v(1, 0, 1), v(2, 2, 1), v(3, 0, 1)}, 3},
		"a newer life than is known":  {[]message.VoteRef{v(2, 3, 1)}, 1},
		"fenced":                      {[]message.VoteRef{v(2, 1, 1)}, 0},
		"fenced, then voted again":    {[]message.VoteRef{v(2, 1, 1), v(2, 2, 1)}, 1},
		"twice":                       {[]message.VoteRef{v(1, 0, 1), v(1, 0, 1)}, 1},
		"stranger":                    {[]message.VoteRef{v(4, 9, 1), v(0, 0, 1)}, 0},
		"config epoch before, after":  {[]message.VoteRef{v(1, 0, 0), v(3, 0, 2)}, 0},
		"wrong epoch, then the right": {[]message.VoteRef{v(1, 0, 0), v(1, 0, 1)}, 1},
	} {
		assert.Equal(t, c.want, s.countVotes(c.votes, false), name)
	}
	assert.Equal(t, 1, s.countVotes([]message.VoteRef{v(2, 1, 1)}, true))
}

// State folds records of membership changes too, although no head writes them yet.
func TestStateConfigRecord(t *testing.T) {
	s := NewState([]message.NodeID{3, 1, 2})
	assert.Equal(t, []message.NodeID{1, 2, 3}, s.Members())
	assert.Equal(t, FirstConfigEpoch, s.ConfigEpoch())
	assert.Equal(t, 2, s.majority())
	s.Apply(&message.Record{Kind: message.RecordConfig, ConfigEpoch: 2, Members: []message.NodeID{5, 1, 4, 3, 2}})
	s.Apply(&message.Record{Kind: message.RecordBarrier, OrigEpoch: 2})
	assert.Equal(t, []message.NodeID{1, 2, 3, 4, 5}, s.Members())
	assert.Equal(t, message.Epoch(2), s.ConfigEpoch())
	assert.Equal(t, 3, s.majority())
	assert.Equal(t, message.LSN(2), s.Length())
	assert.Zero(t, s.countVotes([]message.VoteRef{{Voter: 1, ConfigEpoch: 1}}, false), "votes of the old config")
}

// Promises, epochs and tails of rule 18, as a takeover will use them.
func TestStorageNodeEpochs(t *testing.T) {
	var d Durable
	s := NewStorageNode(1, &d, 0, 0)
	accept := func(epoch message.Epoch, lsn, tail message.LSN, seq uint64) int {
		return len(s.Step(0, Party{}, message.Accept{Epoch: epoch, LSN: lsn, Tail: tail, Record: message.Record{
			Kind: message.RecordTombstone, TxID: message.TxID{Origin: 1, Seq: seq}, OrigEpoch: epoch,
		}}))
	}
	seq := func(lsn message.LSN) uint64 {
		r, ok := d.Record(lsn)
		require.True(t, ok)
		return r.TxID.Seq
	}
	assert.Equal(t, 1, accept(1, 3, 40, 7))
	assert.Equal(t, message.LSN(40), s.Tail())
	assert.Equal(t, 1, accept(1, 2, 2, 5))
	assert.Equal(t, message.LSN(40), s.Tail(), "within an epoch the tail only grows")
	assert.Equal(t, 1, accept(1, 3, 40, 8), "a repetition is answered")
	assert.Equal(t, uint64(7), seq(3), "and changes nothing")
	_, ok := d.Record(1)
	assert.False(t, ok, "LSN 1 was never sent")
	_, ok = d.Record(4)
	assert.False(t, ok)

	assert.Equal(t, 1, accept(2, 3, 27, 9), "a newer head replaces the record")
	assert.Equal(t, uint64(9), seq(3))
	assert.Equal(t, message.LSN(27), s.Tail(), "and the tail: a dead one would make leases useless")
	assert.Equal(t, message.Epoch(2), d.Promised)
	assert.Zero(t, accept(1, 4, 41, 10), "the older head is not answered any more")
	assert.Zero(t, accept(0, 4, 41, 10))
	assert.Zero(t, accept(2, 0, 41, 10))
	assert.Zero(t, accept(2, 4, 3, 10), "a tail below the record itself")

	s = NewStorageNode(1, &d, 0, 0)
	assert.Zero(t, accept(1, 4, 41, 10), "the promise outlives a restart")
	assert.Equal(t, message.LSN(27), s.Tail())
}

func TestForeignMessagesAreIgnored(t *testing.T) {
	h := NewHead(HeadConfig{Members: []message.NodeID{1}})
	var d Durable
	s := NewStorageNode(1, &d, 0, 0)
	for _, m := range []message.Message{
		message.Propose{},
		message.Vote{},
		message.Abort{},
		message.Committed{},
		message.Applied{},
		message.Append{},
		message.Append{Record: message.Record{Kind: message.RecordFence, Node: 1, Inc: 9}},
		message.Append{Record: message.Record{Kind: message.RecordCommit}},
		message.Resolve{},
		message.FenceRequest{},
		message.Decided{},
		message.LeaseRequest{},
		message.Accepted{},
		message.Accepted{Storage: 1, Epoch: 1, LSN: 1},
		message.Accepted{Storage: 7, Epoch: 1, LSN: 1},
		message.Accept{},
		message.LeaseGrant{},
	} {
		assert.Empty(t, h.Step(0, NodeParty(1), m), "%T", m)
		assert.Empty(t, s.Step(0, NodeParty(1), m), "%T", m)
	}
	assert.Zero(t, h.State().Length())
	assert.True(t, h.Idle())
}

// A storage node that was down for long gets what it missed in windows that its
// answers open, and a silent one only a few records every retry.
func TestCatchUpWindows(t *testing.T) {
	w := newWorld([]message.NodeID{1}, 0)
	w.stop(6)
	const n = 3000
	round := func() {
		for _, p := range []message.StorageID{1, 2, 3, 4, 5, 6} {
			for _, e := range w.take(StorageParty(p)) {
				w.post(e.to, w.step(e.to, e.from, e.msg))
			}
		}
		for _, e := range w.take(Party{}) {
			w.post(Party{}, w.step(Party{}, e.from, e.msg))
		}
	}
	for i := range uint64(n) {
		w.post(Party{}, w.step(Party{}, NodeParty(1), message.Resolve{TxID: message.TxID{Origin: 1, Seq: i + 1}}))
		round()
	}
	require.Equal(t, message.LSN(n), w.head.VDL())
	require.False(t, w.head.Idle())
	for range 10 {
		w.now += 60 * time.Millisecond
		out := w.tick()
		assert.Len(t, out, probeWindow)
		assert.Empty(t, w.tick(), "not before the next retry")
	}
	w.start(6)
	w.now += 60 * time.Millisecond
	w.post(Party{}, w.tick())
	rounds := 0
	for ; !w.head.Idle() && rounds < 100; rounds++ {
		round()
	}
	assert.LessOrEqual(t, rounds, 15, "the window must double with every round trip")
	assert.Len(t, w.durable[5].Slots, n)
}

func TestFifo(t *testing.T) {
	var q fifo[int]
	next, want := 0, 0
	for i := range 200 {
		for range i % 7 {
			q.push(next)
			next++
		}
		n := min(q.len(), i%5)
		for k := range n {
			assert.Equal(t, want+k, *q.at(k))
		}
		q.drop(n)
		want += n
		assert.Equal(t, next-want, q.len())
	}
	assert.Less(t, cap(q.items), 4*q.len()+64)
}

func TestFetchIsBounded(t *testing.T) {
	w := newWorld([]message.NodeID{1}, 0)
	for i := range uint64(600) {
		r := message.Record{Kind: message.RecordCommit, TxID: message.TxID{Origin: 1, Seq: i + 1}, Votes: []message.VoteRef{{Voter: 1, ConfigEpoch: 1}}}
		if i >= 500 {
			r.Writes = []message.Write{{Key: "k", Row: make([]byte, 400<<10)}}
		}
		w.post(Party{}, w.step(Party{}, NodeParty(1), message.Append{Record: r}))
	}
	for id := message.StorageID(1); id <= 4; id++ {
		for _, e := range w.take(StorageParty(id)) {
			w.step(Party{}, e.to, w.step(e.to, e.from, e.msg)[0].Msg)
		}
	}
	var sizes []int
	for from := message.LSN(0); from < 600; {
		m := w.step(Party{}, NodeParty(1), message.Fetch{From: from})[0].Msg.(message.FetchReply)
		require.Equal(t, from, m.From)
		require.NotEmpty(t, m.Records)
		for i, r := range m.Records {
			require.Equal(t, uint64(from)+uint64(i)+1, r.TxID.Seq)
		}
		from += message.LSN(len(m.Records))
		sizes = append(sizes, len(m.Records))
	}
	assert.Equal(t, []int{256, 247, 3, 3}, sizes[:4], "256 records or 1 MiB, whichever is less")
}
