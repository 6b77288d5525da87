package node

import (
	"math/rand/v2"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/volume"
)

// realVolume is the volume's own head and storage nodes, joined by the world's
// network: appends are decided, replicated, lost and repeated message by message.
type realVolume struct {
	w       *world
	head    *volume.Head
	durable [volume.StorageNodes]volume.Durable
	storage [volume.StorageNodes]*volume.StorageNode // nil while down
	mutants volume.Mutant
	seen    int // records that the oracle has seen
}

func newRealVolume(w *world, members []message.NodeID, mutants volume.Mutant) *realVolume {
	v := &realVolume{w: w, mutants: mutants, head: volume.NewHead(volume.HeadConfig{Members: members, Mutants: mutants})}
	for i := range v.storage {
		v.start(i)
	}
	var tick func()
	tick = func() {
		v.emit(headAddr(), v.head.Tick(w.now))
		w.after(20*time.Millisecond, tick)
	}
	w.after(0, tick)
	return v
}

func (v *realVolume) start(i int) {
	v.storage[i] = volume.NewStorageNode(message.StorageID(i+1), &v.durable[i], v.w.now, v.mutants)
}

func party(a fabric.Addr) volume.Party {
	switch a.Kind {
	case fabric.KindNode, fabric.KindSupervisor:
		return volume.NodeParty(message.NodeID(a.ID))
	case fabric.KindStorage:
		return volume.StorageParty(message.StorageID(a.ID))
	default:
		return volume.Party{}
	}
}

func address(p volume.Party) fabric.Addr {
	switch {
	case p.Node != 0:
		return nodeAddr(p.Node)
	case p.Storage != 0:
		return storageAddr(p.Storage)
	default:
		return headAddr()
	}
}

func (v *realVolume) emit(from fabric.Addr, outs []volume.Output) {
	for _, o := range outs {
		for _, to := range o.To {
			v.w.send(from, address(to), o.Msg)
		}
	}
}

func (v *realVolume) receive(to, from fabric.Addr, m message.Message) {
	if to.Kind == fabric.KindStorage {
		if s := v.storage[to.ID-1]; s != nil {
			v.emit(to, s.Step(v.w.now, party(from), m))
		}
		return
	}
	if f, ok := m.(message.Fetch); ok {
		f.Limit = uint32(v.w.fetchLimit)
		m = f
	}
	v.emit(to, v.head.Step(v.w.now, party(from), m))
	for log := v.head.Log(); v.seen < len(log); v.seen++ {
		v.w.oracle.logged(message.LSN(v.seen+1), &log[v.seen])
	}
}

// records are those that a node may know.
func (v *realVolume) records() []message.Record { return v.head.Log()[:v.head.VDL()] }

func (v *realVolume) restartStorage(rng *rand.Rand) {
	i := rng.IntN(volume.StorageNodes)
	down := 0
	for _, s := range v.storage {
		down += btoi(s == nil)
	}
	switch {
	case v.storage[i] == nil:
		v.start(i)
	case down < 2:
		v.storage[i] = nil
	}
}

func (v *realVolume) heal() {
	for i, s := range v.storage {
		if s == nil {
			v.start(i)
		}
	}
}
