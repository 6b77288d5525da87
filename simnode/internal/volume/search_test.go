package volume

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

var (
	searchSeed  = flag.Uint64("volume.seed", 0, "play this one seed of TestSearch")
	searchSeeds = flag.Uint64("volume.seeds", 300, "how many seeds TestSearch plays")
)

// TestSearch plays nodes that append, repeat, resolve, fence and lease over a
// network that loses, repeats and reorders, with storage nodes that stop and
// start, and holds what is told against what the protocol promises.
func TestSearch(t *testing.T) {
	first, last := uint64(1), *searchSeeds
	if *searchSeed != 0 {
		first, last = *searchSeed, *searchSeed
	}
	told := 0
	for seed := first; seed <= last; seed++ {
		s := newSearch(seed, 0)
		if err := s.play(600); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./simnode/internal/volume -run TestSearch -volume.seed=%d", seed, err, seed)
		}
		told += len(s.told)
	}
	assert.Greater(t, told, 20*int(last-first+1), "the search hardly does anything")
}

// TestSearchFindsMutants holds the search itself to account.
func TestSearchFindsMutants(t *testing.T) {
	for name, m := range map[string]Mutant{
		"ack-without-vdl":       MutantAckWithoutVDL,
		"write-quorum-3":        MutantWriteQuorum3,
		"dup-append":            MutantDupAppend,
		"no-tombstone-check":    MutantNoTombstoneCheck,
		"refuse-before-durable": MutantRefuseBeforeDurable,
		"lease-without-tail":    MutantLeaseWithoutTail,
		"restart-forgets":       MutantRestartForgets,
		"fenced-votes":          MutantFencedVotes,
		"no-low-water":          MutantNoLowWater,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 2000; seed++ {
				if err := newSearch(seed, m).play(600); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Fatal("2000 seeds found nothing")
		})
	}
}

// leaseUse is how long nodes use a lease; 40 ms less than storage nodes wait.
const leaseUse = 180 * time.Millisecond

type search struct {
	w    *world
	rng  *rand.Rand
	err  error
	safe message.LSN // everything up to it is on four storage nodes

	lives   map[message.NodeID]*life
	boot    uint64
	appends []message.Append
	rounds  []*round
	told    map[message.TxID]message.Decided
	toldAt  map[message.LSN]time.Duration
	holders map[message.LSN]message.Decided // the first answer of a commit
	at      map[message.LSN]string          // what was told of an LSN
	calm    bool                            // no more loss
}

// life is a process: a node between two starts.
type life struct {
	inc    message.Incarnation // 0: not fenced yet
	boot   uint64
	expect message.Incarnation
	seq    uint64
	req    uint64
	nonces map[message.StorageID]uint64
}

// round is one set of lease requests and what was granted, whether or not the
// node heard of it.
type round struct {
	node   message.NodeID
	inc    message.Incarnation
	req    uint64
	sentAt time.Duration
	tails  map[message.StorageID]message.LSN
	dead   bool // the process has exited
}

func newSearch(seed uint64, m Mutant) *search {
	s := &search{
		w: newWorld([]message.NodeID{1, 2, 3}, m), rng: rand.New(rand.NewPCG(seed, 1)),
		lives: map[message.NodeID]*life{}, told: map[message.TxID]message.Decided{},
		toldAt: map[message.LSN]time.Duration{}, holders: map[message.LSN]message.Decided{}, at: map[message.LSN]string{},
	}
	for n := message.NodeID(1); n <= 3; n++ {
		s.lives[n] = s.born(0)
	}
	return s
}

func (s *search) born(expect message.Incarnation) *life {
	s.boot++
	return &life{boot: s.boot, expect: expect, nonces: map[message.StorageID]uint64{}}
}

func (s *search) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

func (s *search) play(steps int) error {
	for range steps {
		s.step()
		if s.err != nil {
			return s.err
		}
	}
	s.settle()
	s.checkLog()
	s.checkLossOfTwo()
	return s.err
}

func (s *search) step() {
	n := message.NodeID(1 + s.rng.IntN(3))
	l := s.lives[n]
	switch p := s.rng.IntN(100); {
	case p < 55:
		// Some twenty messages come of an append or a round of lease requests.
		for range s.rng.IntN(12) {
			s.deliver()
		}
	case p < 65:
		s.w.now += time.Duration(s.rng.IntN(15)) * time.Millisecond
		s.post(Party{}, s.w.tick())
	case p < 73:
		s.lease(n, l)
	case p < 80:
		s.append(n, l)
	case p < 84:
		s.repeat()
	case p < 87:
		s.resolve(n)
	case p < 92:
		s.fence(n, l)
	case p < 93:
		s.kill(n, l)
	case p < 96:
		s.stopOrStart()
	default:
		s.send(NodeParty(n), Party{}, message.Fetch{From: message.LSN(s.rng.IntN(5)), Limit: 3})
	}
}

