package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/health"
)

// pingTimeout bounds what one node may take to answer a Ping before the next
// is asked: a second is longer than any healthy answer and than the detector
// needs to find a frozen node.
const pingTimeout = time.Second

// Ping returns nil if one node that takes writes answers before the context or
// acquire_timeout ends, and otherwise an error with one line per node.
func (c *Cluster) Ping(ctx context.Context) error {
	var avoid balancer.Set
	var causes []error
	began := c.clock.Nanos()
	for range c.nodes {
		l, err := c.acquire(ctx, want{avoid: avoid}, nil)
		if err != nil {
			return err
		}
		if err = l.ping(ctx); err == nil {
			return nil
		}
		l.node.lastError.Store(&err)
		causes = append(causes, err)
		avoid = avoid.With(l.node.index)
		if ctx.Err() != nil {
			break
		}
	}
	return c.noNode(c.clock.Since(began), ctx.Err(), causes)
}

// ping makes a round trip, asks whether writes are taken, and gives the lease
// back.
func (l *lease) ping(ctx context.Context) (err error) {
	defer l.release(false)
	defer func() {
		if err != nil && ctx.Err() == nil {
			l.settle(health.BreakerFailure)
		}
	}()
	l.node.cluster.events.picked(l.node)
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	claim, err := l.node.ask(ctx, l.phys.pc)
	if err == nil && claim.Role != role.Writer {
		err = fmt.Errorf("takes no writes: %v", claim.Reason)
	}
	return err
}

// Ping asks the server of a session in use, or, if it holds no server
// connection, whether any node answers.
func (s *Session) Ping(ctx context.Context) error {
	if !s.lease.held() && s.lost == nil {
		return s.cluster.Ping(ctx)
	}
	_, err := s.Exec(ctx, "-- ping", nil)
	return err
}
