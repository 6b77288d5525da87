package cluster

import (
	"context"
	"time"
)

// resetTimeout bounds the clean-up of a server session. It takes one round
// trip; a server that needs longer loses the connection instead.
const resetTimeout = 2 * time.Second

// resetInBackground undoes what a checkout left in its server session and then
// gives the connection back. Nobody waits for it.
func (c *Cluster) resetInBackground(l lease) {
	// Ends after one round trip or resetTimeout.
	started := c.background.start(func() {
		ctx, cancel := context.WithTimeout(context.Background(), resetTimeout)
		defer cancel()
		if err := l.phys.reset(ctx); err != nil {
			l.phys.destroy() // its state is unknown: nobody may meet it
		}
		l.giveBack()
	})
	if !started { // the cluster is closing: the pool won't keep it anyway
		l.phys.destroy()
		l.giveBack()
	}
}

// reset runs the engine's reset text by the simple protocol, which takes
// several commands in one round trip.
func (p *physical) reset(ctx context.Context) error {
	sql := p.node.profile.Load().Reset
	if p.prepared {
		// Names made by PREPARE would stay. Ours go with them, so the cache
		// must forget too.
		sql += "; deallocate all"
		p.stmts.Forget()
		p.stmts.Deallocated()
		p.prepared = false
	}
	_, err := p.pc.Exec(ctx, sql).ReadAll()
	return err
}