func (s *search) send(from, to Party, m message.Message) {
	s.w.onWay = append(s.w.onWay, posted{from, to, m})
}

// append asks for a transaction with votes that may or may not do.
func (s *search) append(n message.NodeID, l *life) {
	if l.inc == 0 {
		return
	}
	l.seq++
	r := message.Record{Kind: message.RecordCommit, TxID: message.TxID{Origin: n, Inc: l.inc, Seq: l.seq}}
	if s.rng.IntN(5) == 0 {
		r.Kind, r.Sequence, r.Count = message.RecordSequence, uint32(s.rng.IntN(2)), int64(1+s.rng.IntN(9))
	}
	s.voteFor(&r)
	s.appends = append(s.appends, message.Append{Record: r})
	s.send(NodeParty(n), Party{}, message.Append{Record: r})
}

func (s *search) voteFor(r *message.Record) {
	r.Votes = nil
	for v := message.NodeID(1); v <= 3; v++ {
		if inc := s.lives[v].inc; inc > 0 && s.rng.IntN(4) > 0 {
			r.Votes = append(r.Votes, message.VoteRef{Voter: v, Inc: inc, ConfigEpoch: FirstConfigEpoch})
		}
	}
}

// repeat sends an append again, now and then with the votes of now.
func (s *search) repeat() {
	if len(s.appends) == 0 {
		return
	}
	a := s.appends[s.rng.IntN(len(s.appends))]
	if s.rng.IntN(3) == 0 {
		s.voteFor(&a.Record)
	}
	s.send(NodeParty(a.Record.TxID.Origin), Party{}, a)
}

func (s *search) resolve(n message.NodeID) {
	if len(s.appends) == 0 {
		return
	}
	id := s.appends[s.rng.IntN(len(s.appends))].Record.TxID
	if s.rng.IntN(4) == 0 {
		id.Seq++ // perhaps nobody has asked for it yet
	}
	s.send(NodeParty(n), Party{}, message.Resolve{TxID: id})
}

func (s *search) fence(n message.NodeID, l *life) {
	if l.inc == 0 || s.rng.IntN(3) == 0 {
		s.send(NodeParty(n), Party{}, message.FenceRequest{Node: n, Expect: l.expect, BootID: l.boot})
	}
}

// kill ends a process and starts another. Its supervisor tells the storage.
func (s *search) kill(n message.NodeID, l *life) {
	for _, r := range s.rounds {
		if r.node == n {
			r.dead = true
		}
	}
	if l.inc > 0 {
		for i := range s.w.storage {
			s.send(NodeParty(n), StorageParty(message.StorageID(i+1)), message.Release{Node: n, Inc: l.inc})
		}
	}
	s.lives[n] = s.born(l.expect)
}

func (s *search) lease(n message.NodeID, l *life) {
	if l.inc == 0 {
		return
	}
	l.req++
	s.rounds = append(s.rounds, &round{node: n, inc: l.inc, req: l.req, sentAt: s.w.now, tails: map[message.StorageID]message.LSN{}})
	for i := range s.w.storage {
		id := message.StorageID(i + 1)
		s.send(NodeParty(n), StorageParty(id), message.LeaseRequest{Node: n, Inc: l.inc, ReqID: l.req, Nonce: l.nonces[id]})
	}
}

func (s *search) stopOrStart() {
	id := message.StorageID(1 + s.rng.IntN(StorageNodes))
	switch {
	case s.w.storage[id-1] == nil:
		s.w.start(id)
	case s.rng.IntN(2) == 0:
		s.w.stop(id)
		s.w.start(id)
	default:
		s.w.stop(id)
	}
}

// deliver takes any message that is on its way, and sometimes loses it or leaves
// a copy there.
func (s *search) deliver() {
	if len(s.w.onWay) == 0 {
		return
	}
	i := s.rng.IntN(len(s.w.onWay))
	if s.rng.IntN(4) > 0 {
		i = s.rng.IntN(min(len(s.w.onWay), 12)) // rather an old one
	}
	e := s.w.onWay[i]
	fate := s.rng.IntN(20)
	if fate != 0 || s.calm {
		s.w.onWay = slices.Delete(s.w.onWay, i, i+1)
	}
	if fate == 1 && !s.calm {
		return
	}
	if e.to.Node != 0 {
		s.hear(e)
		return
	}
	s.post(e.to, s.w.step(e.to, e.from, e.msg))
}

