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
// several commands in one round trip, and lets the application set up again
// what it sets up on every connection.
func (p *physical) reset(ctx context.Context) error {
	if _, err := p.pc.Exec(ctx, p.node.profile.Load().Reset).ReadAll(); err != nil {
		return err
	}
	if p.prepared {
		// Names made by PREPARE would stay. Ours and those of pgx's own caches,
		// which Raw uses, go with them, so all must forget.
		p.prepared = false
		if err := p.conn.DeallocateAll(ctx); err != nil {
			return err
		}
		p.stmts.Forget()
		p.stmts.Deallocated()
	}
	p.dropNotifications()
	return p.node.hooks.AfterConnect(ctx, p.conn)
}

// dropNotifications forgets the notifications that pgx has kept for whoever
// was listening.
func (p *physical) dropNotifications() {
	over, cancel := context.WithCancel(context.Background())
	cancel() // nothing is waited for: only those that have arrived are returned
	for {
		if _, err := p.conn.WaitForNotification(over); err != nil {
			return
		}
	}
}
