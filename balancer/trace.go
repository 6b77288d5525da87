package balancer

// Rule says what decided about a choice. The zero value is RuleNone.
type Rule uint8

const (
	// RuleNone: nobody could be picked.
	RuleNone Rule = iota
	// RuleOnly: nobody else could be picked.
	RuleOnly
	// RuleCheaper: of two drawn at random, latency × (in flight + 1) was lower.
	RuleCheaper
	// RuleFewer: of two drawn at random with about the same latency, it had fewer
	// operations in flight.
	RuleFewer
	// RuleDrawn: of two drawn at random that cost the same, it was the first.
	RuleDrawn
	// RuleSlowStart: of two drawn at random, the other one has just come back and
	// let this operation pass.
	RuleSlowStart
	// RuleExplore: it is far slower than the best, and it is time to look again.
	RuleExplore
	// RuleFastest: the one that was drawn is far slower, so the fastest of all is
	// taken.
	RuleFastest
	// RuleTurn: it was its turn.
	RuleTurn
	// RuleLeast: of all, it had the fewest operations in flight; chance decided
	// between equals.
	RuleLeast
	// RuleShare: it was its turn by its share.
	RuleShare
	// RuleRandom: it was drawn at random.
	RuleRandom
	// RuleKey: of those that could be picked, it is the first for the operation's
	// key.
	RuleKey
	// RuleNextForKey: those that come first for the operation's key are
	// overloaded or far slower, refused a connection just now, or have just come
	// back.
	RuleNextForKey
)

// String says the rule in a few words, fit for a message.
func (r Rule) String() string {
	names := [...]string{
		"none could be picked", "the only one that could be picked", "the cheaper of two drawn at random",
		"the one of two alike with less in flight", "the first of two equals drawn at random",
		"the other one drawn is starting slowly", "far slower than the best, to see whether it still is",
		"the fastest, since the one drawn is far slower", "its turn", "the one with the fewest in flight",
		"its turn by weight", "drawn at random", "the first for its key",
		"the next for its key, since the first is overloaded, failing, slow or starting slowly",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return names[RuleNone]
}

// Other says in a few words what the rule made of a candidate that it didn't
// choose; compared says whether it was one of the two in Drawn.
func (r Rule) Other(compared bool) string {
	switch {
	case r == RuleTurn || r == RuleShare:
		return "not its turn"
	case r == RuleLeast:
		return "not fewer in flight, or failing, slow or starting slowly"
	case r == RuleKey:
		return "later for the key"
	case r == RuleNextForKey:
		return "later for the key, or overloaded, failing, slow or starting slowly"
	case compared:
		return "drawn as well"
	default:
		return "not drawn"
	}
}

// Reach says how far a picker that knows zones looked. The zero value is
// ReachAll.
type Reach uint8

const (
	// ReachAll: zones didn't matter.
	ReachAll Reach = iota
	// ReachOwn: only the client's own zone was looked at.
	ReachOwn
	// ReachSpilled: the own zone had no node to spare.
	ReachSpilled
)

// String completes the words of a Rule.
func (r Reach) String() string {
	switch r {
	case ReachOwn:
		return ", in the own zone"
	case ReachSpilled:
		return ", of all zones because the own one has none to spare"
	default:
		return ""
	}
}

// Drawn is one of two candidates that were compared. Latency and operations in
// flight are those of that moment, and zero if they weren't looked at.
type Drawn struct {
	// Index is the candidate's.
	Index int
	// LatencyMicros is the latency that counted, in microseconds.
	LatencyMicros float64
	// InFlight is the number of operations in flight.
	InFlight int64
}

// Trace is what a picker notes about its last choice. Its zero value is ready
// for use. The methods do nothing on a nil Trace.
type Trace struct {
	// Rule is what decided.
	Rule Rule
	// Reach is which zones were looked at.
	Reach Reach
	// Compared says whether two candidates were compared: those in Drawn.
	Compared bool
	// Drawn holds the two, in the order in which they were drawn.
	Drawn [2]Drawn
}

// String says what decided, in words fit for a message.
func (t *Trace) String() string { return t.Rule.String() + t.Reach.String() }

// note notes a choice for which nothing was compared.
func (t *Trace) note(rule Rule) {
	if t != nil {
		t.Rule, t.Reach, t.Compared = rule, ReachAll, false
	}
}

// draw notes a comparison.
func (t *Trace) draw(rule Rule, a, b Drawn) {
	if t != nil {
		t.Rule, t.Reach, t.Compared, t.Drawn = rule, ReachAll, true, [2]Drawn{a, b}
	}
}

// reach notes which zones the choice just noted was made from.
func (t *Trace) reach(r Reach) {
	if t != nil {
		t.Reach = r
	}
}

// decide notes that another rule has had the last word.
func (t *Trace) decide(rule Rule) {
	if t != nil {
		t.Rule = rule
	}
}
