package node

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/certify"
	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
	"github.com/anywriter/anywriter/simnode/internal/origin"
	"github.com/anywriter/anywriter/simnode/internal/volume"
)

// world is one run of the search: cores of N nodes, a volume, a network and model
// clients in one event queue. The same seed gives the same run.
type world struct {
	rng     *rand.Rand
	seed    uint64
	mutants mutant.Set
	now     time.Duration
	queue   eventQueue
	events  uint64
	nodes   []*modelNode
	volume  volumeModel
	net     network
	oracle  oracle
	mix     []int // how likely each kind of fault is in this run
	horizon uint64
	// fetchLimit is how many records answer a Fetch.
	fetchLimit int
	healing    bool
	clients    int
	trace      func(format string, args ...any)
}

// volumeModel is the storage behind the head and the storage nodes.
type volumeModel interface {
	receive(to, from fabric.Addr, m message.Message)
	restartStorage(rng *rand.Rand)
	heal()
	records() []message.Record
}

func (v *atomicVolume) records() []message.Record { return v.log }

func (v *atomicVolume) heal() {
	for _, s := range v.storage {
		s.down = false
	}
}

// restartStorage takes a storage node down, brings one back, or wipes its leases,
// with at most two of six down.
func (v *atomicVolume) restartStorage(rng *rand.Rand) {
	s := v.storage[rng.IntN(6)]
	down := 0
	for _, o := range v.storage {
		down += btoi(o.down)
	}
	switch {
	case s.down:
		s.down, s.restarted = false, v.w.now
		clear(s.leases)
	case down < 2:
		s.down = true
	}
}

type network struct {
	loss, dup, slow float64
	cut             map[[2]fabric.Addr]bool
	late            map[[2]fabric.Addr]time.Duration // extra delay
}

type queued struct {
	at  time.Duration
	seq uint64
	run func()
}

type eventQueue []queued

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), cmp.Compare(q[i].seq, q[j].seq)) < 0
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(queued)) }
func (q *eventQueue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = queued{}
	*q = (*q)[:len(*q)-1]
	return last
}

func (w *world) after(d time.Duration, run func()) {
	w.events++
	heap.Push(&w.queue, queued{at: w.now + max(d, 0), seq: w.events, run: run})
}

// runUntil plays events until a time or a violation.
func (w *world) runUntil(end time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= end && w.oracle.violation == "" {
		e := heap.Pop(&w.queue).(queued)
		w.now = e.at
		e.run()
	}
	w.now = max(w.now, end)
}

// send puts a message on the network, as bytes.
func (w *world) send(from, to fabric.Addr, m message.Message) {
	payload := message.Encode(m)
	copies := 1
	if !w.healing {
		if w.net.cut[[2]fabric.Addr{from, to}] || w.rng.Float64() < w.net.loss {
			return
		}
		if w.rng.Float64() < w.net.dup {
			copies = 2
		}
	}
	for range copies {
		delay := 100*time.Microsecond + w.upTo(900*time.Microsecond)
		if !w.healing && w.rng.Float64() < w.net.slow {
			delay += time.Duration(w.rng.ExpFloat64() * float64(40*time.Millisecond))
		}
		if !w.healing {
			delay += w.net.late[[2]fabric.Addr{from, to}]
		}
		w.after(delay, func() { w.deliver(from, to, payload) })
	}
}

func (w *world) deliver(from, to fabric.Addr, payload []byte) {
	m, err := message.Decode(payload)
	if err != nil {
		w.oracle.fail("a message does not decode: %v", err)
		return
	}
	if _, ok := m.(message.Release); ok && to.Kind == fabric.KindStorage && from.Kind != fabric.KindSupervisor {
		return // the storage's shell believes nobody else
	}
	if to.Kind != fabric.KindNode {
		w.volume.receive(to, from, m)
		return
	}
	n := w.nodes[to.ID-1]
	if n.core == nil {
		return
	}
	if w.now < n.frozenUntil {
		w.after(n.frozenUntil-w.now+w.upTo(time.Millisecond), func() { w.deliver(from, to, payload) })
		return
	}
	n.core.receive(from, m, n.clock())
	n.step()
}

// modelNode is a node's core in the world, with the sessions that wait on it.
type modelNode struct {
	w           *world
	id          message.NodeID
	core        *core
	life        int // counts cores; timers of an older one are void
	store       *modelStore
	drift       float64
	frozenUntil time.Duration
	wakeAt      time.Duration

	commits map[message.TxID]func(event)
	waiters []stableWaiter
}

type stableWaiter struct {
	lsn  message.LSN
	done func(ok bool)
}

// modelStore is a cache of versions, checked against the log as it grows.
type modelStore struct {
	w        *world
	node     message.NodeID
	applied  message.LSN
	versions map[message.Key][]version
}

