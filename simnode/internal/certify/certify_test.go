package certify_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/certify"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// tx reads the script's short form of a transaction, "node.seq".
func tx(s string) message.TxID {
	node, seq, _ := strings.Cut(s, ".")
	n, _ := strconv.Atoi(node)
	q, _ := strconv.Atoi(seq)
	return message.TxID{Origin: message.NodeID(n), Inc: 1, Seq: uint64(q)}
}

func short(id message.TxID) string {
	if id.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%d.%d", id.Origin, id.Seq)
}

// keys reads lines such as "W a@5": mode, key, base.
func keys(t *testing.T, lines string) []message.KeyRef {
	var refs []message.KeyRef
	for line := range strings.Lines(lines) {
		mode, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		key, base, _ := strings.Cut(rest, "@")
		n, _ := strconv.Atoi(base)
		ref := message.KeyRef{Key: message.Key(key), Base: message.LSN(n)}
		for m := message.ModeWritten; m <= message.ModePredicate; m++ {
			if m.String() == mode {
				ref.Mode = m
			}
		}
		require.NotZero(t, ref.Mode, "mode in %q", line)
		refs = append(refs, ref)
	}
	return refs
}

func verdict(v certify.Verdict) string {
	switch {
	case v.Accept:
		return "accept\n"
	case v.Reason == message.RejectTooOld:
		return fmt.Sprintf("reject: %s is too old, the index begins at %d\n", v.Key, v.WinnerLSN)
	case v.Reason == message.RejectCommitted:
		return fmt.Sprintf("reject: %s was committed by %s at %d\n", v.Key, short(v.Winner), v.WinnerLSN)
	default:
		return fmt.Sprintf("reject: %s is reserved by %s\n", v.Key, short(v.Winner))
	}
}

// The scripts' commands: propose tx=, commit lsn= tx=, record lsn= kind=, abort
// tx=, decided tx= lsn= | tombstone, orphans at=, state.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		c := certify.New(certify.Config{})
		var now time.Duration
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return step(t, &c, &now, d)
		})
	})
}

