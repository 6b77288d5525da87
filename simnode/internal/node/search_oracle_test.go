package node

import (
	"fmt"
	"strconv"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/origin"
)

// oracle watches a run and names the first thing that must not be.
type oracle struct {
	w         *world
	violation string
	answered  message.LSN // newest state that any client was answered from
	txs       map[message.TxID]*modelTx
	outcome   map[message.TxID]origin.Outcome // what clients were told
	decided   map[message.TxID]message.RecordKind
	where     map[message.TxID]message.LSN
	touched   map[message.Key]*[4]message.LSN // last LSN per mode W, L, KS
	values    map[message.Key]string
	blocks    map[int64]bool
	commits   int
	healed    map[message.NodeID]int // commits per origin after healing
	healing   time.Duration
	verdicts  map[origin.Outcome]int
}

func newOracle(w *world) oracle {
	return oracle{
		w: w, txs: map[message.TxID]*modelTx{}, outcome: map[message.TxID]origin.Outcome{},
		decided: map[message.TxID]message.RecordKind{}, where: map[message.TxID]message.LSN{},
		touched: map[message.Key]*[4]message.LSN{}, values: map[message.Key]string{},
		blocks: map[int64]bool{}, healed: map[message.NodeID]int{}, verdicts: map[origin.Outcome]int{},
	}
}

func (o *oracle) fail(format string, args ...any) {
	if o.violation == "" {
		o.violation = fmt.Sprintf("at %v: ", o.w.now) + fmt.Sprintf(format, args...)
	}
}

func (o *oracle) began(id message.TxID, tx *modelTx) { o.txs[id] = tx }

// logged checks a record as it enters the log: one outcome per transaction, and
// nothing that it rests on has changed since it was first touched.
func (o *oracle) logged(lsn message.LSN, r *message.Record) {
	if r.Kind != message.RecordCommit && r.Kind != message.RecordTombstone {
		return
	}
	if kind, again := o.decided[r.TxID]; again {
		o.fail("%v decided twice: kind %d, then %d at LSN %d", r.TxID, kind, r.Kind, lsn)
	}
	o.w.trace("%v LSN %d is %v, kind %d", o.w.now, lsn, r.TxID, r.Kind)
	o.decided[r.TxID], o.where[r.TxID] = r.Kind, lsn
	if r.Kind == message.RecordTombstone {
		if o.outcome[r.TxID] == origin.Committed {
			o.fail("%v told committed, and has a tombstone at %d", r.TxID, lsn)
		}
		return
	}
	if out, ok := o.outcome[r.TxID]; ok && out.Final() && out != origin.Committed {
		o.fail("%v told %v, but committed at LSN %d", r.TxID, out, lsn)
	}
	tx := o.txs[r.TxID]
	if tx == nil {
		o.fail("LSN %d is of %v, which nobody ran", lsn, r.TxID)
		return
	}
	o.certify(lsn, r, tx)
	o.commits++
	if o.w.healing && o.w.now > o.healing {
		o.healed[r.TxID.Origin]++
	}
}

func (o *oracle) certify(lsn message.LSN, r *message.Record, tx *modelTx) {
	for _, k := range tx.touch {
		m := o.touched[k.Key]
		if m == nil {
			m = &[4]message.LSN{}
			o.touched[k.Key] = m
		}
		var newest message.LSN
		switch k.Mode {
		case message.ModeWritten, message.ModeLocked:
			newest = max(m[message.ModeWritten], m[message.ModeLocked], m[message.ModeShared])
		case message.ModeShared:
			newest = max(m[message.ModeWritten], m[message.ModeLocked])
		default:
			o.fail("the model has no mode %v", k.Mode)
		}
		if newest > k.Base && newest != lsn {
			o.fail("%v (LSN %d) touched %s in mode %v at %d over LSN %d", r.TxID, lsn, k.Key, k.Mode, k.Base, newest)
		}
		m[k.Mode] = lsn
	}
	for _, w := range r.Writes {
		n, err := strconv.Atoi(string(w.Row))
		old, _ := strconv.Atoi(o.values[w.Key])
		if err == nil && n != old+1 {
			o.fail("lost update: %v (LSN %d) makes %s %d after %d", r.TxID, lsn, w.Key, n, old)
		}
		o.values[w.Key] = string(w.Row)
	}
}

