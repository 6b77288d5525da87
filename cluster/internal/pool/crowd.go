package pool

import "time"

// A server that has no room for another connection is asked for one again after
// crowdPause, which doubles each time up to maxCrowdPause, and by one at a time.
// Otherwise everybody who finds no idle connection would ask, and be refused, while
// the connections that there are lie idle in between.
const (
	crowdPause    = 50 * time.Millisecond
	maxCrowdPause = 400 * time.Millisecond
)

// crowd is what is known of a server that had no room. Its zero value knows nothing.
// The pool's mutex guards it.
type crowd struct {
	answer error // the server's; nil if it had room when it was asked last
	until  int64 // when it may be asked again
	pause  time.Duration
}

// note notes how an attempt to open a connection has ended.
func (c *crowd) note(now int64, crowded bool, err error) {
	switch {
	case crowded:
		c.pause = min(max(2*c.pause, crowdPause), maxCrowdPause)
		c.answer, c.until = err, now+int64(c.pause)
	case err == nil:
		*c = crowd{}
	}
}

// refuses returns the server's last answer if it isn't to be asked now, while so many
// connections are being opened.
func (c *crowd) refuses(now int64, opening int) error {
	if c.answer != nil && (now < c.until || opening > 0) {
		return c.answer
	}
	return nil
}
