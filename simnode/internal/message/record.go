package message

// minRecordBytes is the smallest a record can be in bytes: its kind, the two
// epochs and at least one field of its kind.
const minRecordBytes = 4

// record writes only the fields that mean something for the record's kind.
func (w *writer) record(v *Record) {
	w.u8(byte(v.Kind))
	w.epoch(v.OrigEpoch)
	w.epoch(v.PrevOrigEpoch)
	switch v.Kind {
	case RecordCommit:
		w.commit(v)
	case RecordTombstone:
		w.txid(v.TxID)
	case RecordFence:
		w.node(v.Node)
		w.inc(v.Inc)
		w.uint(v.BootID)
	case RecordConfig:
		w.epoch(v.ConfigEpoch)
		w.nodes(v.Members)
	case RecordBarrier:
		w.u8(0) // room for what a takeover may need to say
	case RecordSequence:
		w.txid(v.TxID)
		w.uint(uint64(v.Sequence))
		w.int(v.First)
		w.int(v.Count)
	}
}

func (w *writer) commit(v *Record) {
	w.txid(v.TxID)
	w.keys(v.Keys)
	w.uint(uint64(len(v.Writes)))
	for i := range v.Writes {
		w.uint(uint64(v.Writes[i].Table))
		w.string(string(v.Writes[i].Key))
		w.row(v.Writes[i].Row)
	}
	w.uint(uint64(len(v.Votes)))
	for _, vote := range v.Votes {
		w.node(vote.Voter)
		w.inc(vote.Inc)
		w.epoch(vote.ConfigEpoch)
	}
	w.time(v.Committed)
}

func (r *reader) record() Record {
	v := Record{Kind: r.kind(), OrigEpoch: r.epoch(), PrevOrigEpoch: r.epoch()}
	switch v.Kind {
	case RecordCommit:
		r.commit(&v)
	case RecordTombstone:
		v.TxID = r.txid()
	case RecordFence:
		v.Node, v.Inc, v.BootID = r.node(), r.inc(), r.u64()
	case RecordConfig:
		v.ConfigEpoch, v.Members = r.epoch(), r.nodes()
	case RecordBarrier:
		r.u8()
	case RecordSequence:
		v.TxID, v.Sequence, v.First, v.Count = r.txid(), r.u32(), r.int(), r.int()
	}
	return v
}

func (r *reader) commit(v *Record) {
	v.TxID, v.Keys = r.txid(), r.keys()
	if n := r.count(3); n > 0 {
		v.Writes = make([]Write, n)
		for i := range v.Writes {
			v.Writes[i] = Write{Table: r.u32(), Key: Key(r.string()), Row: r.row()}
		}
	}
	if n := r.count(3); n > 0 {
		v.Votes = make([]VoteRef, n)
		for i := range v.Votes {
			v.Votes[i] = VoteRef{Voter: r.node(), Inc: r.inc(), ConfigEpoch: r.epoch()}
		}
	}
	v.Committed = r.time()
}
