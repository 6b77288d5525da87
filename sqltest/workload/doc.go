// Package workload puts a database under load whose result can be judged: bank,
// counter, unique ids and registers. Each records its history and hands it,
// with the final tables, to an oracle of package check.
//
// It owns the clients: their number, pace and random choices, all from a seed.
// It never retries on its own (that is the runner's business, see TxFunc),
// injects no faults, and waits only by package time's timers, so it runs inside
// testing/synctest.
//
// Open config.go first, then bank.go; engine.go runs the clients, stats.go is
// what can be watched meanwhile.
package workload
