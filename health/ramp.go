package health

import "time"

// RampDuration is the length of the slow start of a node that was down. Three
// seconds are enough to open its connections and warm its caches; after ten the
// node has its full share again.
const RampDuration = 3 * time.Second

// rampStart is the share that a node starts with: enough to notice that it
// fails, too little to hurt.
const rampStart = 0.1

// Weight returns the share in (0, 1] of its operations that a node gets, so long
// after it began to recover.
func Weight(sinceRecovery time.Duration) float64 {
	if sinceRecovery >= RampDuration {
		return 1
	}
	return max(rampStart, float64(sinceRecovery)/float64(RampDuration))
}
