package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster/internal/clock"
)

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.New()
		began := c.Nanos()
		require.Equal(t, time.Now().UnixNano(), began)
		require.True(t, c.Time(began).Equal(time.Now()))
		require.Equal(t, began-int64(time.Second), c.At(time.Now().Add(-time.Second)))
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, began+1_500_000_000, c.Nanos())
		require.Equal(t, 1500*time.Millisecond, c.Since(began))
		require.Equal(t, 1500*time.Millisecond, time.Since(c.Time(began)))
	})
}
