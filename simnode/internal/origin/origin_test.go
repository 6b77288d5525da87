package origin_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
	"github.com/anywriter/anywriter/simnode/internal/origin"
)

// bench is a machine of node 1 and the names that its script uses.
type bench struct {
	m    *origin.Machine
	now  time.Duration
	txs  map[string]message.TxID
	name map[message.TxID]string
}

func newBench(members int) *bench {
	b := &bench{txs: map[string]message.TxID{}, name: map[message.TxID]string{}}
	var ids []message.NodeID
	for i := range members {
		ids = append(ids, message.NodeID(i+1))
	}
	b.m = origin.New(origin.Config{Self: 1, Members: ids})
	b.m.Restart(1)
	return b
}

func (b *bench) call(name string, id message.TxID) {
	b.txs[name], b.name[id] = id, name
}

// show writes what the machine wants, one line each.
func (b *bench) show(out origin.Output) string {
	var s strings.Builder
	for _, m := range out.Peers {
		fmt.Fprintf(&s, "to peers: %s\n", b.message(m))
	}
	for _, m := range out.Head {
		fmt.Fprintf(&s, "to head: %s\n", b.message(m))
	}
	for _, r := range out.Results {
		fmt.Fprintf(&s, "%s: %s%s\n", b.name[r.TxID], r.Outcome, detail(&r))
	}
	if s.Len() == 0 {
		return "nothing\n"
	}
	return s.String()
}

func detail(r *origin.Result) string {
	switch {
	case r.Outcome == origin.Rejected && r.Reason == message.RejectCommitted:
		return fmt.Sprintf(" (%s was committed by %v at %d)", r.Key, r.Winner, r.WinnerLSN)
	case r.Outcome == origin.Rejected && r.Reason == message.RejectReserved:
		return fmt.Sprintf(" (%s is reserved by %v)", r.Key, r.Winner)
	case r.Outcome == origin.Rejected:
		return fmt.Sprintf(" (%s is too old)", r.Key)
	case r.Outcome == origin.Refused:
		return fmt.Sprintf(" (%s)", r.Why)
	case r.Outcome == origin.Allocated:
		return fmt.Sprintf(" from %d", r.First)
	case r.LSN > 0:
		return fmt.Sprintf(" at %d", r.LSN)
	default:
		return ""
	}
}

func (b *bench) message(m message.Message) string {
	switch m := m.(type) {
	case message.Propose:
		return fmt.Sprintf("propose %s, %d keys", b.name[m.TxID], len(m.Keys))
	case message.Abort:
		return "abort " + b.name[m.TxID]
	case message.Append:
		var votes []string
		for _, v := range m.Record.Votes {
			votes = append(votes, fmt.Sprintf("%d/%d", v.Voter, v.Inc))
		}
		if m.Record.Kind == message.RecordSequence {
			return fmt.Sprintf("append %d units of sequence %d", m.Record.Count, m.Record.Sequence)
		}
		return fmt.Sprintf("append %s, votes %s", b.name[m.Record.TxID], strings.Join(votes, " "))
	case message.Committed:
		kind := map[message.RecordKind]string{
			message.RecordCommit: "commit", message.RecordTombstone: "tombstone", message.RecordSequence: "sequence block",
		}[m.Record.Kind]
		return fmt.Sprintf("LSN %d is the %s of %s, holders %v, all %v", m.LSN, kind, b.name[m.Record.TxID], m.Holders, m.AllHolders)
	default:
		return fmt.Sprintf("%T", m)
	}
}

// vote reads "accept", "committed KEY WINNER LSN", "reserved KEY WINNER" or "old KEY".
func vote(words []string) message.Vote {
	v := message.Vote{ConfigEpoch: 1, Inc: 1}
	winner := func(s string) message.TxID {
		n, _ := strconv.Atoi(s)
		return message.TxID{Origin: message.NodeID(n), Inc: 1, Seq: 1}
	}
	switch words[0] {
	case "accept":
		v.Accept = true
	case "old":
		v.Reason, v.Key = message.RejectTooOld, message.Key(words[1])
	case "reserved":
		v.Reason, v.Key, v.Winner = message.RejectReserved, message.Key(words[1]), winner(words[2])
	case "committed":
		lsn, _ := strconv.Atoi(words[3])
		v.Reason, v.Key, v.Winner = message.RejectCommitted, message.Key(words[1]), winner(words[2])
		v.WinnerLSN = message.LSN(lsn)
	}
	return v
}

