package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/workload"
)

// busyFrame is a frame with numbers of the size that a long run has.
func busyFrame(nodes int) frame {
	f := frame{
		flags: demoFlags{nodes: nodes, seed: 7, duration: 30 * time.Second},
		stats: workload.Stats{
			Elapsed: 2 * time.Second, Ops: 18_000, Retries: 999, P50: 700 * time.Microsecond, P99: 225700 * time.Microsecond,
			LongestGap: 230 * time.Millisecond, LongestWait: 590 * time.Millisecond,
		},
		log: 20_000,
	}
	for range nodes {
		f.nodes = append(f.nodes, simnode.Status{})
		f.cluster.Nodes = append(f.cluster.Nodes, cluster.NodeStats{
			Ops: 1000, Conflicts: 12345, Retries: 1234567, P50: 80 * time.Microsecond, P99: 225700 * time.Microsecond,
		})
	}
	return f
}

// TestScreenFits draws on terminals of several sizes, of which one shrinks between
// two drawings: all of a usual one is shown, and nothing ever scrolls.
func TestScreenFits(t *testing.T) {
	for _, c := range []struct{ nodes, columns, rows int }{{3, 80, 24}, {3, 140, 50}, {16, 80, 24}, {3, 20, 5}} {
		var out bytes.Buffer
		columns, rows := 200, 60
		s := &screen{w: &out, size: func() (int, int) { return columns, rows }}
		f := busyFrame(c.nodes)
		s.draw(f)
		columns, rows = c.columns, c.rows
		out.Reset()
		s.draw(f)
		text := strings.NewReplacer(cursorHome, "", clearLine, "", clearBelow, "").Replace(out.String())
		drawn := strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\n")
		require.Less(t, len(drawn), c.rows)
		for _, line := range drawn {
			require.LessOrEqual(t, len([]rune(line)), c.columns)
		}
		if c.columns >= 80 {
			for _, want := range []string{"999 retried", "longest wait 590ms", "conflicts retries\r\n", "1234567\r\n"} {
				require.Contains(t, text, want)
			}
		}
	}
}

// TestRates: the first drawing has a rate already.
func TestRates(t *testing.T) {
	var r rates
	f := busyFrame(1)
	require.Equal(t, []float64{500}, r.next(f))
	f.stats.Elapsed += time.Second
	f.cluster.Nodes = []cluster.NodeStats{{Ops: 1100}}
	require.Equal(t, []float64{100}, r.next(f))
}
