// Package retry says when the next attempt may be made, and whether it may be
// made at all.
//
// It owns the full-jitter backoff (an implementation of backoff.BackOff of
// cenkalti/backoff/v4 with a seeded generator), the retry budget and the
// deadline rule. It never sleeps, never runs an operation and never looks at an
// error: whether an outcome allows a retry is decided by packages outcome and
// sqlstate. Open backoff.go first, then budget.go.
package retry
