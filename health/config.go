package health

import (
	"context"
	"time"
)

const (
	// DefaultProbeInterval: four probes a second cost a node less than 0.1 % of
	// one core and, with CutFloor, find a frozen node in 650 ms.
	DefaultProbeInterval = 250 * time.Millisecond
	// suspectInterval is the pause between probes while a node is in doubt: a
	// healthy one is back after it.
	suspectInterval = 50 * time.Millisecond
	// maxDownInterval bounds the pause between probes of a node that is down, so
	// that a repaired node is found within half a second.
	maxDownInterval = 500 * time.Millisecond
	// strangerTimeout is how long a node that is down, or of which nothing is known
	// yet, may be silent during a probe: one lost SYN, or two round trips around the
	// globe, for a dial and the first answer. What is known of its round trips, if
	// anything, is of the time before.
	strangerTimeout = time.Second
	// strangerMisses: a node that hasn't answered so many probes in a row, some twenty
	// seconds long if it is silent, may just be farther away than that, and is given
	// strangerPatience each time from then on.
	strangerMisses   = 16
	strangerPatience = 2 * Ceiling
	// strangerLimit bounds such a probe as a whole: a dial with TLS and a password
	// takes eight round trips, and then come what it asks.
	strangerLimit = 10 * time.Second
	// probeGap is the shortest pause between two probes, also when the data path
	// asks for one at once.
	probeGap = 5 * time.Millisecond
	// heartbeat is how often the monitor looks at its own lateness and at the
	// breakers.
	heartbeat = 50 * time.Millisecond
	// stallLimit: when the monitor wakes up that much too late, its process
	// stood still, and silences are counted from now on.
	stallLimit = 100 * time.Millisecond
	// lostProbe is when a probe is given up although the process has stood still
	// again and again meanwhile, so that no silence counts: its dial, or its answer,
	// may be lost, and another one's may not. Only time in which the process ran
	// counts.
	lostProbe = 2 * Ceiling
	// queueLength bounds the events of the data path that wait for the monitor.
	// More say nothing new.
	queueLength = 256
)

// Node is one node to watch.
type Node struct {
	// Name is used in reports.
	Name string
	// Probe asks the node whether it can be given work, over a connection that
	// it keeps to itself, and opens that connection when there is none. It must
	// return soon after ctx is done. Calls never overlap.
	Probe func(ctx context.Context) error
	// Cut, if not nil, refuses new dials to the node and then closes all its
	// sockets. It must not block.
	Cut func(Reason)
	// Allow, if not nil, allows dials again. It is called when the node is found
	// up for the first time, and after each Down. It must not block.
	Allow func()
	// Forget, if not nil, forgets what was measured of the node. It is called
	// before Allow when the node comes back. It must not block.
	Forget func()
	// OnProbe, if not nil, gets the round trip of each answered probe. It must
	// not block.
	OnProbe func(roundTrip time.Duration)
	// OnLate, if not nil, gets how long the node has been silent, each time that a
	// silence is judged to be late: an answer that hasn't come yet says as much
	// about a node as one that came late. It must not block.
	OnLate func(silence time.Duration)
	// Held, if not nil, returns until when the probe under way was held up by the
	// client itself (by asking a service for a password, say): the present if it
	// still is, the zero time if it never was. Silences and round trips are
	// counted from then. It must not block.
	Held func() time.Time
	// Outside, if not nil, reports that the node isn't one of the cluster's, or is only
	// another name of one: it doesn't count when it is asked how many nodes there are
	// and how many of them serve. It must not block.
	Outside func() bool
	// Pulse is touched by whoever reads the node's sockets; nil means that only
	// probes prove life.
	Pulse *Pulse
	// Breaker is the node's breaker; nil means that there is none.
	Breaker *Breaker
}

// Config configures a Monitor. The zero value of each field but Nodes means its
// default.
type Config struct {
	// Nodes are watched from Start to Close, or until they are removed.
	Nodes []Node
	// ProbeInterval is the pause between two probes of a healthy node; each
	// pause is 80 to 100 % of it, so that clients don't probe in step.
	ProbeInterval time.Duration
	// OnChange, if not nil, is called after a new View was published in which
	// node i has another state, breaker state or weight, and some twenty times a second
	// while it recovers, also before its weight begins to grow. It must not block.
	OnChange func(v *View, i int)
	// Seed makes the jitter repeatable.
	Seed uint64
}

func (c Config) withDefaults() Config {
	if c.ProbeInterval <= 0 {
		c.ProbeInterval = DefaultProbeInterval
	}
	c.Nodes = append([]Node(nil), c.Nodes...)
	for i := range c.Nodes {
		c.Nodes[i] = c.Nodes[i].withDefaults()
	}
	return c
}

func (n Node) withDefaults() Node {
	if n.Pulse == nil {
		n.Pulse = NewPulse()
	}
	if n.Outside == nil {
		n.Outside = func() bool { return false }
	}
	if n.Held == nil {
		n.Held = func() time.Time { return time.Time{} }
	}
	return n
}
