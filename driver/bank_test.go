package driver_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/workload"
)

var (
	bankSeed = flag.Uint64("bank.seed", 0, "run the bank with this seed only")
	long     = flag.Bool("long", false, "run the long searches")
)

// bankSeeds are the seeds of a run: the asked one, a few, or with -long many.
func bankSeeds() []uint64 {
	n := 3
	if *long {
		n = 200
	}
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	if *bankSeed != 0 {
		return []uint64{*bankSeed}
	}
	return seeds
}

// TestBankInVirtualTime moves money through the driver while nodes are killed,
// frozen, cut off from the others and cut off from everybody: all in one bubble
// of virtual time, from a seed.
func TestBankInVirtualTime(t *testing.T) {
	for _, seed := range bankSeeds() {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{InMemory: true, Seed: seed, Latency: 200 * time.Microsecond, Jitter: 100 * time.Microsecond})
				bank(t, sim, true, seed, 20*time.Second, fmt.Sprintf("go test ./driver -run TestBankInVirtualTime -bank.seed %d", seed))
			})
		})
	}
}

// TestBankOverTCP is the same over sockets and in real time.
func TestBankOverTCP(t *testing.T) {
	const seed = 11
	sim := startSim(t, simnode.Config{Seed: seed})
	bank(t, sim, false, seed, 6*time.Second, "go test ./driver -run TestBankOverTCP")
}

// bank runs the workload under every kind of fault and holds the promises: money
// conserved, nothing acknowledged lost, nothing applied twice, no operation failed
// that could have run elsewhere.
func bank(t *testing.T, sim *simnode.Sim, inMemory bool, seed uint64, duration time.Duration, replay string) {
	ctx, cancel := context.WithTimeout(context.Background(), duration+time.Minute)
	defer cancel()
	dsn, timeout := sim.DSN(), time.Duration(0)
	if !inMemory { // a starved machine must not look like a failure
		dsn, timeout = patient(dsn), 20*time.Second
	}
	cfg, err := driver.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.Seed = seed
	if inMemory {
		cfg.DialFunc = sim.Dial
	}
	db := sql.OpenDB(driver.NewConnector(cfg))
	defer func() { require.NoError(t, db.Close()) }()

	b, err := workload.NewBank(workload.BankConfig{Config: workload.Config{
		DB: db, Seed: seed, Clients: 8, Rate: 25, Duration: duration, Timeout: timeout, Tx: runTx, Replay: replay,
	}})
	require.NoError(t, err)
	require.NoError(t, b.Setup(ctx))
	schedule, err := simnode.NewSchedule(sim, simnode.Plan(duration, len(sim.Nodes()), seed, simnode.AllFaults()...))
	require.NoError(t, err)
	var joined sync.WaitGroup
	joined.Go(func() { schedule.Play(ctx) })
	require.NoError(t, b.Run(ctx))
	joined.Wait()
	require.NoError(t, sim.WaitReady(ctx))
	require.NoError(t, b.Verify(ctx))

	stats := b.Stats()
	t.Logf("%d operations, %d unknown, %d retried, longest gap %v, longest wait %v", stats.Ops, stats.Unknown, stats.Retries, stats.LongestGap, stats.LongestWait)
	require.Zero(t, stats.SafeFailures, "replay: %s", replay)
	require.Positive(t, stats.OK)
	if inMemory { // real time depends on what else the machine does
		// A silence is found within 700 ms; what the node had reserved may then
		// cost some waits between attempts, of up to 250 ms each.
		require.Less(t, stats.LongestWait, 1250*time.Millisecond, "replay: %s", replay)
	}
	for _, f := range schedule.Faults() {
		require.True(t, f.Fired && f.Healed, "%v", f)
	}
}

// runTx is the driver's transaction runner as the workloads take it.
func runTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(ctx context.Context, tx *sql.Tx) error) error {
	var options driver.TxOptions
	if opts != nil {
		options.TxOptions = *opts
	}
	return driver.RunTx(ctx, db, &options, fn)
}