type version struct {
	lsn   message.LSN
	value string
}

func (s *modelStore) Apply(lsn message.LSN, r *message.Record) error {
	s.w.oracle.applied(s.node, s.applied, lsn, r, s.w.volume.records())
	s.applied = lsn
	for _, write := range r.Writes {
		s.versions[write.Key] = append(s.versions[write.Key], version{lsn: lsn, value: string(write.Row)})
	}
	return nil
}

// read gives the value that a snapshot sees.
func (s *modelStore) read(key message.Key, snapshot message.LSN) string {
	versions := s.versions[key]
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].lsn <= snapshot {
			return versions[i].value
		}
	}
	return ""
}

// clock is the node's own: it drifts.
func (n *modelNode) clock() time.Duration {
	return time.Duration(float64(n.w.now) * (1 + n.drift))
}

func (n *modelNode) start() {
	n.life++
	n.store = &modelStore{w: n.w, node: n.id, versions: map[message.Key][]version{}}
	n.commits = map[message.TxID]func(event){}
	n.waiters = nil
	n.wakeAt = 1 << 62
	members := make([]message.NodeID, len(n.w.nodes))
	for i := range members {
		members[i] = message.NodeID(i + 1)
	}
	n.core = newCore(coreConfig{
		self: n.id, members: members, epoch: 1,
		storage:  []message.StorageID{1, 2, 3, 4, 5, 6},
		bootID:   uint64(n.id)<<32 | uint64(n.life),
		store:    n.store,
		certify:  certify.Config{Horizon: n.w.horizon},
		patience: 400 * time.Millisecond,
		mutants:  n.w.mutants,
	}, n.clock())
	n.step()
}

// kill ends the process: memory is gone, clients see their connections break.
func (n *modelNode) kill() {
	life := n.core.life
	n.core = nil
	n.frozenUntil = 0
	for _, id := range sortedKeys(n.commits) {
		n.commits[id](event{txid: id, done: true, result: origin.Result{Outcome: origin.InDoubt}})
	}
	for _, wt := range n.waiters {
		wt.done(false)
	}
	n.commits, n.waiters = nil, nil
	if n.w.rng.Float64() < 0.7 { // the host lives: its supervisor reports the exit
		for range 1 + n.w.rng.IntN(3) {
			var late time.Duration
			if n.w.rng.IntN(2) == 0 {
				late = n.w.upTo(500 * time.Millisecond)
			}
			n.w.after(late, func() { n.released(fabric.Addr{Kind: fabric.KindSupervisor, ID: uint16(n.id)}, life) })
		}
	}
}

// released sends everybody the news that a life of n has ended.
func (n *modelNode) released(from fabric.Addr, life message.Incarnation) {
	r := message.Release{Node: n.id, Inc: life}
	for id := message.StorageID(1); id <= 6; id++ {
		n.w.send(from, storageAddr(id), r)
	}
	for _, o := range n.w.nodes {
		n.w.send(from, nodeAddr(o.id), r)
	}
}

func sortedKeys(m map[message.TxID]func(event)) []message.TxID {
	var ids []message.TxID
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b message.TxID) int {
		return cmp.Or(cmp.Compare(a.Inc, b.Inc), cmp.Compare(a.Seq, b.Seq))
	})
	return ids
}

// step lets a core do what is due, carries out what it wants, and sets its timer.
func (n *modelNode) step() {
	c := n.core
	now := n.clock()
	c.tick(now)
	c.settle(now)
	for len(c.out) > 0 || len(c.events) > 0 {
		out, events := c.out, c.events
		c.out, c.events = nil, nil
		for _, e := range out {
			for _, to := range e.to {
				n.w.send(nodeAddr(n.id), to, e.msg)
			}
		}
		for _, e := range events {
			if f := n.commits[e.txid]; f != nil && e.done {
				delete(n.commits, e.txid)
				f(e)
			}
		}
	}
	rest := n.waiters[:0]
	for _, wt := range n.waiters {
		if c.member.Stable() >= wt.lsn || n.w.mutants.Has(mutant.ReadUnstable) {
			n.w.after(0, func() { wt.done(true) })
			continue
		}
		rest = append(rest, wt)
	}
	n.waiters = rest
	n.arm()
}

func (n *modelNode) arm() {
	wake := min(n.core.next(), time.Hour)
	next := time.Duration(float64(wake)/(1+n.drift)) + time.Microsecond
	if next >= n.wakeAt && n.wakeAt > n.w.now {
		return
	}
	n.wakeAt = max(next, n.w.now)
	life := n.life
	n.w.after(n.wakeAt-n.w.now, func() { n.wake(life) })
}

