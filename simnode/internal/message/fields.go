package message

// The fields of each message in bytes: put writes what get reads, in the order of
// the struct. Records stand in record.go.

func (Propose) tag() tag         { return tagPropose }
func (m Propose) put(w *writer)  { w.txid(m.TxID); w.keys(m.Keys) }
func (m *Propose) get(r *reader) { m.TxID, m.Keys = r.txid(), r.keys() }

func (Vote) tag() tag { return tagVote }

func (m Vote) put(w *writer) {
	w.txid(m.TxID)
	w.node(m.Voter)
	w.inc(m.Inc)
	w.epoch(m.ConfigEpoch)
	w.bool(m.Accept)
	w.u8(byte(m.Reason))
	w.string(string(m.Key))
	w.txid(m.Winner)
	w.lsn(m.WinnerLSN)
}

func (m *Vote) get(r *reader) {
	m.TxID, m.Voter, m.Inc, m.ConfigEpoch = r.txid(), r.node(), r.inc(), r.epoch()
	m.Accept, m.Reason, m.Key = r.bool(), r.reason(), Key(r.string())
	m.Winner, m.WinnerLSN = r.txid(), r.lsn()
}

func (Abort) tag() tag         { return tagAbort }
func (m Abort) put(w *writer)  { w.txid(m.TxID) }
func (m *Abort) get(r *reader) { m.TxID = r.txid() }

func (Committed) tag() tag { return tagCommitted }

func (m Committed) put(w *writer) {
	w.lsn(m.LSN)
	w.record(&m.Record)
	w.nodes(m.Holders)
	w.bool(m.AllHolders)
}

func (m *Committed) get(r *reader) {
	m.LSN, m.Record, m.Holders, m.AllHolders = r.lsn(), r.record(), r.nodes(), r.bool()
}

func (Applied) tag() tag { return tagApplied }

func (m Applied) put(w *writer) {
	w.node(m.Node)
	w.inc(m.Inc)
	w.lsn(m.LSN)
	w.epoch(m.ConfigEpoch)
}

func (m *Applied) get(r *reader) {
	m.Node, m.Inc, m.LSN, m.ConfigEpoch = r.node(), r.inc(), r.lsn(), r.epoch()
}

func (Append) tag() tag         { return tagAppend }
func (m Append) put(w *writer)  { w.record(&m.Record) }
func (m *Append) get(r *reader) { m.Record = r.record() }

func (Resolve) tag() tag         { return tagResolve }
func (m Resolve) put(w *writer)  { w.txid(m.TxID) }
func (m *Resolve) get(r *reader) { m.TxID = r.txid() }

func (Decided) tag() tag { return tagDecided }

func (m Decided) put(w *writer) {
	w.txid(m.TxID)
	w.lsn(m.LSN)
	w.u8(byte(m.Kind))
	w.int(m.First)
	w.nodes(m.Holders)
	w.bool(m.AllHolders)
	w.string(m.Why)
}

func (m *Decided) get(r *reader) {
	m.TxID, m.LSN, m.Kind, m.First = r.txid(), r.lsn(), r.kind(), r.int()
	m.Holders, m.AllHolders, m.Why = r.nodes(), r.bool(), r.string()
}

func (FenceRequest) tag() tag { return tagFenceRequest }

func (m FenceRequest) put(w *writer) {
	w.node(m.Node)
	w.inc(m.Expect)
	w.uint(m.BootID)
}

func (m *FenceRequest) get(r *reader) { m.Node, m.Expect, m.BootID = r.node(), r.inc(), r.u64() }

func (FenceReply) tag() tag { return tagFenceReply }

func (m FenceReply) put(w *writer) {
	w.node(m.Node)
	w.inc(m.Inc)
	w.uint(m.BootID)
	w.lsn(m.LSN)
	w.bool(m.OK)
}

func (m *FenceReply) get(r *reader) {
	m.Node, m.Inc, m.BootID, m.LSN, m.OK = r.node(), r.inc(), r.u64(), r.lsn(), r.bool()
}

func (Fetch) tag() tag         { return tagFetch }
func (m Fetch) put(w *writer)  { w.lsn(m.From); w.uint(uint64(m.Limit)) }
func (m *Fetch) get(r *reader) { m.From, m.Limit = r.lsn(), r.u32() }

func (FetchReply) tag() tag { return tagFetchReply }

func (m FetchReply) put(w *writer) {
	w.lsn(m.From)
	w.uint(uint64(len(m.Records)))
	for i := range m.Records {
		w.record(&m.Records[i])
	}
	w.lsn(m.VDL)
}

func (m *FetchReply) get(r *reader) {
	m.From = r.lsn()
	if n := r.count(minRecordBytes); n > 0 {
		m.Records = make([]Record, 0, min(n, 1024))
		for ; n > 0 && r.err == nil; n-- {
			m.Records = append(m.Records, r.record())
		}
	}
	m.VDL = r.lsn()
}

func (Accept) tag() tag { return tagAccept }

func (m Accept) put(w *writer) {
	w.epoch(m.Epoch)
	w.lsn(m.LSN)
	w.record(&m.Record)
	w.lsn(m.Tail)
}

func (m *Accept) get(r *reader) {
	m.Epoch, m.LSN, m.Record, m.Tail = r.epoch(), r.lsn(), r.record(), r.lsn()
}

func (Accepted) tag() tag { return tagAccepted }

func (m Accepted) put(w *writer) {
	w.uint(uint64(m.Storage))
	w.epoch(m.Epoch)
	w.lsn(m.LSN)
	w.nodes(m.Holders)
	w.bool(m.AllHolders)
}

func (m *Accepted) get(r *reader) {
	m.Storage, m.Epoch, m.LSN = r.storage(), r.epoch(), r.lsn()
	m.Holders, m.AllHolders = r.nodes(), r.bool()
}

func (LeaseRequest) tag() tag { return tagLeaseRequest }

func (m LeaseRequest) put(w *writer) {
	w.node(m.Node)
	w.inc(m.Inc)
	w.uint(m.ReqID)
	w.uint(m.Nonce)
}

func (m *LeaseRequest) get(r *reader) {
	m.Node, m.Inc, m.ReqID, m.Nonce = r.node(), r.inc(), r.u64(), r.u64()
}

func (LeaseGrant) tag() tag { return tagLeaseGrant }

func (m LeaseGrant) put(w *writer) {
	w.uint(uint64(m.Storage))
	w.uint(m.ReqID)
	w.lsn(m.Tail)
	w.uint(m.Nonce)
	w.bool(m.Refused)
}

func (m *LeaseGrant) get(r *reader) {
	m.Storage, m.ReqID, m.Tail = r.storage(), r.u64(), r.lsn()
	m.Nonce, m.Refused = r.u64(), r.bool()
}

func (Release) tag() tag         { return tagRelease }
func (m Release) put(w *writer)  { w.node(m.Node); w.inc(m.Inc) }
func (m *Release) get(r *reader) { m.Node, m.Inc = r.node(), r.inc() }
