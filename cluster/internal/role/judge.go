package role

// Verdict is the role that a node is given. It is comparable.
type Verdict struct {
	// Role and Reason are the node's.
	Role   Role
	Reason Reason
	// Chosen is the claim's.
	Chosen bool
	// By is the index of the node that has superseded it, and Old and New are the
	// timelines of both. They are set only if Role is Superseded.
	By       int
	Old, New uint32
}

// Judge gives node i its role. A node keeps its claim, except a writer that
// has the same System as another writer of a higher Timeline: that one was
// promoted, and whatever the first still takes is lost to it. Writers whose
// Timelines are equal or not known can't be told apart.
//
// A node that can't be reached any more keeps the claim that it made last: an old
// primary isn't right again because the new one is down.
func Judge(claims []Claim, i int) Verdict {
	c := claims[i]
	if newest := newest(claims, c); newest >= 0 {
		return Verdict{
			Role: Superseded, Reason: ReasonTimeline, By: newest,
			Old: c.Timeline, New: claims[newest].Timeline,
		}
	}
	return Verdict{Role: c.Role, Reason: c.Reason, Chosen: c.Chosen}
}

// newest returns the index of the writer that supersedes c, or -1. Of several it
// is the one of the highest timeline, the first of equals.
func newest(claims []Claim, c Claim) int {
	best, highest := -1, c.Timeline
	for i, other := range claims {
		if c.rival(other) && c.Timeline > 0 && other.Timeline > highest {
			best, highest = i, other.Timeline
		}
	}
	return best
}

// rival reports whether both nodes say that they are the writer of one and the
// same physical history.
func (c Claim) rival(other Claim) bool {
	return c.Role == Writer && other.Role == Writer && c.System != "" && c.System == other.System
}

// Rival returns the index of a node that says that it is the writer of the same
// physical history as node i, or -1. There should be none.
func Rival(claims []Claim, i int) int {
	for k, other := range claims {
		if k != i && claims[i].rival(other) {
			return k
		}
	}
	return -1
}