func (n *modelNode) wake(life int) {
	if n.core == nil || n.life != life {
		return
	}
	if n.w.now < n.frozenUntil {
		n.w.after(n.frozenUntil-n.w.now+n.w.upTo(time.Millisecond), func() { n.wake(life) })
		return
	}
	if n.w.now >= n.wakeAt {
		n.wakeAt = 1 << 62
	}
	n.step()
}

// newWorld builds the run that a seed names.
func newWorld(seed uint64, mutants mutant.Set, storage volume.Mutant) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 0x616e7977)), seed: seed, mutants: mutants,
		trace: func(string, ...any) {},
	}
	w.oracle = newOracle(w)
	w.net = network{
		loss: []float64{0, 0.01, 0.08}[w.rng.IntN(3)],
		dup:  []float64{0, 0.05}[w.rng.IntN(2)],
		slow: []float64{0, 0.02, 0.15}[w.rng.IntN(3)],
		cut:  map[[2]fabric.Addr]bool{},
		late: map[[2]fabric.Addr]time.Duration{},
	}
	// A run with few kinds of fault meets deep combinations of those more often
	// than one with all of them.
	for kind := range faultKinds {
		for range []int{0, 1, 1, 3}[w.rng.IntN(4)] {
			w.mix = append(w.mix, kind)
		}
	}
	if len(w.mix) == 0 {
		w.mix = []int{freezeFault, killFault, partitionFault}
	}
	if seed%3 == 0 {
		w.horizon = 24
	}
	w.fetchLimit = []int{4, 64}[w.rng.IntN(2)]
	count := []int{3, 3, 3, 5, 2, 1}[w.rng.IntN(6)]
	var members []message.NodeID
	for i := range count {
		members = append(members, message.NodeID(i+1))
		w.nodes = append(w.nodes, &modelNode{w: w, id: members[i], drift: (w.rng.Float64() - 0.5) * 0.08})
	}
	// The atomic volume is faster and holds only what the rules say; the real one
	// adds everything that lies between an append and its durability. The atomic one
	// also lets a minority's votes pass with that mutant, which the real one checks.
	if storage == 0 && (seed%2 == 0 || mutants.Has(mutant.MinorityQuorum)) {
		w.volume = newAtomicVolume(w, members)
	} else {
		w.volume = newRealVolume(w, members, storage)
	}
	for _, n := range w.nodes {
		w.after(w.upTo(5*time.Millisecond), n.start)
	}
	return w
}

// The kinds of fault.
const (
	freezeFault = iota
	killFault
	partitionFault
	storageFault
	mendFault
	lagFault
	deafFault
	impostorFault
	slanderFault
	faultKinds

	rebirthFault // too special for the mix of a run, there for one mutant
)

// faults plays one fault and plans the next.
func (w *world) faults() {
	if w.healing {
		return
	}
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	kind := w.mix[w.rng.IntN(len(w.mix))]
	w.trace("%v fault %d at node %d", w.now, kind, n.id)
	switch kind {
	case freezeFault:
		if n.core != nil {
			n.frozenUntil = max(n.frozenUntil, w.now+20*time.Millisecond+w.upTo(600*time.Millisecond))
		}
	case killFault:
		if n.core != nil {
			n.kill()
			w.after(w.upTo([]time.Duration{5 * time.Millisecond, 400 * time.Millisecond}[w.rng.IntN(2)]), func() { w.revive(n) })
		}
	case partitionFault:
		w.partition(n)
	case storageFault:
		w.volume.restartStorage(w.rng)
	case mendFault:
		clear(w.net.cut)
	case impostorFault: // somebody else takes a life in the node's name, or tries
		if n.core != nil {
			w.send(nodeAddr(n.id), headAddr(), message.FenceRequest{
				Node: n.id, Expect: n.core.inc - message.Incarnation(w.rng.IntN(2)), BootID: w.rng.Uint64(),
			})
		}
	case slanderFault: // a peer thinks that a node is dead, and says so
		if n.core != nil {
			n.released(nodeAddr(w.nodes[w.rng.IntN(len(w.nodes))].id), n.core.life)
		}
	case deafFault:
		w.deafen(n)
	case rebirthFault:
		w.rebirth(n)
	case lagFault:
		if n.core != nil {
			n.core.replica.SetLag([]time.Duration{0, 5 * time.Millisecond, 60 * time.Millisecond}[w.rng.IntN(3)])
		}
	}
	w.after(w.upTo(120*time.Millisecond), w.faults)
}

