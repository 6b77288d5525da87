package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/workload"
)

// The load of the demo: enough to see every node work, little enough that two
// cores serve clients, driver, nodes and storage without falling behind.
const (
	demoClients  = 12
	demoRate     = 25 // operations per second and client
	demoAccounts = 40
	settleTime   = 20 * time.Second // for the caches to become equal after the run
	demoPatience = 10 * time.Second // of one operation
)

// shortestDemo leaves each fault 0.9 s, longer than a frozen node takes to be
// found.
const shortestDemo = 5 * time.Second

// demoFaults are the kinds of fault that a run must show.
func demoFaults() []simnode.FaultKind {
	return []simnode.FaultKind{simnode.FaultKill, simnode.FaultFreeze, simnode.FaultPartition}
}

// demoFlags are the command line of demo.
type demoFlags struct {
	nodes    int
	seed     uint64
	duration time.Duration
	plain    bool
	sabotage simnode.Sabotage
}

func parseDemo(args []string, stderr io.Writer) (demoFlags, error) {
	var f demoFlags
	var sabotage string
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.IntVar(&f.nodes, "nodes", 3, fmt.Sprintf("database nodes, 3 to %d", simnode.MaxNodes))
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the transfers and of the faults")
	flags.DurationVar(&f.duration, "duration", 30*time.Second, "how long the bank works, "+shortestDemo.String()+" or more")
	flags.BoolVar(&f.plain, "plain", false, "print lines instead of redrawing the screen, also on a terminal")
	flags.StringVar(&sabotage, "sabotage", "", "break the cluster on purpose: lost-write, double-apply or stale-cache")
	if err := parseFlags(flags, args, stderr); err != nil {
		return f, err
	}
	var err error
	switch f.sabotage, err = simnode.ParseSabotage(sabotage); {
	case err != nil:
		return f, badUsage(stderr, "--sabotage is %q, allowed are lost-write, double-apply and stale-cache", sabotage)
	case f.nodes < 3 || f.nodes > simnode.MaxNodes:
		return f, badUsage(stderr, "--nodes is %d, allowed are 3 (one may die and a majority is left) to %d", f.nodes, simnode.MaxNodes)
	case f.duration < shortestDemo:
		return f, badUsage(stderr, "--duration is %v, allowed are %v (each fault needs its time) and more", f.duration, shortestDemo)
	}
	return f, nil
}

// replay is the command that repeats the run.
func (f demoFlags) replay() string {
	line := fmt.Sprintf("go run ./cmd/anywriter demo --nodes %d --seed %d --duration %v", f.nodes, f.seed, f.duration)
	if f.sabotage != simnode.NoSabotage {
		line += " --sabotage " + f.sabotage.String()
	}
	return line
}

// demo is one run.
type demo struct {
	flags    demoFlags
	sim      *simnode.Sim
	db       *sql.DB
	cluster  *cluster.Cluster
	bank     *workload.Bank
	schedule *simnode.Schedule
	view     view
}

// runDemo runs the bank and prints the verdict.
func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags, err := parseDemo(args, stderr)
	if err != nil {
		return err
	}
	d := &demo{flags: flags, view: newView(stdout, flags.plain)}
	defer d.close()
	verdict, err := d.run(ctx)
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	_, _ = io.WriteString(stdout, verdict.String())
	if !verdict.Clean() {
		return errVerdict
	}
	return nil
}

// errInterrupted ends a run that somebody ended before its verdict.
var errInterrupted = errors.New("interrupted, so there is no verdict")

// run is the demo up to its verdict.
func (d *demo) run(ctx context.Context) (*verdict, error) {
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	if err := d.work(ctx); err != nil {
		return nil, err
	}
	return d.judge(ctx)
}

// open starts the cluster and prepares the bank through the driver.
func (d *demo) open(ctx context.Context) error {
	starting, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	var err error
	d.sim, err = simnode.Start(starting, simnode.Config{Nodes: d.flags.nodes, Seed: d.flags.seed, Sabotage: d.flags.sabotage})
	if err != nil {
		return err
	}
	cfg, err := driver.ParseConfig(d.sim.DSN())
	if err != nil {
		return err
	}
	cfg.Seed = d.flags.seed + 1 // 0 would draw one
	// A machine that stands still for more than the defaults' second breaks no promise.
	cfg.Settings.AcquireTimeout = demoPatience
	d.db = sql.OpenDB(driver.NewConnector(cfg))
	if err := d.db.PingContext(starting); err != nil {
		return err
	}
	if d.cluster, err = driver.FromDB(d.db); err != nil {
		return err
	}
	d.bank, err = workload.NewBank(workload.BankConfig{
		Config: workload.Config{
			DB: d.db, Seed: d.flags.seed, Clients: demoClients, Rate: demoRate, Duration: d.flags.duration,
			Timeout: demoPatience, Tx: runTx, Replay: d.flags.replay(),
		},
		Accounts: demoAccounts,
	})
	if err != nil {
		return err
	}
	plan := simnode.Plan(d.flags.duration, d.flags.nodes, d.flags.seed, demoFaults()...)
	if d.schedule, err = simnode.NewSchedule(d.sim, plan); err != nil {
		return err
	}
	return d.bank.Setup(starting)
}

// runTx lets the driver retry what certainly left nothing.
func runTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(ctx context.Context, tx *sql.Tx) error) error {
	var options driver.TxOptions
	if opts != nil {
		options.TxOptions = *opts
	}
	return driver.RunTx(ctx, db, &options, fn)
}

// work runs the bank and the faults side by side and shows how it goes.
func (d *demo) work(ctx context.Context) error {
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	var joined sync.WaitGroup
	// Ends with the last fault, or with working.
	joined.Go(func() { d.schedule.Play(working) })
	watching, stopWatching := context.WithCancel(working)
	// Ends when the bank has ended.
	joined.Go(func() { d.watch(watching) })
	err := d.bank.Run(working)
	stopWatching()
	if ctx.Err() != nil {
		cancel() // what is left of the schedule
	}
	joined.Wait()
	return err
}

// watch draws the state of the run a few times a second.
func (d *demo) watch(ctx context.Context) {
	ticker := time.NewTicker(d.view.interval())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			d.view.draw(d.frame())
			return
		case <-ticker.C:
			d.view.draw(d.frame())
		}
	}
}

// frame gathers what one drawing shows.
func (d *demo) frame() frame {
	f := frame{
		flags: d.flags, stats: d.bank.Stats(), faults: d.schedule.Faults(), cluster: d.cluster.Stats(),
		log: d.sim.LogLength(),
	}
	for _, n := range d.sim.Nodes() {
		f.nodes = append(f.nodes, n.Status())
	}
	return f
}

func (d *demo) close() {
	if d.db != nil {
		_ = d.db.Close()
	}
	if d.sim != nil {
		_ = d.sim.Close()
	}
}

// terminalSize tells whether w is a terminal, and its size now.
func terminalSize(w io.Writer) (columns, rows int, ok bool) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, 0, false
	}
	columns, rows, err := term.GetSize(int(file.Fd()))
	return columns, rows, err == nil
}
