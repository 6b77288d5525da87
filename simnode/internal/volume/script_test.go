package volume

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// TestScripts plays testdata/*. Commands:
//
//	new members=1,2,3                       an empty volume
//	append node=1 tx=1.1/1 votes=1.1,2.1    a node's messages to the head; votes are
//	sequence node=1 tx=1.1/2 seq=7 count=32   voter.incarnation[@config epoch]
//	resolve node=2 tx=1.1/1
//	fence node=1 expect=0 boot=7
//	fetch node=1 from=0 [limit=2]
//	lease node=1 inc=1 req=1 to=1-3 [deaf]  asks storage nodes, echoing what it heard
//	                                        (deaf: the answers are lost)
//	release node=1 inc=1
//	deliver to=head,1-6                     what is on its way; what is sent in answer
//	                                        is then on its way itself
//	drop to=2                               loses what is on its way
//	wait 60ms                               time passes, then the head's tick
//	stop storage=1 · start storage=1
//	log                                     the head's log and VDL
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := s.run(t, d)
			if out == "" {
				return "ok\n"
			}
			return out
		})
	})
}

type script struct {
	w    *world
	out  strings.Builder
	echo map[Party]map[Party]uint64 // node → storage node → newest nonce heard
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	switch d.Cmd {
	case "new":
		s.w = newWorld(nodes(t, arg(d, "members", "")), 0)
		s.echo = map[Party]map[Party]uint64{}
	case "append":
		s.head(t, d, message.Append{Record: message.Record{
			Kind: message.RecordCommit, TxID: txid(t, arg(d, "tx", "")), Votes: votes(t, arg(d, "votes", "")),
		}})
	case "sequence":
		s.head(t, d, message.Append{Record: message.Record{
			Kind: message.RecordSequence, TxID: txid(t, arg(d, "tx", "")),
			Sequence: uint32(num(t, arg(d, "seq", "1"))), First: num(t, arg(d, "first", "0")), Count: num(t, arg(d, "count", "1")),
		}})
	case "resolve":
		s.head(t, d, message.Resolve{TxID: txid(t, arg(d, "tx", ""))})
	case "fence":
		s.head(t, d, message.FenceRequest{
			Node: s.node(t, d).Node, Expect: message.Incarnation(num(t, arg(d, "expect", "0"))), BootID: uint64(num(t, arg(d, "boot", "1"))),
		})
	case "fetch":
		s.head(t, d, message.Fetch{From: message.LSN(num(t, arg(d, "from", "0"))), Limit: uint32(num(t, arg(d, "limit", "0")))})
	case "lease":
		s.lease(t, d)
	case "release":
		for _, p := range parties(t, arg(d, "to", "1-6")) {
			s.step(p, s.node(t, d), message.Release{Node: s.node(t, d).Node, Inc: message.Incarnation(num(t, arg(d, "inc", "1")))})
		}
	case "deliver", "drop":
		for _, p := range parties(t, arg(d, "to", "head,1-6")) {
			for _, e := range s.w.take(p) {
				if d.Cmd == "deliver" {
					s.step(p, e.from, e.msg)
				}
			}
		}
	case "wait":
		dur, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		s.w.now += dur
		s.print(Party{}, s.w.tick())
	case "stop":
		s.w.stop(message.StorageID(num(t, arg(d, "storage", ""))))
	case "start":
		s.w.start(message.StorageID(num(t, arg(d, "storage", ""))))
	case "log":
		for i, r := range s.w.head.Log() {
			fmt.Fprintf(&s.out, "%d %s epoch %d after %d\n", i+1, recordText(&r), r.OrigEpoch, r.PrevOrigEpoch)
		}
		fmt.Fprintf(&s.out, "VDL %d\n", s.w.head.VDL())
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return s.out.String()
}

func (s *script) node(t *testing.T, d *datadriven.TestData) Party {
	return NodeParty(message.NodeID(num(t, arg(d, "node", "1"))))
}

func (s *script) head(t *testing.T, d *datadriven.TestData, m message.Message) {
	s.step(Party{}, s.node(t, d), m)
}

func (s *script) lease(t *testing.T, d *datadriven.TestData) {
	from := s.node(t, d)
	if s.echo[from] == nil {
		s.echo[from] = map[Party]uint64{}
	}
	for _, p := range parties(t, arg(d, "to", "1-6")) {
		for _, o := range s.w.step(p, from, message.LeaseRequest{
			Node: from.Node, Inc: message.Incarnation(num(t, arg(d, "inc", "1"))),
			ReqID: uint64(num(t, arg(d, "req", "1"))), Nonce: s.echo[from][p],
		}) {
			s.print(p, []Output{o})
			if !d.HasArg("deaf") {
				s.echo[from][p] = o.Msg.(message.LeaseGrant).Nonce
			}
		}
	}
}

func (s *script) step(to, from Party, m message.Message) { s.print(to, s.w.step(to, from, m)) }

// print tells what from sends and puts it on its way.
func (s *script) print(from Party, outs []Output) {
	for _, o := range outs {
		var to []string
		for _, p := range o.To {
			to = append(to, p.String())
		}
		fmt.Fprintf(&s.out, "%v → %s: %s\n", from, strings.Join(to, " "), messageText(o.Msg))
	}
	s.w.post(from, outs)
}

func arg(d *datadriven.TestData, name, other string) string {
	for _, a := range d.CmdArgs {
		if a.Key == name && len(a.Vals) > 0 {
			return strings.Join(a.Vals, ",")
		}
	}
	return other
}

func num(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func nodes(t *testing.T, s string) (out []message.NodeID) {
	for _, part := range strings.Split(s, ",") {
		out = append(out, message.NodeID(num(t, part)))
	}
	return out
}

func txid(t *testing.T, s string) (id message.TxID) {
	if _, err := fmt.Sscanf(s, "%d.%d/%d", &id.Origin, &id.Inc, &id.Seq); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return id
}

func votes(t *testing.T, s string) (out []message.VoteRef) {
	if s == "" {
		return nil
	}
	for _, part := range strings.Split(s, ",") {
		v := message.VoteRef{ConfigEpoch: FirstConfigEpoch}
		part, epoch, ok := strings.Cut(part, "@")
		if ok {
			v.ConfigEpoch = message.Epoch(num(t, epoch))
		}
		if _, err := fmt.Sscanf(part, "%d.%d", &v.Voter, &v.Inc); err != nil {
			t.Fatalf("%q: %v", part, err)
		}
		out = append(out, v)
	}
	return out
}

// parties reads "head,1-3,6": the numbers are storage nodes.
func parties(t *testing.T, s string) (out []Party) {
	for _, part := range strings.Split(s, ",") {
		if part == "head" {
			out = append(out, Party{})
			continue
		}
		lo, hi, ok := strings.Cut(part, "-")
		if !ok {
			hi = lo
		}
		for i := num(t, lo); i <= num(t, hi); i++ {
			out = append(out, StorageParty(message.StorageID(i)))
		}
	}
	return out
}

func recordText(r *message.Record) string {
	switch r.Kind {
	case message.RecordCommit:
		return "commit " + r.TxID.String()
	case message.RecordTombstone:
		return "tombstone " + r.TxID.String()
	case message.RecordSequence:
		return fmt.Sprintf("sequence %d %d..%d for %v", r.Sequence, r.First, r.First+r.Count-1, r.TxID)
	case message.RecordFence:
		return fmt.Sprintf("fence n%d life %d boot %d", r.Node, r.Inc, r.BootID)
	default:
		return fmt.Sprintf("record of kind %d", r.Kind)
	}
}

func holdersText(nodes []message.NodeID, all bool) string {
	if all {
		return "holders all"
	}
	return fmt.Sprint("holders ", nodes)
}

func nonceText(n uint64) string { return fmt.Sprintf("%d.%d", n>>32, n&0xffffffff) }

func messageText(m message.Message) string {
	switch m := m.(type) {
	case message.Accept:
		return fmt.Sprintf("Accept %d %s tail %d", m.LSN, recordText(&m.Record), m.Tail)
	case message.Accepted:
		return fmt.Sprintf("Accepted %d %s", m.LSN, holdersText(m.Holders, m.AllHolders))
	case message.Decided:
		kind := recordText(&message.Record{Kind: m.Kind, TxID: m.TxID, First: m.First, Count: 1})
		if m.Kind == message.RecordSequence {
			kind = fmt.Sprintf("sequence from %d for %v", m.First, m.TxID)
		}
		text := fmt.Sprintf("Decided %s at %d %s", kind, m.LSN, holdersText(m.Holders, m.AllHolders))
		if m.Why != "" {
			text += ": " + m.Why
		}
		return text
	case message.FenceReply:
		return fmt.Sprintf("FenceReply n%d life %d boot %d at %d ok=%v", m.Node, m.Inc, m.BootID, m.LSN, m.OK)
	case message.FetchReply:
		text := fmt.Sprintf("FetchReply after %d VDL %d:", m.From, m.VDL)
		for i := range m.Records {
			text += " [" + recordText(&m.Records[i]) + "]"
		}
		return text
	case message.LeaseGrant:
		word := "granted"
		if m.Refused {
			word = "refused"
		}
		return fmt.Sprintf("LeaseGrant %d %s tail %d nonce %s", m.ReqID, word, m.Tail, nonceText(m.Nonce))
	default:
		return fmt.Sprintf("%T", m)
	}
}