// deafen makes a node hear its storage nodes late and nobody else: it can learn of
// nothing new while its leases still come, or have just come.
func (w *world) deafen(n *modelNode) {
	late := []time.Duration{0, 60 * time.Millisecond, 120 * time.Millisecond}[w.rng.IntN(3)]
	for id := message.StorageID(1); id <= 6; id++ {
		w.impair(storageAddr(id), nodeAddr(n.id), late)
	}
	w.after(w.upTo(100*time.Millisecond), func() {
		w.impair(headAddr(), nodeAddr(n.id), 0)
		for _, o := range w.nodes {
			w.impair(nodeAddr(o.id), nodeAddr(n.id), 0)
		}
	})
	w.after(250*time.Millisecond+w.upTo(150*time.Millisecond), func() {
		clear(w.net.cut)
		clear(w.net.late)
	})
}

// rebirth gives a node two lives in quick succession while its storage nodes' answers
// come late, so that grants of the first one reach the second, which soon hears
// nobody else.
func (w *world) rebirth(n *modelNode) {
	for id := message.StorageID(1); id <= 6; id++ {
		w.impair(storageAddr(id), nodeAddr(n.id), 60*time.Millisecond+w.upTo(60*time.Millisecond))
	}
	again := func() {
		if n.core != nil {
			n.kill()
		}
		w.after(w.upTo(2*time.Millisecond), func() { w.revive(n) })
	}
	again()
	second := 15*time.Millisecond + w.upTo(70*time.Millisecond)
	w.after(second, again)
	w.after(second+5*time.Millisecond+w.upTo(60*time.Millisecond), func() {
		w.impair(headAddr(), nodeAddr(n.id), 0)
		for _, o := range w.nodes {
			w.impair(nodeAddr(o.id), nodeAddr(n.id), 0)
		}
	})
	w.after(second+250*time.Millisecond, func() {
		clear(w.net.cut)
		clear(w.net.late)
	})
}

func (w *world) revive(n *modelNode) {
	if n.core == nil {
		n.start()
	}
}

// partition cuts a node from some of what it talks to, one way or both, for a
// while; or makes these links late.
func (w *world) partition(n *modelNode) {
	self := nodeAddr(n.id)
	var others []fabric.Addr
	what := w.rng.IntN(5)
	if what == 0 || what == 3 {
		for _, o := range w.nodes {
			others = append(others, nodeAddr(o.id))
		}
	}
	if what == 1 || what == 3 {
		for id := message.StorageID(1); id <= 6; id++ {
			others = append(others, storageAddr(id))
		}
	}
	if what == 2 || what == 3 {
		others = append(others, headAddr())
	}
	if what == 4 { // one storage node loses the head and its peers' company
		self = storageAddr(message.StorageID(1 + w.rng.IntN(6)))
		others = append(others, headAddr())
		for _, o := range w.nodes {
			others = append(others, nodeAddr(o.id))
		}
	}
	out, in := w.rng.IntN(3) > 0, w.rng.IntN(3) > 0
	var late time.Duration
	if w.rng.IntN(3) == 0 {
		late = 40*time.Millisecond + w.upTo(120*time.Millisecond)
	}
	for _, o := range others {
		if out {
			w.impair(self, o, late)
		}
		if in {
			w.impair(o, self, late)
		}
	}
	w.after(w.upTo(500*time.Millisecond), func() {
		clear(w.net.cut)
		clear(w.net.late)
	})
}

// impair makes one direction late, or cuts it.
func (w *world) impair(from, to fabric.Addr, late time.Duration) {
	if late > 0 {
		w.net.late[[2]fabric.Addr{from, to}] = late
		return
	}
	w.net.cut[[2]fabric.Addr{from, to}] = true
}

// run plays a whole search run: load under faults, healing, and the checks of the
// end. It gives the first violation, or "".
func (w *world) run(length time.Duration) string {
	w.after(20*time.Millisecond, w.faults)
	for range 2 + w.rng.IntN(5) {
		w.clients++
		w.after(w.upTo(10*time.Millisecond), w.client(w.clients))
	}
	w.runUntil(length)
	w.healing = true
	w.volume.heal()
	clear(w.net.cut)
	for _, n := range w.nodes {
		n.frozenUntil = min(n.frozenUntil, w.now)
		w.revive(n)
		n.core.replica.SetLag(0)
	}
	healed := w.now
	w.runUntil(healed + 3*time.Second)
	w.oracle.progress(healed)
	w.clients = 0 // clients stop at their next transaction
	w.runUntil(w.now + 2*time.Second)
	w.oracle.end()
	return w.oracle.violation
}

func (w *world) String() string {
	return fmt.Sprintf("seed %d: %d nodes, loss %v, dup %v, slow %v, %d LSNs, %d events, %v virtual",
		w.seed, len(w.nodes), w.net.loss, w.net.dup, w.net.slow, len(w.volume.records()), w.events, w.now)
}

// upTo draws a duration in [0, d).
func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(d)))
}
