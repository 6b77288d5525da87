package histogram

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestBucketsAreMonotonicAndTight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Uint64Range(1, 1<<32).Draw(t, "micros")
		b := bucketOf(micros)
		upper := upperMicros(b)
		require.GreaterOrEqual(t, upper, float64(micros))
		require.LessOrEqual(t, upper, 2*float64(micros))
		if micros >= 4 {
			require.LessOrEqual(t, upper, 1.25*float64(micros)+1)
		}
		require.LessOrEqual(t, b, bucketOf(micros+1))
	})
}

func TestQuantiles(t *testing.T) {
	var h, other Histogram
	var sum Sum
	require.Equal(t, []time.Duration{0, 0}, sum.Quantiles(0.5, 0.99))
	for i := range 50 {
		h.Record(time.Duration(2*i+1) * time.Millisecond)
		other.Record(time.Duration(2*i+2) * time.Millisecond)
	}
	h.Record(-time.Second)          // counts as the smallest
	other.Record(10000 * time.Hour) // counts as the largest
	sum.Add(&h)
	sum.Add(&other)
	q := sum.Quantiles(0, 0.5, 0.98, 1)
	require.Less(t, q[0], 3*time.Microsecond)
	require.InDelta(t, 50, q[1].Seconds()*1000, 15)
	require.InDelta(t, 98, q[2].Seconds()*1000, 20)
	require.Greater(t, q[3], time.Hour)
}
