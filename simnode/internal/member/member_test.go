package member_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/member"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

func newTracker(members int, m mutant.Set) *member.Tracker {
	cfg := member.Config{Self: 1, Storage: []message.StorageID{1, 2, 3, 4, 5, 6}, Mutants: m}
	for i := range members {
		cfg.Members = append(cfg.Members, message.NodeID(i+1))
	}
	return member.New(cfg)
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// The scripts' commands: start inc=, tick, grant req= [life=] from=(…) tail=
// [refused nonce=], learn lsn= holders=(…)|all, narrow lsn= holders=(…), applied node= lsn=,
// heard node=, fence node= inc= lsn=, release node= inc=, status. Each takes at=, the time in ms.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		tr := newTracker(3, 0)
		now := 0
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			d.MaybeScanArgs(t, "at", &now)
			return step(t, tr, ms(now), d)
		})
	})
}

func step(t *testing.T, tr *member.Tracker, now time.Duration, d *datadriven.TestData) string {
	var lsn, node, req, tail, nonce int
	var holders []int
	d.MaybeScanArgs(t, "lsn", &lsn)
	d.MaybeScanArgs(t, "node", &node)
	d.MaybeScanArgs(t, "nonce", &nonce)
	if d.HasArg("holders") {
		d.ScanArgs(t, "holders", &holders)
	}
	var who []message.NodeID
	for _, h := range holders {
		who = append(who, message.NodeID(h))
	}
	switch d.Cmd {
	case "start":
		inc := 1
		d.MaybeScanArgs(t, "inc", &inc)
		tr.Start(message.Incarnation(inc), now)
	case "stop":
		tr.Stop()
	case "tick":
		return sent(tr.Tick(now))
	case "grant":
		var from []int
		d.ScanArgs(t, "req", &req)
		life := 1
		d.MaybeScanArgs(t, "life", &life)
		d.ScanArgs(t, "from", &from)
		d.MaybeScanArgs(t, "tail", &tail)
		for _, s := range from {
			tr.Grant(message.LeaseGrant{
				Storage: message.StorageID(s), ReqID: requestID(req, life), Tail: message.LSN(tail),
				Nonce: uint64(nonce), Refused: d.HasArg("refused"),
			}, now)
		}
	case "learn":
		tr.Learn(message.LSN(lsn), who, d.HasArg("all"), now)
	case "narrow":
		tr.Narrow(message.LSN(lsn), who)
	case "applied":
		tr.PeerApplied(message.Applied{Node: message.NodeID(node), LSN: message.LSN(lsn)})
		tr.Heard(message.NodeID(node), now)
	case "heard":
		tr.Heard(message.NodeID(node), now)
	case "fence":
		var inc int
		d.ScanArgs(t, "inc", &inc)
		tr.Fenced(message.NodeID(node), message.Incarnation(inc), message.LSN(lsn))
		tr.Learn(message.LSN(lsn), who, d.HasArg("all"), now)
	case "release":
		var inc int
		d.ScanArgs(t, "inc", &inc)
		tr.Released(message.NodeID(node), message.Incarnation(inc))
	case "status":
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return status(tr, now)
}

// requestID is the number of a life's n-th request.
func requestID(n, inc int) uint64 { return uint64(inc)<<32 | uint64(n) }

func sent(out member.Output) string {
	var s strings.Builder
	if len(out.Leases) > 0 {
		fmt.Fprintf(&s, "lease request %d to storage", uint32(out.Leases[0].Request.ReqID))
		for _, l := range out.Leases {
			fmt.Fprintf(&s, " %d", l.To)
			if l.Request.Nonce > 0 {
				fmt.Fprintf(&s, "(nonce %d)", l.Request.Nonce)
			}
		}
		s.WriteString("\n")
	}
	for _, m := range out.Peers {
		fmt.Fprintf(&s, "to peers: applied %d\n", m.(message.Applied).LSN)
	}
	if s.Len() == 0 {
		return "nothing\n"
	}
	return s.String()
}

func status(tr *member.Tracker, now time.Duration) string {
	lease, majority := "no lease", "no majority"
	if until := tr.LeaseUntil(); until > now {
		lease = fmt.Sprintf("lease until %d", until/time.Millisecond)
	}
	if until := tr.MajorityUntil(); until > now {
		majority = fmt.Sprintf("majority until %d", until/time.Millisecond)
	}
	return fmt.Sprintf("%s, %s, applied %d, stable %d\n", lease, majority, tr.Applied(), tr.Advance(now))
}

func TestMajorityByMembers(t *testing.T) {
	for members, peers := range map[int]int{1: 0, 2: 1, 3: 1, 4: 2, 5: 2} {
		tr := newTracker(members, 0)
		for p := range peers {
			require.LessOrEqual(t, tr.MajorityUntil(), time.Duration(0), "%d of %d members heard", p, members)
			tr.Heard(message.NodeID(p+2), ms(10))
		}
		require.Greater(t, tr.MajorityUntil(), ms(259), "%d members", members)
	}
}

func TestNextNamesTheNextChange(t *testing.T) {
	tr := newTracker(3, 0)
	_, ok := tr.Next()
	require.False(t, ok)
	tr.Start(1, ms(5))
	at, ok := tr.Next()
	require.True(t, ok)
	require.Equal(t, ms(5), at)
	tr.Tick(ms(5))
	at, _ = tr.Next()
	require.Equal(t, ms(55), at)
	tr.Stop()
	tr.Learn(1, nil, true, ms(7))
	at, _ = tr.Next()
	require.Equal(t, ms(227), at, "the wait for somebody's lease")
}

// Each mutant of the tracker lets something happen too early.
func TestMutantsShow(t *testing.T) {
	lease := func(tr *member.Tracker, granted, use int) bool {
		tr.Start(1, 0)
		tr.Tick(0)
		for s := range 3 {
			tr.Grant(message.LeaseGrant{Storage: message.StorageID(s + 1), ReqID: requestID(1, 1), Tail: 4}, ms(granted))
		}
		return tr.LeaseUntil() > ms(use)
	}
	for m, wrong := range map[mutant.Set]func(tr *member.Tracker) bool{
		mutant.LeaseWithoutTail: func(tr *member.Tracker) bool { return lease(tr, 1, 2) },
		mutant.LeaseFromReply: func(tr *member.Tracker) bool {
			tr.Learn(4, nil, true, 0)
			return lease(tr, 60, 200)
		},
		mutant.NoDriftMargin: func(tr *member.Tracker) bool {
			tr.Learn(4, nil, true, 0)
			return lease(tr, 1, 200)
		},
		mutant.RequestIDsRestart: func(tr *member.Tracker) bool {
			tr.Start(2, ms(500))
			tr.Tick(ms(500))
			for s := range 3 { // late grants to the first request of some earlier life
				for inc := range 2 {
					tr.Grant(message.LeaseGrant{Storage: message.StorageID(s + 1), ReqID: requestID(1, inc)}, ms(510))
				}
			}
			return tr.LeaseUntil() > 0
		},
		mutant.ReleaseOutlives: func(tr *member.Tracker) bool {
			tr.Fenced(2, 1, 1)
			tr.Fenced(2, 2, 2)
			for lsn := range 3 {
				tr.Learn(message.LSN(lsn+1), []message.NodeID{2}, false, 0)
			}
			tr.Released(2, 1)
			return tr.Advance(ms(100)) > 2
		},
		mutant.ResetIsDeath: func(tr *member.Tracker) bool {
			tr.Learn(1, nil, true, 0)
			return tr.Advance(ms(100)) == 1
		},
	} {
		require.False(t, wrong(newTracker(3, 0)), "the correct tracker, %v", m)
		require.True(t, wrong(newTracker(3, m)), "%v changes nothing", m)
	}
}

func TestAnswersIsAGuess(t *testing.T) {
	tr := newTracker(3, 0)
	require.True(t, tr.Answers(1, ms(0)), "the node itself")
	require.False(t, tr.Answers(2, ms(0)), "not heard yet")
	hear := func(at, inc int) {
		tr.Heard(2, ms(at))
		tr.PeerApplied(message.Applied{Node: 2, Inc: message.Incarnation(inc)})
	}
	hear(10, 1)
	require.True(t, tr.Answers(2, ms(160)))
	require.False(t, tr.Answers(2, ms(161)), "three heartbeats without a word")
	hear(170, 1)
	tr.Released(2, 1)
	require.False(t, tr.Answers(2, ms(171)), "its supervisor saw it end")
	hear(172, 2)
	require.True(t, tr.Answers(2, ms(173)), "a new life")
	tr.Released(2, 1)
	require.True(t, tr.Answers(2, ms(174)), "the old news again")
}
