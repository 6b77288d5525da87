package driver

import (
	"context"

	"github.com/anywriter/anywriter/cluster"
)

// WithNode asks for one node by its address; see cluster.WithNode.
func WithNode(ctx context.Context, addr string) context.Context { return cluster.WithNode(ctx, addr) }

// WithKey keeps operations with the same key on one node and lets them run one
// at a time, in the order in which they came; see cluster.WithKey.
func WithKey(ctx context.Context, key string) context.Context { return cluster.WithKey(ctx, key) }

// RefusedCredential tells BeforeConnect why it is asked again; see
// cluster.RefusedCredential.
func RefusedCredential(ctx context.Context) error { return cluster.RefusedCredential(ctx) }

// WithIdempotent says that running a statement twice does no harm; see
// cluster.WithIdempotent.
func WithIdempotent(ctx context.Context) context.Context { return cluster.WithIdempotent(ctx) }

// WithReadOnly says that a statement changes nothing; see
// cluster.WithReadOnly.
func WithReadOnly(ctx context.Context) context.Context { return cluster.WithReadOnly(ctx) }

// WithCommit says that a statement is the last one of its transaction; see
// cluster.WithCommit.
func WithCommit(ctx context.Context) context.Context { return cluster.WithCommit(ctx) }