// hear is what a node does with what reaches it.
func (s *search) hear(e posted) {
	l := s.lives[e.to.Node]
	switch m := e.msg.(type) {
	case message.FenceReply:
		if l.inc == 0 && m.OK && m.BootID == l.boot {
			l.inc, l.expect = m.Inc, m.Inc
		} else if l.inc == 0 {
			l.expect = max(l.expect, m.Inc)
		}
	case message.LeaseGrant:
		if m.ReqID <= l.req {
			l.nonces[m.Storage] = max(l.nonces[m.Storage], m.Nonce)
		}
	}
}

// post puts on its way what was sent, and checks it: whatever is sent may arrive.
func (s *search) post(from Party, outs []Output) {
	for _, o := range outs {
		for _, to := range o.To {
			s.send(from, to, o.Msg)
		}
		switch m := o.Msg.(type) {
		case message.Decided:
			s.checkDecided(&m)
		case message.FenceReply:
			if m.OK {
				s.checkLSN(m.LSN, fmt.Sprint("fence ", m.Node, m.Inc, m.BootID))
			}
		case message.FetchReply:
			for i := range m.Records {
				s.checkDurable(m.From + message.LSN(i+1))
			}
		case message.LeaseGrant:
			if !m.Refused {
				s.granted(o.To[0].Node, &m)
			}
		}
	}
}

// checkDurable: any three storage nodes must know of lsn and all before it.
func (s *search) checkDurable(lsn message.LSN) {
	for s.safe < lsn {
		copies := 0
		for i := range s.w.durable {
			if _, ok := s.w.durable[i].Record(s.safe + 1); ok {
				copies++
			}
		}
		if copies < 4 {
			s.fail("LSN %d was told but LSN %d is on %d storage nodes", lsn, s.safe+1, copies)
			return
		}
		s.safe++
	}
}

func (s *search) checkLSN(lsn message.LSN, what string) {
	s.checkDurable(lsn)
	if was, ok := s.at[lsn]; ok && was != what {
		s.fail("LSN %d decided twice: %s, then %s", lsn, was, what)
	}
	s.at[lsn] = what
}

func (s *search) checkDecided(d *message.Decided) {
	s.checkLSN(d.LSN, fmt.Sprint(d.Kind, d.TxID, d.First))
	was, again := s.told[d.TxID]
	if again && (was.LSN != d.LSN || was.Kind != d.Kind || was.First != d.First) {
		s.fail("%v was told %d at %d, then %d at %d", d.TxID, was.Kind, was.LSN, d.Kind, d.LSN)
	}
	if !again {
		s.told[d.TxID] = *d
	}
	if _, known := s.toldAt[d.LSN]; !known && d.Kind == message.RecordCommit {
		s.toldAt[d.LSN], s.holders[d.LSN] = s.w.now, *d
		for _, r := range s.rounds {
			s.checkLease(r, d.LSN)
		}
	}
}

func (s *search) granted(node message.NodeID, g *message.LeaseGrant) {
	for _, r := range s.rounds {
		// A request that was repeated on its way may be granted twice. The node
		// counts one of the grants: the first is the one with the lower tail.
		if r.node == node && r.req == g.ReqID && r.inc == s.lives[node].inc && !r.dead {
			if _, again := r.tails[g.Storage]; !again {
				r.tails[g.Storage] = g.Tail
			}
			for lsn := range s.toldAt {
				s.checkLease(r, lsn)
			}
		}
	}
}

// checkLease is rule 14's premise: whoever may read below a commit after it was
// told is named in it. A lease is any three grants of one round.
func (s *search) checkLease(r *round, lsn message.LSN) {
	if len(r.tails) < ReadQuorum || r.dead || r.sentAt+leaseUse <= s.toldAt[lsn] {
		return
	}
	tails := slices.Sorted(maps.Values(r.tails))
	d := s.holders[lsn]
	if tails[ReadQuorum-1] < lsn && !d.AllHolders && !slices.Contains(d.Holders, r.node) {
		s.fail("node %d may read at %d under the lease of %v, LSN %d told at %v names only %v",
			r.node, tails[ReadQuorum-1], r.sentAt, lsn, s.toldAt[lsn], d.Holders)
	}
}