// snapshot checks that a statement doesn't go behind what was answered before it
// arrived.
func (o *oracle) snapshot(node message.NodeID, s, floor message.LSN) {
	o.w.trace("%v node %d gives snapshot %d, %d was answered", o.w.now, node, s, floor)
	if s < floor {
		o.fail("stale snapshot: node %d took %d though %d was answered before", node, s, floor)
	}
}

func (o *oracle) answer(s message.LSN) { o.answered = max(o.answered, s) }

// told checks the answer to a commit against the log.
func (o *oracle) told(id message.TxID, r origin.Result) {
	if old, again := o.outcome[id]; again {
		o.fail("%v told %v, then %v", id, old, r.Outcome)
	}
	o.w.trace("%v client of %v told %v, LSN %d", o.w.now, id, r.Outcome, r.LSN)
	o.outcome[id] = r.Outcome
	o.verdicts[r.Outcome]++
	kind, known := o.decided[id]
	switch {
	case r.Outcome == origin.Committed && (kind != message.RecordCommit || o.where[id] != r.LSN):
		o.fail("%v told committed at LSN %d, but the log has kind %d at %d", id, r.LSN, kind, o.where[id])
	case r.Outcome == origin.Committed:
		o.answer(r.LSN)
	case r.Outcome.Final() && known && kind == message.RecordCommit:
		o.fail("%v told %v, but committed at LSN %d", id, r.Outcome, o.where[id])
	}
}

func (o *oracle) block(first, count int64) {
	for n := first; n < first+count; n++ {
		if o.blocks[n] || n < 100 {
			o.fail("sequence value %d given twice or before the start", n)
		}
		o.blocks[n] = true
	}
}

// applied checks a cache against the log, record by record.
func (o *oracle) applied(node message.NodeID, before, lsn message.LSN, r *message.Record, log []message.Record) {
	switch {
	case lsn != before+1:
		o.fail("node %d applied LSN %d after %d", node, lsn, before)
	case int(lsn) > len(log):
		o.fail("node %d applied LSN %d, the log ends at %d", node, lsn, len(log))
	case log[lsn-1].Kind != r.Kind || log[lsn-1].TxID != r.TxID || len(log[lsn-1].Writes) != len(r.Writes):
		o.fail("node %d applied another record at LSN %d", node, lsn)
	}
}

// progress wants every node to have committed after healing.
func (o *oracle) progress(healed time.Duration) {
	for _, n := range o.w.nodes {
		if o.violation == "" && o.healed[n.id] == 0 {
			o.fail("no progress: node %d committed nothing since %v; it is %v, applied %d of %d, lease until %v",
				n.id, healed, n.core.phase, n.store.applied, len(o.w.volume.records()), n.core.member.LeaseUntil())
		}
	}
}

// end checks what must hold when all is quiet.
func (o *oracle) end() {
	tail := message.LSN(len(o.w.volume.records()))
	for _, n := range o.w.nodes {
		if o.violation != "" {
			return
		}
		if n.store.applied != tail || n.core.member.Stable() != tail {
			o.fail("node %d ends at LSN %d (stable %d), the log at %d", n.id, n.store.applied, n.core.member.Stable(), tail)
		}
		for _, key := range []message.Key{"k/0", "k/1", "k/2", "parent/0", "parent/1"} {
			if got := n.store.read(key, tail); got != o.values[key] {
				o.fail("node %d has %s = %q, the log %q", n.id, key, got, o.values[key])
			}
		}
		if r := n.core.certify.Reservations(); r > 0 {
			o.fail("node %d ends with %d reservations", n.id, r)
		}
		if p := len(n.core.pending); p > 0 || n.core.origin.Open() > 0 || len(n.core.awaiting) > 0 {
			o.fail("node %d ends with %d transactions pending", n.id, p)
		}
	}
}
