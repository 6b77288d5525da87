package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/anywriter/anywriter/simnode"
)

// startPatience bounds the start of a cluster, which takes milliseconds.
const startPatience = 10 * time.Second

// farewellPatience is how long clients have to read that their node goes.
const farewellPatience = time.Second

// runSim keeps a cluster until ctx ends.
func runSim(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	nodes := flags.Int("nodes", 3, fmt.Sprintf("database nodes, 1 to %d", simnode.MaxNodes))
	port := flags.Int("port", 6432, "TCP port of node 1; the others follow; 0 takes free ports")
	eventual := flags.Bool("eventual", false, "answer commits before the other nodes' caches have them")
	if err := parseFlags(flags, args, stderr); err != nil {
		return err
	}
	if *nodes < 1 || *nodes > simnode.MaxNodes {
		return badUsage(stderr, "--nodes is %d, allowed are 1 to %d", *nodes, simnode.MaxNodes)
	}
	if *port < 0 || *port+*nodes-1 > 65535 {
		return badUsage(stderr, "--port is %d, allowed are 0 to %d with %d nodes", *port, 65536-*nodes, *nodes)
	}
	cfg := simnode.Config{Nodes: *nodes, Port: *port}
	if *eventual {
		cfg.Mode = simnode.Eventual
	}
	starting, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	sim, err := simnode.Start(starting, cfg)
	if err != nil {
		return err
	}
	printCluster(stdout, sim)
	printEvents(ctx, stdout, sim)
	_, _ = fmt.Fprintln(stdout, "closing the cluster")
	farewell(sim)
	return sim.Close()
}

// farewell tells the clients of every node that it goes, as PostgreSQL does.
func farewell(sim *simnode.Sim) {
	ctx, cancel := context.WithTimeout(context.Background(), farewellPatience)
	defer cancel()
	for _, n := range sim.Nodes() {
		// A node that is not running has no clients, and one whose clients do not
		// go in time has closed their connections: either way there is nothing to do.
		_, _ = n.Drain(ctx)
	}
}

func printCluster(w io.Writer, sim *simnode.Sim) {
	_, _ = fmt.Fprintf(w, "cluster of %d nodes is ready; everything is lost when it ends (Ctrl-C)\n\n", len(sim.Nodes()))
	_, _ = fmt.Fprintf(w, "  DSN    %s\n", sim.DSN())
	for _, n := range sim.Nodes() {
		_, _ = fmt.Fprintf(w, "  node %d psql \"postgres://postgres@%s/postgres\"\n", n.Number(), n.Addr())
	}
	_, _ = fmt.Fprintln(w)
}

// printEvents prints what happened to the cluster and what happens to it until ctx
// ends.
func printEvents(ctx context.Context, w io.Writer, sim *simnode.Sim) {
	events, stop := sim.Watch()
	defer stop()
	var printed uint64
	for _, e := range sim.Events() {
		_, _ = fmt.Fprintln(w, e)
		printed = e.Seq
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			if e.Seq > printed {
				_, _ = fmt.Fprintln(w, e)
			}
		}
	}
}
