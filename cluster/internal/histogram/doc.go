// Package histogram counts latencies without a lock, for quantiles in
// statistics.
//
// It owns the Histogram and nothing else; it reads no clock and keeps no
// samples. Open histogram.go.
package histogram
