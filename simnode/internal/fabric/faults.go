package fabric

import "sync"

// override is one SetLink that has not been undone; the last one wins.
type override struct{ cfg Link }

// SetLink replaces what joins from → to (this direction only). undo takes this
// setting away again: the link is then as the newest setting still in force
// says. It panics if cfg is not valid: check a user's values with Link.Validate.
//
// Every fault of this package takes effect before its call returns, may overlap
// any other, and returns an undo that is idempotent and safe for concurrent use.
func (f *Fabric) SetLink(from, to Addr, cfg Link) (undo func()) {
	if err := cfg.Validate(); err != nil {
		panic("fabric.SetLink: " + err.Error())
	}
	k, o := keyOf(from, to), &override{cfg}
	return f.fault(func() {
		f.overrides[k] = append(f.overrides[k], o)
	}, func() {
		list := f.overrides[k]
		for i := range list {
			if list[i] == o {
				f.overrides[k] = append(list[:i:i], list[i+1:]...)
				break
			}
		}
	})
}

// Partition swallows everything between the two groups, in both directions.
func (f *Fabric) Partition(a, b []Addr) (undo func()) {
	return f.cut(append(pairsOf(a, b), pairsOf(b, a)...))
}

// PartitionOneWay swallows everything that from sends to to; the other direction
// works.
func (f *Fabric) PartitionOneWay(from, to []Addr) (undo func()) {
	return f.cut(pairsOf(from, to))
}

func pairsOf(from, to []Addr) []linkKey {
	var out []linkKey
	for _, a := range from {
		for _, b := range to {
			if a != b {
				out = append(out, keyOf(a, b))
			}
		}
	}
	return out
}

func (f *Fabric) cut(keys []linkKey) (undo func()) {
	return f.fault(func() {
		for _, k := range keys {
			f.cuts[k]++
		}
	}, func() {
		for _, k := range keys {
			count(f.cuts, k, -1)
		}
	})
}

// Isolate swallows everything between addr and all others.
func (f *Fabric) Isolate(addr Addr) (undo func()) {
	return f.counted(f.isolated, addr)
}

// Freeze stops addr as SIGSTOP stops a process: its messages and bytes, and
// those to it, are held and go on in order when it is thawed; dials to it
// succeed, as a kernel's backlog takes them, and get no reply. A recv that is
// running goes on to its end.
func (f *Fabric) Freeze(addr Addr) (thaw func()) {
	return f.counted(f.frozen, addr)
}

// Down makes addr a host without a process: dials to it are refused, its
// connections are reset at once and the messages to and from it are lost, also
// those that were held or queued for it.
func (f *Fabric) Down(addr Addr) (undo func()) {
	undo = f.counted(f.down, addr)
	f.sever(func(a, b Addr) bool { return a == addr || b == addr })
	return undo
}

// Reset resets every connection between a and b at once; both ends see
// ECONNRESET. New ones can be made, so there is nothing to undo: undo does
// nothing and is there because every fault has one.
func (f *Fabric) Reset(a, b Addr) (undo func()) {
	f.sever(func(x, y Addr) bool { return x == a && y == b || x == b && y == a })
	return func() {}
}

func (f *Fabric) sever(match func(a, b Addr) bool) {
	f.mu.RLock()
	conns := f.connsLocked(match)
	f.mu.RUnlock()
	for _, c := range conns {
		c.sever()
	}
}

func (f *Fabric) counted(m map[Addr]int, addr Addr) (undo func()) {
	return f.fault(func() { m[addr]++ }, func() { count(m, addr, -1) })
}

func count[K comparable](m map[K]int, k K, by int) {
	if m[k] += by; m[k] <= 0 {
		delete(m, k)
	}
}

// fault does apply now and revert at the first undo, each under mu.
func (f *Fabric) fault(apply, revert func()) (undo func()) {
	f.change(apply)
	var once sync.Once
	return func() { once.Do(func() { f.change(revert) }) }
}

func (f *Fabric) change(edit func()) {
	f.mu.Lock()
	edit()
	for _, l := range f.links {
		f.recomputeLocked(l)
	}
	for addr, in := range f.inboxes {
		in.setPaused(f.frozen[addr] > 0)
		if f.down[addr] > 0 {
			in.clear()
		}
	}
	f.releaseHeldLocked()
	f.broadcastLocked()
	conns := f.connsLocked(func(_, _ Addr) bool { return true })
	f.mu.Unlock()
	for _, c := range conns {
		c.wake()
	}
}

func (f *Fabric) recomputeLocked(l *link) {
	k, cfg := keyOf(l.from, l.to), f.cfg.Link
	if list := f.overrides[k]; len(list) > 0 {
		cfg = list[len(list)-1].cfg
	}
	alone := l.from != l.to && (f.isolated[l.from] > 0 || f.isolated[l.to] > 0)
	cut := cfg.BlackHole || alone || f.cuts[k] > 0
	l.set(cfg, cut, cut || f.frozen[l.from] > 0 || f.frozen[l.to] > 0)
}

// releaseHeldLocked sends on what thawed addresses had sent, and drops what
// addresses that went down had.
func (f *Fabric) releaseHeldLocked() {
	f.heldMu.Lock()
	free := map[Addr][]heldMessage{}
	for from, list := range f.held {
		if f.frozen[from] == 0 || f.down[from] > 0 {
			free[from] = list
			delete(f.held, from)
		}
	}
	f.heldMu.Unlock()
	for from, list := range free {
		for _, m := range list {
			f.linkLocked(from, m.to)
			f.routeLocked(from, m.to, m.payload)
		}
	}
}

// broadcastLocked wakes whoever waits on changed.
func (f *Fabric) broadcastLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// changes gives a channel that is closed at the next change of a fault.
func (f *Fabric) changes() <-chan struct{} {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.changed
}
