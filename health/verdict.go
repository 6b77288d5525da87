package health

import "time"

// Judgement is what a silence means. The zero value is Wait.
type Judgement uint8

const (
	// Wait: nothing unusual.
	Wait Judgement = iota
	// Late: suspect the node.
	Late
	// Frozen: cut the node off.
	Frozen
)

// String returns the name of j.
func (j Judgement) String() string {
	names := [...]string{"Wait", "Late", "Frozen"}
	if int(j) < len(names) {
		return names[j]
	}
	return "Wait"
}

// Outlook is what the other nodes look like while one is silent.
type Outlook struct {
	// Nodes is the number of nodes of the cluster, with the silent one if that is one.
	Nodes int
	// OthersServing is how many others are Up or Recovering.
	OthersServing int
	// OtherAnswered is true if another node sent a byte after the silence began:
	// then the trouble is the node's, not ours.
	OtherAnswered bool
}

// Judge says what a silence of a node means while a probe of it is unanswered.
// The silence is counted from the probe, from the last byte that the node sent
// on any socket (proof of life), or from the last moment at which our own
// process was found to have stood still, whichever is latest. A node is cut off
// only if another one answered meanwhile and at least half of all would still
// serve; except after Ceiling, when waiting longer helps nobody, and which is
// also the only bound in a cluster of one.
func Judge(silence time.Duration, d Detector, o Outlook) Judgement {
	switch {
	case silence >= Ceiling:
		return Frozen
	case silence >= d.CutAfter() && o.OtherAnswered && 2*o.OthersServing >= o.Nodes:
		return Frozen
	case silence >= d.SuspectAfter():
		return Late
	default:
		return Wait
	}
}

// NextCheck returns after how much silence Judge may say something new.
func NextCheck(silence time.Duration, d Detector) time.Duration {
	for _, bound := range []time.Duration{d.SuspectAfter(), d.CutAfter(), Ceiling} {
		if silence < bound {
			return bound
		}
	}
	return silence + suspectInterval
}
