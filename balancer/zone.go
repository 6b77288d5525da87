package balancer

// Zone takes candidates in the client's own zone, by P2C's two choices, and
// looks at all zones only when the own one has nobody to spare: its nodes are
// down or suspected, starting slowly, overloaded (three quarters of their Limit
// in flight), have refused a connection within the last second, or the one
// chosen is more than ten times slower than the best of all. Then P2C chooses
// among all that have room, so that only the excess leaves the zone. It looks at
// latencies as P2C does. Use it where crossing zones costs time or money.
type Zone struct{}

// Name returns "zone".
func (Zone) Name() string { return "zone" }

// Pick returns a candidate of the own zone, or of any.
func (Zone) Pick(v *View, r Request) int {
	near, admitted := r, false
	for _, i := range v.local {
		if r.Excluded.Has(i) {
			continue
		}
		switch c := &v.candidates[i]; {
		case !c.hasRoom(r.NowNanos):
			near.Excluded.add(i)
		case c.admitsLocal(r, i):
			admitted = true
		}
	}
	if admitted { // else all that have room are starting slowly
		if i := v.twoChoices(v.local, near); !v.slow(i, r) {
			r.Trace.reach(ReachOwn)
			return i
		}
	}
	return v.spill(r)
}

// spill picks from all zones.
func (v *View) spill(r Request) int {
	far := r
	for _, i := range v.pool {
		if c := &v.candidates[i]; !c.hasRoom(r.NowNanos) || c.Local && !c.admitsLocal(r, i) {
			far.Excluded.add(i)
		}
	}
	if free(v.pool, &far.Excluded) == 0 {
		far = r // better one without room than none
	}
	i := P2C{}.Pick(v, far)
	if i != None {
		r.Trace.reach(ReachSpilled)
	}
	return i
}

// hasRoom reports whether c is likely to serve one more operation at once. A
// quarter of the limit is kept for what other rules send: keys, hints,
// transactions that go on.
func (c *Candidate) hasRoom(nowNanos int64) bool {
	return (c.Limit <= 0 || 4*c.Load.InFlight() < 3*c.Limit) && !c.Load.penalised(nowNanos)
}

// admitsLocal reports whether the slow start of candidate i lets this operation
// stay in its zone.
func (c *Candidate) admitsLocal(r Request, i int) bool {
	return c.Weight >= 1 || c.admits(mix(r.Seq, r.Seed, uint64(2+i)))
}
