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
)

// String says the rule in a few words, fit for a message.
func (r Rule) String() string {
	names := [...]string{
		"none could be picked", "the only one that could be picked", "the cheaper of two drawn at random",
		"the one of two alike with less in flight", "the first of two equals drawn at random",
		"the other one drawn is starting slowly", "far slower than the best, to see whether it still is",
		"the fastest, since the one drawn is far slower", "its turn",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return names[RuleNone]
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
	// Compared says whether two candidates were compared: those in Drawn.
	Compared bool
	// Drawn holds the two, in the order in which they were drawn.
	Drawn [2]Drawn
}

// note notes a choice for which nothing was compared.
func (t *Trace) note(rule Rule) {
	if t != nil {
		t.Rule, t.Compared = rule, false
	}
}

// draw notes a comparison.
func (t *Trace) draw(rule Rule, a, b Drawn) {
	if t != nil {
		t.Rule, t.Compared, t.Drawn = rule, true, [2]Drawn{a, b}
	}
}

// decide notes that another rule has had the last word.
func (t *Trace) decide(rule Rule) {
	if t != nil {
		t.Rule = rule
	}
}
