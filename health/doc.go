// Package health finds out which nodes can be given work.
//
// It owns the state of every node: the pure machine that moves it (state.go,
// event.go, step.go), the phi-accrual detector (phi.go), the rules for cutting a
// frozen node off (verdict.go), the slow start (ramp.go) and the breaker
// (breaker.go); and the shells that feed them: one prober per node (prober.go)
// and one monitor that owns all machines (monitor.go). It never speaks a
// protocol: probing, cutting and allowing a node are functions that the caller
// injects, and it knows nothing of pools, SQL or balancing. Open state.go first,
// then monitor.go.
package health