// The scripts' commands: members n=, begin tx= (own vote below), vote tx= from=
// [inc=], decided tx= lsn= kind=, logged tx= lsn= kind=, tick at=, cancel tx=,
// allocate name=, restart inc=.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		b := newBench(3)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return b.step(t, d)
		})
	})
}

func (b *bench) step(t *testing.T, d *datadriven.TestData) string {
	var name, kind string
	var n, lsn, inc int
	d.MaybeScanArgs(t, "tx", &name)
	d.MaybeScanArgs(t, "kind", &kind)
	d.MaybeScanArgs(t, "lsn", &lsn)
	kinds := map[string]message.RecordKind{
		"commit": message.RecordCommit, "tombstone": message.RecordTombstone, "sequence": message.RecordSequence,
	}
	switch d.Cmd {
	case "members":
		d.ScanArgs(t, "n", &n)
		*b = *newBench(n)
		return "ok\n"
	case "begin":
		id := b.m.NextTxID()
		b.call(name, id)
		own := vote(strings.Fields(d.Input))
		own.TxID, own.Voter = id, 1
		keys := []message.KeyRef{{Key: "k", Mode: message.ModeWritten, Base: 4}}
		return b.show(b.m.Begin(origin.Request{TxID: id, Keys: keys}, own, b.now))
	case "vote":
		v := vote(strings.Fields(d.Input))
		d.ScanArgs(t, "from", &n)
		v.TxID, v.Voter = b.txs[name], message.NodeID(n)
		if d.HasArg("inc") {
			d.ScanArgs(t, "inc", &inc)
			v.Inc = message.Incarnation(inc)
		}
		return b.show(b.m.Vote(v, b.now))
	case "decided":
		return b.show(b.m.Decided(message.Decided{
			TxID: b.txs[name], LSN: message.LSN(lsn), Kind: kinds[kind], Why: "fenced", First: 32, Holders: []message.NodeID{3},
		}))
	case "logged":
		return b.show(b.m.Logged(message.LSN(lsn), &message.Record{Kind: kinds[kind], TxID: b.txs[name]}))
	case "tick":
		d.ScanArgs(t, "at", &n)
		b.now = time.Duration(n) * time.Millisecond
		return b.show(b.m.Tick(b.now))
	case "cancel":
		return b.show(b.m.Cancel(b.txs[name]))
	case "allocate":
		id, out := b.m.Allocate(20000, 0, 32, b.now)
		b.call(name, id)
		return b.show(out)
	case "restart":
		d.ScanArgs(t, "inc", &inc)
		return b.show(b.m.Restart(message.Incarnation(inc)))
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
		return ""
	}
}

func accept(id message.TxID, voter message.NodeID) message.Vote {
	return message.Vote{TxID: id, Voter: voter, Inc: 1, ConfigEpoch: 1, Accept: true}
}

// How many accepts append, and how many rejections abort, by the number of members.
func TestMajorities(t *testing.T) {
	for members, majority := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 7: 4} {
		b := newBench(members)
		id := b.m.NextTxID()
		out := b.m.Begin(origin.Request{TxID: id}, accept(id, 1), 0)
		accepts := 1
		for ; len(out.Head) == 0; accepts++ {
			out = b.m.Vote(accept(id, message.NodeID(accepts+1)), 0)
		}
		require.Equal(t, majority, accepts, "%d members", members)

		id = b.m.NextTxID()
		reserved := vote([]string{"reserved", "k", "2"})
		reserved.TxID, reserved.Voter = id, 1
		out = b.m.Begin(origin.Request{TxID: id}, reserved, 0)
		rejects := 1
		for ; len(out.Results) == 0; rejects++ {
			reserved.Voter = message.NodeID(rejects + 1)
			out = b.m.Vote(reserved, 0)
		}
		require.Equal(t, members-majority+1, rejects, "%d members", members)
	}
}

func TestVotesThatDontCount(t *testing.T) {
	b := newBench(3)
	id := b.m.NextTxID()
	b.m.Begin(origin.Request{TxID: id}, accept(id, 1), 0)
	require.Empty(t, b.m.Vote(accept(id, 1), 0), "the same voter twice")
	require.Empty(t, b.m.Vote(accept(id, 9), 0), "no member")
	require.Empty(t, b.m.Vote(accept(message.TxID{Origin: 1, Inc: 1, Seq: 99}, 2), 0), "no such transaction")
	require.NotEmpty(t, b.m.Vote(accept(id, 3), 0).Head)
	require.Empty(t, b.m.Vote(accept(id, 2), 0), "already appended: the record stays as it is")
}

