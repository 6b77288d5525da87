package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// size is the number of buckets.
const size = 4 * 33

// Histogram counts durations in buckets of a quarter of a power of two of
// microseconds, up to more than an hour. It takes no lock; a reader that runs
// beside writers may miss the latest samples. The zero value is empty.
type Histogram struct {
	buckets [size]atomic.Uint64
}

// Record counts one duration; durations below a microsecond count as one.
func (h *Histogram) Record(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d/time.Microsecond, 1)))].Add(1)
}

// bucketOf returns the bucket for a number of microseconds, at least 1.
func bucketOf(micros uint64) int {
	exponent := bits.Len64(micros) - 1
	quarter := 0
	if exponent >= 2 {
		quarter = int(micros>>(exponent-2)) & 3
	} else if exponent == 1 {
		quarter = int(micros&1) * 2
	}
	return min(4*exponent+quarter, size-1)
}

// upperMicros returns the upper end of a bucket.
func upperMicros(bucket int) float64 {
	base := float64(uint64(1) << (bucket / 4))
	return base * (1 + float64(bucket%4+1)/4)
}

// Sum adds histograms up. The zero value is empty. It isn't safe for concurrent use.
type Sum struct {
	counts [size]uint64
	total  uint64
}

// Add adds what has been recorded so far.
func (s *Sum) Add(h *Histogram) {
	for i := range h.buckets {
		n := h.buckets[i].Load()
		s.counts[i] += n
		s.total += n
	}
}

// Quantiles returns the upper ends of the buckets that hold the given
// quantiles (0 to 1, ascending); zeros without samples.
func (s *Sum) Quantiles(qs ...float64) []time.Duration {
	out := make([]time.Duration, len(qs))
	if s.total == 0 {
		return out
	}
	for k, q := range qs {
		rank, seen := uint64(q*float64(s.total-1))+1, uint64(0)
		for i, n := range s.counts {
			if seen += n; seen >= rank {
				out[k] = time.Duration(upperMicros(i) * float64(time.Microsecond))
				break
			}
		}
	}
	return out
}
