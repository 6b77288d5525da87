package node_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/node"
)

// One client, three nodes, no latency configured: what a strict commit costs.
func BenchmarkCommit(b *testing.B) {
	bed := newBed(b, 3, node.Strict, fabric.Link{})
	defer bed.close()
	b.ReportAllocs()
	i := int32(0)
	for b.Loop() {
		i++
		if _, err := set(bed.nodes[0], i%100, i); err != nil {
			b.Fatal(err)
		}
	}
}

// Sixteen clients on their own rows, spread over the nodes.
func BenchmarkCommitParallel(b *testing.B) {
	bed := newBed(b, 3, node.Strict, fabric.Link{})
	defer bed.close()
	b.ReportAllocs()
	b.SetParallelism(8)
	var ids atomic.Int32
	b.RunParallel(func(pb *testing.PB) {
		id := ids.Add(1)
		n := bed.nodes[int(id)%3]
		for pb.Next() {
			if _, err := set(n, id, id); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// A statement's own cost beside the rows: snapshot and stability.
func BenchmarkSnapshot(b *testing.B) {
	bed := newBed(b, 3, node.Strict, fabric.Link{})
	defer bed.close()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		s, err := bed.nodes[0].Snapshot(ctx)
		require.NoError(b, err)
		if err := bed.nodes[0].WaitStable(ctx, s); err != nil {
			b.Fatal(err)
		}
	}
}
