package message_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// everyMessage has one of each kind; a kind missing here fails the test below.
func everyMessage() []message.Message {
	tx := message.TxID{Origin: 2, Inc: 1, Seq: 417}
	commit := message.Record{
		Kind: message.RecordCommit, TxID: tx,
		Keys: []message.KeyRef{{Key: "k", Mode: message.ModeWritten, Base: 7}, {Key: "", Mode: message.ModeShared, Base: math.MaxUint64}},
		Writes: []message.Write{
			{Table: 16384, Key: "k", Row: []byte("row")},
			{Table: 16384, Key: "gone", Row: nil},
			{Table: 16384, Key: "empty", Row: []byte{}},
		},
		Votes:     []message.VoteRef{{Voter: 1, Inc: 1, ConfigEpoch: 1}, {Voter: 2, Inc: 3, ConfigEpoch: 1}},
		Committed: time.Unix(1700000000, 123456789).UTC(),
		OrigEpoch: 1, PrevOrigEpoch: 1,
	}
	return []message.Message{
		message.Propose{TxID: tx, Keys: commit.Keys},
		message.Vote{TxID: tx, Voter: 3, Inc: 4, ConfigEpoch: 1, Accept: true},
		message.Vote{TxID: tx, Voter: 3, Inc: 4, ConfigEpoch: 1, Reason: message.RejectCommitted, Key: "k", Winner: tx, WinnerLSN: 9},
		message.Abort{TxID: tx},
		message.Committed{LSN: 12, Record: commit, Holders: []message.NodeID{1, 65535}},
		message.Applied{Node: 1, Inc: 1, LSN: 3, ConfigEpoch: 1},
		message.Append{Record: commit},
		message.Append{Record: message.Record{Kind: message.RecordSequence, TxID: tx, Sequence: 20000, First: -1, Count: 32}},
		message.Resolve{TxID: tx},
		message.Decided{TxID: tx, LSN: 4, Kind: message.RecordTombstone, AllHolders: true, Why: "fenced"},
		message.FenceRequest{Node: 1, Expect: 2, BootID: math.MaxUint64},
		message.FenceReply{Node: 1, Inc: 3, BootID: 9, LSN: 77, OK: true},
		message.Fetch{From: 5, Limit: math.MaxUint32},
		message.FetchReply{From: 5, VDL: 7, Records: []message.Record{
			commit,
			{Kind: message.RecordTombstone, TxID: tx},
			{Kind: message.RecordFence, Node: 1, Inc: 2, BootID: 3},
			{Kind: message.RecordConfig, ConfigEpoch: 2, Members: []message.NodeID{1, 2}},
			{Kind: message.RecordBarrier, OrigEpoch: 3, PrevOrigEpoch: 2},
		}},
		message.Accept{Epoch: 1, LSN: 3, Record: commit, Tail: 3},
		message.Accepted{Storage: 6, Epoch: 1, LSN: 3, AllHolders: true},
		message.LeaseRequest{Node: 1, Inc: 1, ReqID: 10, Nonce: 11},
		message.LeaseGrant{Storage: 1, ReqID: 10, Tail: 3, Nonce: 12, Refused: true},
		message.Release{Node: 1, Inc: 1},
	}
}

func TestRoundTripOfEveryKind(t *testing.T) {
	kinds := map[string]bool{}
	for _, m := range everyMessage() {
		kinds[fmt.Sprintf("%T", m)] = true
		got, err := message.Decode(message.Encode(m))
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	require.Len(t, kinds, 17, "a kind of message without a round trip")
}

func TestDecodeRefuses(t *testing.T) {
	vote := message.Encode(message.Vote{Voter: 1})
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":              {nil, message.ErrTruncated},
		"version 0":            {[]byte{1, 0, 0, 0}, message.ErrVersion},
		"unknown kind":         {[]byte{0x40 + 60}, message.ErrVersion},
		"trailing byte":        {append(append([]byte{}, vote...), 0), message.ErrMalformed},
		"key count too large":  {[]byte{0x41, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}, message.ErrTruncated},
		"node above 65535":     {[]byte{0x43, 0xff, 0xff, 0x7f, 1, 1}, message.ErrMalformed},
		"mode 0":               {[]byte{0x41, 1, 1, 1, 1, 0, 0, 0}, message.ErrMalformed},
		"unknown record kind":  {[]byte{0x46, 99, 0, 0, 0}, message.ErrMalformed},
		"boolean neither 0, 1": {[]byte{0x4a, 1, 1, 1, 1, 2}, message.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := message.Decode(c.in)
			require.ErrorIs(t, err, c.want)
			require.Nil(t, m)
		})
	}
}

