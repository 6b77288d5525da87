package segment

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/evlog"
	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/volume"
)

// defaultAZs puts two storage nodes into each AZ: losing a whole one leaves the
// four that a write needs.
const defaultAZs = 3

// Config of a Volume. Fabric and Members are required.
type Config struct {
	Fabric *fabric.Fabric
	// Members of the cluster: whose votes count.
	Members []message.NodeID
	// StorageNodes must be 0 or 6: the quorums are made for six.
	StorageNodes int
	// AZs spreads the storage nodes, 1 to 6; 0 means 3. Storage node i is in AZ
	// (i-1) mod AZs + 1.
	AZs int
	// Log takes what happens to the storage; nil: nothing is recorded.
	Log *evlog.Log
	// Mutants break rules on purpose, in tests.
	Mutants volume.Mutant
}

func (c Config) withDefaults() Config {
	if c.StorageNodes == 0 {
		c.StorageNodes = volume.StorageNodes
	}
	if c.AZs == 0 {
		c.AZs = defaultAZs
	}
	return c
}

func (c Config) validate() error {
	if c.Fabric == nil {
		return errors.New("segment: Config.Fabric is required")
	}
	if c.StorageNodes != volume.StorageNodes {
		return fmt.Errorf("segment: %d storage nodes were asked for, only %d are possible", c.StorageNodes, volume.StorageNodes)
	}
	if c.AZs < 1 || c.AZs > volume.StorageNodes {
		return fmt.Errorf("segment: %d AZs were asked for, 1 to %d are possible", c.AZs, volume.StorageNodes)
	}
	if len(c.Members) == 0 {
		return errors.New("segment: Config.Members is empty, at least one node is required")
	}
	for i, m := range c.Members {
		if m == 0 || slices.Contains(c.Members[:i], m) {
			return fmt.Errorf("segment: member %d is not valid: members are different numbers from 1", m)
		}
	}
	return nil
}

// Volume is the running storage of one cluster. All methods are safe for
// concurrent use.
type Volume struct {
	cfg     Config
	head    *head
	storage []*storageNode
	closing sync.Once

	supervisors supervisors
}

// HeadAddr is where the head of the volume listens, StorageAddr a storage node.
func HeadAddr() fabric.Addr { return fabric.Addr{Kind: fabric.KindHead} }

// StorageAddr is where storage node id listens.
func StorageAddr(id message.StorageID) fabric.Addr {
	return fabric.Addr{Kind: fabric.KindStorage, ID: uint16(id)}
}

// partyOf names the sender of a message as package volume does.
func partyOf(a fabric.Addr) volume.Party {
	switch a.Kind {
	case fabric.KindNode, fabric.KindSupervisor:
		return volume.NodeParty(message.NodeID(a.ID))
	case fabric.KindStorage:
		return volume.StorageParty(message.StorageID(a.ID))
	case fabric.KindHead, fabric.KindClient, fabric.KindUnknown:
	}
	return volume.Party{}
}

// addrOf is the inverse of partyOf.
func addrOf(p volume.Party) fabric.Addr {
	switch {
	case p.Node != 0:
		return fabric.Addr{Kind: fabric.KindNode, ID: uint16(p.Node)}
	case p.Storage != 0:
		return StorageAddr(p.Storage)
	default:
		return HeadAddr()
	}
}

// Start brings up the head of an empty log and six empty storage nodes. End them
// with Close.
func Start(cfg Config) (*Volume, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	v := &Volume{cfg: cfg, supervisors: supervisors{quit: make(chan struct{})}}
	start := time.Now()
	for i := range cfg.StorageNodes {
		s := newStorageNode(cfg, message.StorageID(i+1), start)
		s.run()
		v.storage = append(v.storage, s)
	}
	v.head = startHead(cfg, start)
	return v, nil
}

// Close stops everything and joins every goroutine. It is idempotent; what is
// kept can still be inspected.
func (v *Volume) Close() {
	v.closing.Do(func() {
		v.supervisors.close()
		v.head.close()
		for _, s := range v.storage {
			s.halt()
		}
	})
}

// StopStorage stops a storage node as a crash would: what it had accepted stays,
// its leases are forgotten, messages to it are lost. Stopping it again does
// nothing.
func (v *Volume) StopStorage(id message.StorageID) error {
	s, err := v.storageNode(id)
	if err != nil {
		return err
	}
	if s.halt() {
		v.cfg.Log.Add(StorageAddr(id).String(), "stop", "", evlog.F("az", v.AZ(id)))
	}
	return nil
}

// StartStorage starts a stopped storage node with what it had accepted. It is
// sent what it missed. Starting one that runs does nothing.
func (v *Volume) StartStorage(id message.StorageID) error {
	s, err := v.storageNode(id)
	if err != nil {
		return err
	}
	if s.run() {
		v.cfg.Log.Add(StorageAddr(id).String(), "start", "", evlog.F("az", v.AZ(id)))
	}
	return nil
}

func (v *Volume) storageNode(id message.StorageID) (*storageNode, error) {
	if id < 1 || int(id) > len(v.storage) {
		return nil, fmt.Errorf("segment: there is no storage node %d (1 to %d exist)", id, len(v.storage))
	}
	return v.storage[id-1], nil
}

// AZ gives the AZ of a storage node, from 1.
func (v *Volume) AZ(id message.StorageID) int { return (int(id)-1)%v.cfg.AZs + 1 }

// StopAZ stops every storage node of an AZ.
func (v *Volume) StopAZ(az int) error { return v.eachOf(az, v.StopStorage) }

// StartAZ starts every storage node of an AZ.
func (v *Volume) StartAZ(az int) error { return v.eachOf(az, v.StartStorage) }

func (v *Volume) eachOf(az int, do func(message.StorageID) error) error {
	if az < 1 || az > v.cfg.AZs {
		return fmt.Errorf("segment: there is no AZ %d (1 to %d exist)", az, v.cfg.AZs)
	}
	for _, s := range v.storage {
		if v.AZ(s.id) == az {
			if err := do(s.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// Log gives the durable records, LSN 1 first. They are read-only.
func (v *Volume) Log() []message.Record {
	var out []message.Record
	v.head.ask(func(h *volume.Head) { out = slices.Clip(h.Log()[:h.VDL()]) })
	return out
}

// VDL is how far the log is durable.
func (v *Volume) VDL() message.LSN {
	var vdl message.LSN
	v.head.ask(func(h *volume.Head) { vdl = h.VDL() })
	return vdl
}

// Tail is the end of the log, durable or not.
func (v *Volume) Tail() message.LSN {
	var tail message.LSN
	v.head.ask(func(h *volume.Head) { tail = h.State().Length() })
	return tail
}

// Members lists whose votes count, in ascending order.
func (v *Volume) Members() []message.NodeID {
	var out []message.NodeID
	v.head.ask(func(h *volume.Head) { out = h.State().Members() })
	return out
}

// Life gives the incarnation that the log knows of a node.
func (v *Volume) Life(node message.NodeID) volume.Life {
	var life volume.Life
	v.head.ask(func(h *volume.Head) { life = h.State().Life(node) })
	return life
}