// settle heals everything: all that was asked must be answered and stored.
func (s *search) settle() {
	s.calm = true
	for i := range s.w.storage {
		if s.w.storage[i] == nil {
			s.w.start(message.StorageID(i + 1))
		}
	}
	for i := 0; i < 200 && s.err == nil; i++ {
		for len(s.w.onWay) > 0 && s.err == nil {
			s.deliver()
		}
		s.w.now += 20 * time.Millisecond
		s.post(Party{}, s.w.tick())
	}
	if s.err == nil && (!s.w.head.Idle() || s.w.head.answers.len() > 0 || s.w.head.VDL() != s.w.head.State().Length()) {
		s.fail("no progress: VDL %d of %d, %d answers owed", s.w.head.VDL(), s.w.head.State().Length(), s.w.head.answers.len())
	}
}

// checkLog reads the log without State: each transaction stands there once, with
// votes that counted then, of a life that had not ended, and blocks don't overlap.
func (s *search) checkLog() {
	inc := map[message.NodeID]message.Incarnation{}
	seen := map[message.TxID]int{}
	next := map[uint32]int64{}
	for i, r := range s.w.head.Log() {
		if r.Kind == message.RecordFence {
			if r.Inc != inc[r.Node]+1 {
				s.fail("LSN %d starts life %d of node %d after life %d", i+1, r.Inc, r.Node, inc[r.Node])
			}
			inc[r.Node] = r.Inc
			continue
		}
		if was := seen[r.TxID]; was != 0 {
			s.fail("%v stands at %d and %d", r.TxID, was, i+1)
		}
		seen[r.TxID] = i + 1
		if r.Kind == message.RecordTombstone {
			continue
		}
		if r.TxID.Inc < inc[r.TxID.Origin] {
			s.fail("LSN %d: %v is of a life that had ended", i+1, r.TxID)
		}
		good := 0
		for _, v := range r.Votes {
			if v.Inc >= inc[v.Voter] {
				good++
			}
		}
		if r.Kind == message.RecordCommit && good < 2 {
			s.fail("LSN %d: %v committed with %d votes", i+1, r.TxID, good)
		}
		if r.Kind == message.RecordSequence {
			if r.First < next[r.Sequence] {
				s.fail("LSN %d: values from %d of sequence %d were given before", i+1, r.First, r.Sequence)
			}
			next[r.Sequence] = r.First + r.Count
		}
	}
}

// checkLossOfTwo loses each pair of storage nodes and reads the log from three of
// the four that are left (rule 20): everything told must be there.
func (s *search) checkLossOfTwo() {
	for a := range StorageNodes {
		for b := range a {
			for spare := range StorageNodes {
				if spare == a || spare == b {
					continue
				}
				got := recovered(&s.w.durable, a, b, spare)
				for id, d := range s.told {
					if int(d.LSN) > len(got) || got[d.LSN-1].TxID != id || got[d.LSN-1].Kind != d.Kind {
						s.fail("%v told at %d is lost with storage nodes %d and %d", id, d.LSN, a+1, b+1)
						return
					}
				}
			}
		}
	}
}

func recovered(durable *[StorageNodes]Durable, without ...int) (log []message.Record) {
	for lsn := message.LSN(1); ; lsn++ {
		found := false
		for i := range durable {
			if r, ok := durable[i].Record(lsn); ok && !slices.Contains(without, i) {
				log, found = append(log, r), true
				break
			}
		}
		if !found {
			return log
		}
	}
}

// The fold of the log read from the storage nodes is the head's own state.
func TestStateIsTheFoldOfTheLog(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		s := newSearch(seed, 0)
		require.NoError(t, s.play(600))
		fold := NewState([]message.NodeID{1, 2, 3})
		for _, r := range recovered(&s.w.durable, 0, 1, 2) {
			fold.Apply(&r)
		}
		assert.Equal(t, s.w.head.State(), fold)
	}
}

// One seed is one history.
func TestSearchIsDeterministic(t *testing.T) {
	run := func() []message.Record {
		s := newSearch(42, 0)
		require.NoError(t, s.play(600))
		return s.w.head.Log()
	}
	assert.Equal(t, run(), run())
}

func TestSearchReportsFirstError(t *testing.T) {
	s := newSearch(1, 0)
	s.fail("first")
	s.fail("second")
	assert.Equal(t, errors.New("first"), s.err)
}