func TestEveryPrefixIsTruncated(t *testing.T) {
	for _, m := range everyMessage() {
		whole := message.Encode(m)
		for n := range whole {
			_, err := message.Decode(whole[:n])
			require.Error(t, err, "%T cut at %d of %d", m, n, len(whole))
		}
	}
}

// A length that lies must not make Decode allocate what it promises.
func TestDecodeAllocatesLittle(t *testing.T) {
	lying := append([]byte{0x4c, 0, 0xff, 0xff, 0xff, 0xff, 0x07}, make([]byte, 1<<10)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := message.Decode(lying)
	runtime.ReadMemStats(&after)
	require.Error(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func genTxID(t *rapid.T) message.TxID {
	return message.TxID{
		Origin: message.NodeID(rapid.Uint16().Draw(t, "origin")),
		Inc:    message.Incarnation(rapid.Uint32().Draw(t, "inc")),
		Seq:    rapid.Uint64().Draw(t, "seq"),
	}
}

func genKey(t *rapid.T) message.KeyRef {
	return message.KeyRef{
		Key:  message.Key(rapid.SliceOf(rapid.Byte()).Draw(t, "key")),
		Mode: message.Mode(rapid.IntRange(1, 5).Draw(t, "mode")),
		Base: message.LSN(rapid.Uint64().Draw(t, "base")),
	}
}

func genSlice[T any](t *rapid.T, label string, one func(*rapid.T) T) []T {
	n := rapid.IntRange(0, 4).Draw(t, label)
	var s []T
	for range n {
		s = append(s, one(t))
	}
	return s
}

func genRow(t *rapid.T) []byte {
	if rapid.Bool().Draw(t, "deleted") {
		return nil
	}
	return append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "row")...)
}

func TestRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := message.Committed{
			LSN: message.LSN(rapid.Uint64().Draw(t, "lsn")),
			Record: message.Record{
				Kind: message.RecordCommit,
				TxID: genTxID(t),
				Keys: genSlice(t, "keys", genKey),
				Writes: genSlice(t, "writes", func(t *rapid.T) message.Write {
					return message.Write{Table: rapid.Uint32().Draw(t, "table"), Key: genKey(t).Key, Row: genRow(t)}
				}),
				Votes: genSlice(t, "votes", func(t *rapid.T) message.VoteRef {
					id := genTxID(t)
					return message.VoteRef{Voter: id.Origin, Inc: id.Inc, ConfigEpoch: message.Epoch(id.Inc)}
				}),
				Committed: time.Unix(rapid.Int64Range(-1<<33, 1<<33).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "nsec")).UTC(),
			},
			Holders:    genSlice(t, "holders", func(t *rapid.T) message.NodeID { return genTxID(t).Origin }),
			AllHolders: rapid.Bool().Draw(t, "all"),
		}
		got, err := message.Decode(message.Encode(m))
		if err != nil {
			t.Fatal(err)
		}
		require.Equal(t, message.Message(m), got)
	})
}

func FuzzDecode(f *testing.F) {
	for _, m := range everyMessage() {
		f.Add(message.Encode(m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := message.Decode(b)
		if err != nil {
			if !errors.Is(err, message.ErrTruncated) && !errors.Is(err, message.ErrMalformed) && !errors.Is(err, message.ErrVersion) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		again, err := message.Decode(message.Encode(m))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

func BenchmarkEncodeCommit(b *testing.B) {
	m := everyMessage()[4]
	b.ReportAllocs()
	for b.Loop() {
		message.Encode(m)
	}
}

func BenchmarkDecodeCommit(b *testing.B) {
	payload := message.Encode(everyMessage()[4])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := message.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}
