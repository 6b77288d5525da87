package replica_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/replica"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func entry(lsn message.LSN) replica.Entry {
	return replica.Entry{LSN: lsn, Record: record(lsn), All: true}
}

// record is a different one at each LSN.
func record(lsn message.LSN) message.Record {
	return message.Record{Kind: message.RecordTombstone, TxID: message.TxID{Origin: 1, Inc: 1, Seq: uint64(lsn)}}
}

func drain(r *replica.Replica, now time.Duration) []message.LSN {
	var got []message.LSN
	for {
		e, ok := r.Pop(now)
		if !ok {
			return got
		}
		got = append(got, e.LSN)
	}
}

func TestGapHoldsRecordsBack(t *testing.T) {
	r := replica.New(replica.Config{})
	r.Offer(entry(2), 0)
	r.Offer(entry(3), 0)
	require.Empty(t, drain(r, 0))
	r.Offer(entry(1), 0)
	require.Equal(t, []message.LSN{1, 2, 3}, drain(r, 0))
	r.Offer(entry(2), 0)
	require.Empty(t, drain(r, 0), "taken already")
}

func TestGapIsFetched(t *testing.T) {
	r := replica.New(replica.Config{})
	_, due := r.Tick(ms(1000))
	require.False(t, due, "nothing is known to be missing")
	r.Offer(entry(3), ms(1000))
	at, ok := r.Next()
	require.True(t, ok)
	require.Equal(t, ms(1010), at)
	_, due = r.Tick(ms(1009))
	require.False(t, due, "it may still be on its way")
	f, due := r.Tick(ms(1010))
	require.True(t, due)
	require.Equal(t, message.Fetch{From: 0}, f)
	_, due = r.Tick(ms(1049))
	require.False(t, due)
	_, due = r.Tick(ms(1050))
	require.True(t, due, "the fetch or its answer was lost")

	// The answer brings two records; the third is here.
	r.Fetched(message.FetchReply{From: 0, Records: []message.Record{record(1), record(2)}, VDL: 3}, ms(1060))
	require.Equal(t, []message.LSN{1, 2, 3}, drain(r, ms(1060)))
	_, due = r.Tick(ms(2000))
	require.False(t, due)
	_, ok = r.Next()
	require.False(t, ok)
}

func TestKnownTailIsFetched(t *testing.T) {
	r := replica.New(replica.Config{})
	r.Reach(4, ms(0)) // a lease names it
	f, due := r.Tick(ms(10))
	require.True(t, due)
	require.Equal(t, message.Fetch{From: 0}, f)
	require.EqualValues(t, 4, r.Target())
	// A limited answer: the next question follows at once.
	r.Fetched(message.FetchReply{From: 0, Records: []message.Record{record(1), record(2)}, VDL: 4}, ms(11))
	require.Equal(t, []message.LSN{1, 2}, drain(r, ms(11)))
	f, due = r.Tick(ms(11))
	require.True(t, due)
	require.Equal(t, message.Fetch{From: 2}, f)
}

func TestFollowFetchesAtOnce(t *testing.T) {
	r := replica.New(replica.Config{})
	r.Offer(entry(9), ms(5))
	r.Follow(9, ms(5))
	f, due := r.Tick(ms(5))
	require.True(t, due)
	require.Equal(t, message.Fetch{From: 0}, f)
}

func TestHoldersArriveLater(t *testing.T) {
	r := replica.New(replica.Config{})
	r.Offer(entry(2), 0)
	known := entry(2)
	known.All, known.Holders = false, []message.NodeID{3}
	r.Offer(known, ms(1))
	r.Offer(entry(2), ms(2)) // a fetched copy knows less
	r.Offer(entry(1), ms(3))
	_, ok := r.Pop(ms(3))
	require.True(t, ok)
	e, ok := r.Pop(ms(3))
	require.True(t, ok)
	require.Equal(t, []message.NodeID{3}, e.Holders)
	require.False(t, e.All)
}

func TestLag(t *testing.T) {
	r := replica.New(replica.Config{})
	r.SetLag(ms(60))
	r.Offer(entry(1), ms(10))
	require.Empty(t, drain(r, ms(69)))
	at, ok := r.Next()
	require.True(t, ok)
	require.Equal(t, ms(70), at)
	_, due := r.Tick(ms(69))
	require.False(t, due, "a lagging record isn't missing")
	require.Equal(t, []message.LSN{1}, drain(r, ms(70)))
}

func TestWindow(t *testing.T) {
	r := replica.New(replica.Config{Window: 4})
	r.Offer(entry(5), 0)
	for lsn := message.LSN(1); lsn <= 4; lsn++ {
		r.Offer(entry(lsn), 0)
	}
	require.Equal(t, []message.LSN{1, 2, 3, 4}, drain(r, 0), "LSN 5 was too far away when it came")
	f, due := r.Tick(ms(10))
	require.True(t, due)
	require.Equal(t, message.Fetch{From: 4}, f)
}

// However records arrive, lost ones included, Pop gives every one once, in order,
// and the volume is asked for what is missing.
func TestOrderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tail = 40
		r := replica.New(replica.Config{Window: uint64(rapid.IntRange(1, 60).Draw(t, "window"))})
		limit := rapid.IntRange(1, 12).Draw(t, "limit")
		next, now := message.LSN(1), 0
		take := func() {
			for {
				e, ok := r.Pop(ms(now))
				if !ok {
					return
				}
				if e.LSN != next || e.Record.TxID.Seq != uint64(next) {
					t.Fatalf("popped LSN %d with %v, want %d", e.LSN, e.Record.TxID, next)
				}
				next++
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "arrivals") {
			r.Offer(entry(message.LSN(rapid.IntRange(1, tail).Draw(t, "lsn"))), ms(now))
			take()
		}
		r.Reach(tail, ms(now))
		losses := rapid.IntRange(0, 5).Draw(t, "losses")
		for steps := 0; next <= tail; steps++ {
			if steps > 600 {
				t.Fatalf("stuck at LSN %d", next)
			}
			now += 5
			f, due := r.Tick(ms(now))
			if !due {
				continue
			}
			if losses > 0 {
				losses--
				continue
			}
			reply := message.FetchReply{From: f.From, VDL: tail}
			for lsn := f.From + 1; lsn <= min(tail, f.From+message.LSN(limit)); lsn++ {
				reply.Records = append(reply.Records, record(lsn))
			}
			r.Fetched(reply, ms(now))
			take()
		}
	})
}