// Next names the times at which Tick does something, and no tick is needed between.
func TestNextIsNeverLate(t *testing.T) {
	b := newBench(3)
	id := b.m.NextTxID()
	b.m.Begin(origin.Request{TxID: id}, accept(id, 1), 0)
	var spoke []time.Duration
	for range 100 {
		at, ok := b.m.Next()
		if !ok {
			break
		}
		require.Empty(t, b.m.Tick(at-1), "before its time")
		if out := b.m.Tick(at); len(out.Peers)+len(out.Head)+len(out.Results) > 0 {
			spoke = append(spoke, at)
		}
	}
	require.Equal(t, []time.Duration{45 * time.Millisecond, 90 * time.Millisecond, 120 * time.Millisecond}, spoke)
	require.Zero(t, b.m.Open())
}

func TestMutantsShow(t *testing.T) {
	begin := func(m mutant.Set) (*origin.Machine, message.TxID, origin.Output) {
		machine := origin.New(origin.Config{Self: 1, Members: []message.NodeID{1, 2, 3}, Mutants: m})
		machine.Restart(1)
		id := machine.NextTxID()
		return machine, id, machine.Begin(origin.Request{TxID: id}, accept(id, 1), 0)
	}
	_, _, out := begin(mutant.MinorityQuorum)
	require.NotEmpty(t, out.Head)
	_, _, out = begin(0)
	require.Empty(t, out.Head)

	for m, want := range map[mutant.Set]origin.Outcome{0: origin.InDoubt, mutant.AppendTimeoutAborts: origin.NoMajority} {
		machine, id, _ := begin(m)
		require.NotEmpty(t, machine.Vote(accept(id, 2), 0).Head)
		out = machine.Tick(2 * time.Second)
		require.Len(t, out.Results, 1)
		require.Equal(t, want, out.Results[0].Outcome)
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for o := origin.Committed; o <= origin.NoAnswer; o++ {
		require.NotEqual(t, "unknown", o.String())
		require.False(t, seen[o.String()])
		seen[o.String()] = true
		require.Equal(t, o != origin.InDoubt, o.Final())
	}
	require.Equal(t, "unknown", origin.OutcomeUnknown.String())
}

// What the machine guesses of others only shortens waits that it may cut short.
func TestGuesses(t *testing.T) {
	const ms = time.Millisecond
	silent, cutOff := map[message.NodeID]bool{}, false
	m := origin.New(origin.Config{
		Self: 1, Members: []message.NodeID{1, 2, 3},
		Answers: func(id message.NodeID, _ time.Duration) bool { return !silent[id] },
		CutOff:  func(time.Duration) bool { return cutOff },
	})
	m.Restart(1)
	begin := func(now time.Duration) message.TxID {
		id := m.NextTxID()
		out := m.Begin(origin.Request{TxID: id}, message.Vote{TxID: id, Voter: 1, Inc: 1, Accept: true}, now)
		require.Empty(t, out.Results)
		return id
	}
	reject := func(id message.TxID, voter message.NodeID, now time.Duration) origin.Output {
		return m.Vote(message.Vote{TxID: id, Voter: voter, Inc: 1, Reason: message.RejectReserved, Key: "k"}, now)
	}
	outcome := func(out origin.Output) origin.Outcome {
		require.Len(t, out.Results, 1)
		return out.Results[0].Outcome
	}

	// A rejected transaction waits for the third member only as long as that answers.
	id := begin(0)
	require.Empty(t, reject(id, 2, 1*ms).Results)
	silent[3] = true
	require.Equal(t, origin.Rejected, outcome(m.Tick(45*ms)))
	require.Equal(t, origin.Rejected, outcome(reject(begin(50*ms), 2, 51*ms)))

	// One that nobody rejected waits for the silent ones until it times out.
	silent[2] = true
	begin(100 * ms)
	require.Empty(t, m.Tick(219*ms).Results)
	require.Equal(t, origin.NoMajority, outcome(m.Tick(220*ms)))

	// After the append nobody's silence ends anything; the client's wait is halved.
	id = begin(300 * ms)
	require.Len(t, m.Vote(message.Vote{TxID: id, Voter: 2, Inc: 1, Accept: true}, 301*ms).Head, 1)
	cutOff = true
	require.Empty(t, m.Tick(799*ms).Results)
	cutOff = false
	require.Empty(t, m.Tick(860*ms).Results)
	cutOff = true
	require.Equal(t, origin.InDoubt, outcome(m.Tick(920*ms)))
	require.Len(t, m.Tick(980*ms).Head, 1, "it goes on being appended")
	require.Equal(t, origin.Committed, outcome(m.Decided(message.Decided{TxID: id, LSN: 4, Kind: message.RecordCommit})))
}