func step(t *testing.T, c **certify.Certifier, now *time.Duration, d *datadriven.TestData) string {
	var id string
	d.MaybeScanArgs(t, "tx", &id)
	var lsn uint64
	d.MaybeScanArgs(t, "lsn", &lsn)
	switch d.Cmd {
	case "new":
		var horizon uint64
		d.ScanArgs(t, "horizon", &horizon)
		*c = certify.New(certify.Config{Horizon: horizon})
		return ""
	case "propose":
		return verdict((*c).Propose(message.Propose{TxID: tx(id), Keys: keys(t, d.Input)}, *now))
	case "commit":
		(*c).Apply(message.LSN(lsn), &message.Record{Kind: message.RecordCommit, TxID: tx(id), Keys: keys(t, d.Input)})
	case "tombstone":
		(*c).Apply(message.LSN(lsn), &message.Record{Kind: message.RecordTombstone, TxID: tx(id)})
	case "fence":
		(*c).Apply(message.LSN(lsn), &message.Record{Kind: message.RecordFence, Node: 1, Inc: 2})
	case "abort":
		(*c).Abort(tx(id))
	case "decided":
		kind := message.RecordCommit
		if d.HasArg("tombstone") {
			kind = message.RecordTombstone
		}
		(*c).Decided(message.Decided{TxID: tx(id), LSN: message.LSN(lsn), Kind: kind})
	case "orphans":
		var at int
		d.ScanArgs(t, "at", &at)
		*now = time.Duration(at) * time.Millisecond
		var list []string
		for _, o := range (*c).Orphans(*now) {
			list = append(list, short(o))
		}
		return "ask the storage about: " + strings.Join(list, " ") + "\n"
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return fmt.Sprintf("reservations %d, keys indexed %d, floor %d\n", (*c).Reservations(), (*c).Indexed(), (*c).Floor())
}

// Rule 5's table, row against column.
func TestModesOfReservations(t *testing.T) {
	modes := []message.Mode{message.ModeWritten, message.ModeLocked, message.ModeShared, message.ModeRead, message.ModePredicate}
	conflicts := map[message.Mode]string{
		message.ModeWritten:   "W L KS R PR",
		message.ModeLocked:    "W L KS",
		message.ModeShared:    "W L",
		message.ModeRead:      "W",
		message.ModePredicate: "W",
	}
	for _, held := range modes {
		for _, asked := range modes {
			c := certify.New(certify.Config{})
			first := message.Propose{TxID: tx("1.1"), Keys: []message.KeyRef{{Key: "k", Mode: held}}}
			require.True(t, c.Propose(first, 0).Accept)
			v := c.Propose(message.Propose{TxID: tx("2.1"), Keys: []message.KeyRef{{Key: "k", Mode: asked}}}, 0)
			refused := strings.Contains(" "+conflicts[held]+" ", " "+asked.String()+" ")
			require.Equal(t, !refused, v.Accept, "%v held, %v asked", held, asked)
		}
	}
}

// Rule 9's table: what a committed mode refuses to an older base.
func TestModesOfIndex(t *testing.T) {
	refused := map[string]bool{
		"W-W": true, "W-L": true, "W-KS": true, "W-R": true, "W-PR": true,
		"L-W": true, "L-L": true, "L-KS": true,
		"KS-W": true, "KS-L": true,
	}
	for committed := message.ModeWritten; committed <= message.ModePredicate; committed++ {
		for asked := message.ModeWritten; asked <= message.ModePredicate; asked++ {
			c := certify.New(certify.Config{})
			c.Apply(5, &message.Record{
				Kind: message.RecordCommit, TxID: tx("1.1"),
				Keys: []message.KeyRef{{Key: "k", Mode: committed}},
			})
			ask := func(seq uint64, base message.LSN) certify.Verdict {
				id := message.TxID{Origin: 2, Inc: 1, Seq: seq}
				v := c.Propose(message.Propose{TxID: id, Keys: []message.KeyRef{{Key: "k", Mode: asked, Base: base}}}, 0)
				c.Abort(id)
				return v
			}
			name := committed.String() + "-" + asked.String()
			require.Equal(t, !refused[name], ask(1, 4).Accept, name)
			require.True(t, ask(2, 5).Accept, "%s with a base that saw it", name)
		}
	}
}

// Each mutant of the certifier changes a verdict that its rule decides.
func TestMutantsShow(t *testing.T) {
	w := func(base message.LSN) []message.KeyRef {
		return []message.KeyRef{{Key: "k", Mode: message.ModeWritten, Base: base}}
	}
	mode := func(m message.Mode) []message.KeyRef { return []message.KeyRef{{Key: "k", Mode: m}} }
	after := func(m message.Mode) func(c *certify.Certifier) bool {
		return func(c *certify.Certifier) bool {
			c.Apply(5, &message.Record{Kind: message.RecordCommit, TxID: tx("1.1"), Keys: mode(m)})
			return c.Propose(message.Propose{TxID: tx("2.1"), Keys: w(1)}, 0).Accept
		}
	}
	for m, wrong := range map[mutant.Set]func(c *certify.Certifier) bool{
		mutant.SharedNotIndexed:    after(message.ModeShared),
		mutant.ForUpdateNotIndexed: after(message.ModeLocked),
		mutant.NoReservation: func(c *certify.Certifier) bool {
			c.Propose(message.Propose{TxID: tx("1.1"), Keys: w(0)}, 0)
			return c.Propose(message.Propose{TxID: tx("2.1"), Keys: w(0)}, 0).Accept
		},
		mutant.SharedCompatible: func(c *certify.Certifier) bool {
			c.Propose(message.Propose{TxID: tx("1.1"), Keys: mode(message.ModeShared)}, 0)
			return c.Propose(message.Propose{TxID: tx("2.1"), Keys: w(0)}, 0).Accept
		},
		mutant.OrphanLocalDrop: func(c *certify.Certifier) bool {
			c.Propose(message.Propose{TxID: tx("1.1"), Keys: w(0)}, 0)
			c.Orphans(time.Second)
			return c.Reservations() == 0
		},
		mutant.ResolvedDropBeforeApply: func(c *certify.Certifier) bool {
			c.Propose(message.Propose{TxID: tx("1.1"), Keys: w(0)}, 0)
			c.Decided(message.Decided{TxID: tx("1.1"), Kind: message.RecordCommit, LSN: 9})
			return c.Reservations() == 0
		},
		mutant.PruneNoReject: func(c *certify.Certifier) bool {
			for lsn := message.LSN(1); lsn <= 20; lsn++ {
				c.Apply(lsn, &message.Record{Kind: message.RecordCommit, TxID: tx("1.1"), Keys: mode(message.ModeWritten)[:min(1, int(4/lsn))]})
			}
			return c.Propose(message.Propose{TxID: tx("2.1"), Keys: w(1)}, 0).Accept
		},
	} {
		require.False(t, wrong(certify.New(certify.Config{Horizon: 8})), "the correct certifier, %v", m)
		require.True(t, wrong(certify.New(certify.Config{Horizon: 8, Mutants: m})), "%v changes nothing", m)
	}
}

func BenchmarkCertify(b *testing.B) {
	c := certify.New(certify.Config{})
	b.ReportAllocs()
	var lsn message.LSN
	for b.Loop() {
		lsn++
		id := message.TxID{Origin: 1, Inc: 1, Seq: uint64(lsn)}
		refs := []message.KeyRef{
			{Key: message.Key(strconv.Itoa(int(lsn % 1000))), Mode: message.ModeWritten, Base: lsn - 1},
			{Key: "catalog", Mode: message.ModeShared, Base: lsn - 1},
		}
		if v := c.Propose(message.Propose{TxID: id, Keys: refs}, 0); !v.Accept {
			b.Fatal(v)
		}
		c.Apply(lsn, &message.Record{Kind: message.RecordCommit, TxID: id, Keys: refs})
	}
}
