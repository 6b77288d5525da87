package health

import (
	"math"
	"time"
)

const (
	// window is how many round trips the detector remembers: four seconds of
	// probes. Enough for a mean, short enough that a node that became slow is
	// known as slow after two or three probes.
	window = 16
	// suspectPhi and cutPhi are how improbable (10^-phi) a silence must be
	// before the node is suspected, or cut off.
	suspectPhi = 3
	cutPhi     = 8
	// A round trip's deviation is taken as at least 10 ms and a quarter of the
	// mean: sixteen equal samples don't mean that the seventeenth can't differ.
	minDeviation      = 10 * time.Millisecond
	minDeviationShare = 4

	// SuspectFloor: a probe is never late before that. 150 ms is more than any
	// healthy round trip inside a region, garbage collection included.
	SuspectFloor = 150 * time.Millisecond
	// CutFloor: a node is never cut off before that. With a probe every 250 ms
	// a frozen node is then cut off after 650 ms at most, so nobody waits 1 s;
	// a node that answers 200 ms late keeps a wide margin.
	CutFloor = 400 * time.Millisecond
	// Ceiling: after that much silence the node is cut off whatever its history
	// and its peers.
	Ceiling = 2 * time.Second
)

// Detector is a phi-accrual failure detector over the round trips of probes
// (N. Hayashibara et al., "The φ Accrual Failure Detector", SRDS 2004), with the
// normal distribution of that paper. The zero value knows nothing and uses the
// floors. It is a value and isn't safe for concurrent writing.
type Detector struct {
	samples [window]time.Duration
	count   int
	next    int
}

// Observe returns the detector after one more round trip.
func (d Detector) Observe(roundTrip time.Duration) Detector {
	d.samples[d.next] = max(roundTrip, 0)
	d.next = (d.next + 1) % window
	d.count = min(d.count+1, window)
	return d
}

// Phi returns how suspicious it is that a probe has been silent for so long:
// -log10 of the probability that an answer comes later still. It grows with the
// silence, and is at most 300.
func (d Detector) Phi(silence time.Duration) float64 {
	mean, deviation := d.distribution()
	later := 0.5 * math.Erfc((silence.Seconds()-mean)/(deviation*math.Sqrt2))
	if later < 1e-300 {
		return 300
	}
	return -math.Log10(later)
}

// SuspectAfter returns the silence after which a probe is late.
func (d Detector) SuspectAfter() time.Duration {
	return min(max(d.silenceAt(suspectPhi), SuspectFloor), Ceiling/2)
}

// CutAfter returns the silence after which a node may be cut off.
func (d Detector) CutAfter() time.Duration {
	return min(max(d.silenceAt(cutPhi), CutFloor), Ceiling)
}

// silenceAt is the inverse of Phi.
func (d Detector) silenceAt(phi float64) time.Duration {
	if d.count == 0 {
		return 0
	}
	mean, deviation := d.distribution()
	z := math.Sqrt2 * math.Erfcinv(2*math.Pow(10, -phi))
	return time.Duration((mean + z*deviation) * float64(time.Second))
}

// distribution returns mean and standard deviation in seconds.
func (d Detector) distribution() (mean, deviation float64) {
	for i := range d.count {
		mean += d.samples[i].Seconds()
	}
	mean /= max(float64(d.count), 1)
	for i := range d.count {
		diff := d.samples[i].Seconds() - mean
		deviation += diff * diff
	}
	deviation = math.Sqrt(deviation / max(float64(d.count), 1))
	return mean, max(deviation, minDeviation.Seconds(), mean/minDeviationShare)
}

// Mean returns the mean of the remembered round trips; zero without any.
func (d Detector) Mean() time.Duration {
	if d.count == 0 {
		return 0
	}
	mean, _ := d.distribution()
	return time.Duration(mean * float64(time.Second))
}
