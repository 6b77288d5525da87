package driver_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// strikePoint is a message of a strike's traffic: the nth of a type, counted over all
// connections from the moment at which the operation starts.
type strikePoint struct {
	dir faultproxy.Direction
	typ byte // or AnyType
	nth int
}

func (p strikePoint) String() string {
	return fmt.Sprintf("%s number %d %v", faultproxy.TypeName(p.dir, p.typ), p.nth, p.dir)
}

// at returns a rule's Match that says yes once, at the point, and calls hit with
// the message's type then. Rules of several proxies may share it.
func (p strikePoint) at(hit func(typ byte) bool) func(faultproxy.Message) bool {
	var mu sync.Mutex
	seen := 0
	return func(m faultproxy.Message) bool {
		if p.typ != faultproxy.AnyType && m.Type != p.typ {
			return false
		}
		mu.Lock()
		seen++
		here := seen == p.nth
		mu.Unlock()
		return here && hit(m.Type)
	}
}

// strikeFault is one failure of the network.
type strikeFault struct {
	strikePoint
	place  faultproxy.Place
	offset int
	action faultproxy.Action // Cut, Reset or Hold
	hold   time.Duration     // of Hold: how long
	reset  bool              // after Hold: the connections are reset instead of thawed
	all    bool              // Hold stops every connection, new ones too
}

func (f strikeFault) String() string {
	where := [...]string{"before", "after", fmt.Sprintf("%d bytes into", f.offset)}[f.place]
	text := fmt.Sprintf("%v %s %v", f.action, where, f.strikePoint)
	if f.action != faultproxy.Hold {
		return text
	}
	end := map[bool]string{false: "thaw", true: "reset"}[f.reset]
	return fmt.Sprintf("%s (all connections: %v), %s after %v", text, f.all, end, f.hold)
}

// rule is the fault for one proxy.
func (f strikeFault) rule(match func(faultproxy.Message) bool) faultproxy.Rule {
	return faultproxy.Rule{Direction: f.dir, Action: f.action, Place: f.place, Offset: f.offset, Match: match}
}

// How the driver stands when the operation starts.
const (
	strikeCold = iota // nothing of it has run: the faults meet its probers too
	strikeReady
	strikeWarm // the same operation has run: its statements are prepared
)

// strike is one operation and what happens to it. It follows from the seed, the
// number and the kinds to choose from.
type strike struct {
	seed       uint64
	number     int
	kind       *strikeKind
	statements int
	state      int
	faults     []strikeFault
	cancel     *strikePoint // where the caller's context is cancelled
}

func (c *strike) String() string {
	text := []string{fmt.Sprintf("strike %d of seed %d: %s of %d, %s", c.number, c.seed, c.kind.name, c.statements,
		[...]string{"cold", "ready", "warm"}[c.state])}
	for _, f := range c.faults {
		text = append(text, f.String())
	}
	if c.cancel != nil {
		text = append(text, "context cancelled at "+c.cancel.String())
	}
	return strings.Join(text, "; ")
}

// drawStrike draws strike number n of a seed.
func drawStrike(seed uint64, n int, kinds []*strikeKind) *strike {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	c := &strike{seed: seed, number: n, kind: kinds[rng.IntN(len(kinds))], statements: 1 + rng.IntN(3)}
	c.state = [...]int{strikeCold, strikeReady, strikeReady, strikeReady, strikeReady, strikeReady, strikeWarm, strikeWarm, strikeWarm, strikeWarm}[rng.IntN(10)]
	span := 12 // messages of an operation each way, about
	if c.state == strikeCold {
		span = 40
	}
	if c.aim(rng, kinds) {
		return c
	}
	faults := [...]int{0, 1, 1, 1, 1, 1, 2, 2}[rng.IntN(8)]
	for range faults {
		c.faults = append(c.faults, drawFault(rng, span))
	}
	if faults == 0 || rng.IntN(6) == 0 {
		p := drawPoint(rng, span)
		c.cancel = &p
	}
	return c
}

// Types that a strike is aimed at by name, because few of the messages have them.
const (
	typesToServer = "PBDESQdcC\x01\x04X"
	typesToClient = "12CTtnDZG3RKS"
)

// Types that every matrix must have struck. The others come too seldom: errors,
// and what the driver sends when it gives a connection up.
const (
	requiredToServer = "PBDESQ\x01"
	requiredToClient = "12CTtnDZRKS"
	// Of COPY, which not every target takes.
	requiredOfCopy = "dcG"
)

// aim makes one of the first strikes one at a required type: the first message of
// it that a driver sends or gets when nothing of it has run. Of three strikes
// one is before, one after and one within the message.
func (c *strike) aim(rng *rand.Rand, kinds []*strikeKind) bool {
	types := requiredToServer + requiredToClient + requiredOfCopy
	n := (c.number - 1) / 3
	if n >= len(types) {
		return false
	}
	f := drawFault(rng, 1)
	f.dir, f.typ, f.nth = faultproxy.ToClient, types[n], 1
	if n < len(requiredToServer) || f.typ == 'd' || f.typ == 'c' {
		f.dir = faultproxy.ToServer
	}
	f.place, f.offset = faultproxy.Place((c.number-1)%3), 3
	want := map[byte]string{'Q': "several commands", 'd': "copy", 'c': "copy", 'G': "copy"}[f.typ]
	for _, k := range kinds {
		if k.name == want {
			c.kind = k
		}
	}
	c.state, c.faults = strikeCold, []strikeFault{f}
	return true
}

func drawPoint(rng *rand.Rand, span int) strikePoint {
	p := strikePoint{dir: faultproxy.ToServer, nth: 1 + rng.IntN(span)}
	types := typesToServer
	if rng.IntN(2) == 0 {
		p.dir, types = faultproxy.ToClient, typesToClient
	}
	if rng.IntN(2) == 0 {
		p.typ, p.nth = types[rng.IntN(len(types))], 1+rng.IntN(3)
	}
	return p
}

func drawFault(rng *rand.Rand, span int) strikeFault {
	f := strikeFault{strikePoint: drawPoint(rng, span)}
	f.place = faultproxy.Place(rng.IntN(3))
	if f.place == faultproxy.Within {
		f.offset = 1 + rng.IntN(40)
	}
	f.action = [...]faultproxy.Action{faultproxy.Cut, faultproxy.Cut, faultproxy.Reset, faultproxy.Reset, faultproxy.Hold}[rng.IntN(5)]
	if f.action == faultproxy.Hold {
		f.hold = time.Duration(1+rng.IntN(40)) * time.Millisecond
		f.reset, f.all = rng.IntN(2) == 0, rng.IntN(3) == 0
	}
	return f
}
