package certify

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// Config sets the certifier up. The zero value is usable.
type Config struct {
	// Horizon is how many LSNs the index looks back. A transaction whose first
	// snapshot is older than that is refused. 0 means 262,144: at 10,000 commits a
	// second it lets a transaction stay open for 26 s, for some 30 MB of index.
	Horizon uint64
	// OrphanAfter is the age at which a reservation makes the node ask the storage
	// for the outcome, and how often it asks again. 0 means 250 ms: at least twice
	// the vote timeout, so that a living origin has long decided.
	OrphanAfter time.Duration
	// Mutants are deliberate bugs, for tests only.
	Mutants mutant.Set
}

func (c Config) withDefaults() Config {
	if c.Horizon == 0 {
		c.Horizon = 1 << 18
	}
	if c.OrphanAfter == 0 {
		c.OrphanAfter = 250 * time.Millisecond
	}
	return c
}

// Verdict is a voter's answer to a proposal. The zero value is not an answer:
// either Accept is set, or Reason, with the Key it is about and the transaction
// that has it (Winner; WinnerLSN if that one is committed).
type Verdict struct {
	Accept    bool
	Reason    message.RejectReason
	Key       message.Key
	Winner    message.TxID
	WinnerLSN message.LSN
}

// Certifier is one node's memory of what was committed and what is about to be.
// Make it with New. Not safe for concurrent use.
type Certifier struct {
	cfg          Config
	index        index
	reservations reservations
	applied      message.LSN
}

// New gives a certifier that has seen the empty log.
func New(cfg Config) *Certifier {
	cfg = cfg.withDefaults()
	return &Certifier{cfg: cfg, index: newIndex(cfg.Mutants), reservations: newReservations(cfg.Mutants)}
}

// Propose votes on a transaction and, when it accepts, reserves its keys (rule 4).
// The caller asks only when the certifier has followed the log to the node's own
// fence. Repeating a proposal repeats the accept. The slice of keys is kept.
func (c *Certifier) Propose(p message.Propose, now time.Duration) Verdict {
	if c.reservations.has(p.TxID) {
		return Verdict{Accept: true}
	}
	if v, refused := c.index.check(p.Keys); refused {
		return v
	}
	if c.cfg.Mutants.Has(mutant.NoReservation) {
		return Verdict{Accept: true}
	}
	if v, refused := c.reservations.check(p.Keys); refused {
		return v
	}
	c.reservations.add(p.TxID, p.Keys, now+c.cfg.OrphanAfter)
	return Verdict{Accept: true}
}

// Apply takes the next record of the log in (rule 9). It must be called for every
// LSN in order; the record's slices are kept.
func (c *Certifier) Apply(lsn message.LSN, record *message.Record) {
	c.applied = lsn
	switch record.Kind {
	case message.RecordCommit:
		c.index.add(lsn, record)
		c.reservations.drop(record.TxID)
	case message.RecordTombstone:
		c.reservations.drop(record.TxID)
	default: // says nothing about keys
	}
	// Pruning a quarter at a time keeps its cost off the path of most commits.
	if uint64(lsn-c.index.floor) > c.cfg.Horizon+c.cfg.Horizon/4 {
		c.index.prune(lsn - message.LSN(c.cfg.Horizon))
	}
}

// Abort drops the reservation of a transaction whose origin has given it up. Only
// the origin's own word counts (rule 11): the caller checks who sent it.
func (c *Certifier) Abort(txid message.TxID) { c.reservations.drop(txid) }

// Decided takes in the storage's answer about a transaction (rule 11). A tombstone
// frees the keys at once; a commit frees them only when it is applied here, since
// until then the index knows nothing of it.
func (c *Certifier) Decided(d message.Decided) {
	early := c.cfg.Mutants.Has(mutant.ResolvedDropBeforeApply)
	if d.Kind == message.RecordTombstone || d.LSN <= c.applied || early {
		c.reservations.drop(d.TxID)
	}
}

// Orphans gives the transactions whose reservation is old enough to ask the
// storage about; each comes again after OrphanAfter while it is there.
func (c *Certifier) Orphans(now time.Duration) []message.TxID {
	list := c.reservations.orphans(now, c.cfg.OrphanAfter)
	if c.cfg.Mutants.Has(mutant.OrphanLocalDrop) {
		for _, txid := range list {
			c.reservations.drop(txid)
		}
		return nil
	}
	return list
}

// Next gives the time at which Orphans has something to say, if it ever will.
func (c *Certifier) Next() (time.Duration, bool) { return c.reservations.next() }

// Reserves reports whether txid holds keys here.
func (c *Certifier) Reserves(txid message.TxID) bool { return c.reservations.has(txid) }

// Reservations counts the transactions that hold keys here.
func (c *Certifier) Reservations() int { return len(c.reservations.keys) }

// Indexed counts the keys that the index remembers.
func (c *Certifier) Indexed() int { return len(c.index.marks) }

// Floor is the LSN below which a base is refused as too old.
func (c *Certifier) Floor() message.LSN { return c.index.floor }
