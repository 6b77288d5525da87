package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/anywriter/anywriter/cluster"
)

// dsnVariable is where fence finds the data source name if no flag gives it:
// a command line can be read by everybody on the machine, an environment can't.
const dsnVariable = "ANYWRITER_DSN"

const fenceUsage = `usage: anywriter fence <install|status|purge> [flags]

  install  make the schema and the table of the commit fence, unless they exist
  status   ask every node whether the fence can be used there, and count its rows
  purge    delete old rows; may run while the cluster is in use

flags:
`

// fenceFlags are the command line of one fence command.
type fenceFlags struct {
	dsn       string
	olderThan time.Duration
	timeout   time.Duration
}

// fencePatience bounds a fence command: a purge goes through a whole table.
const fencePatience = 10 * time.Minute

func parseFence(args []string, stderr io.Writer) (action string, f fenceFlags, err error) {
	flags := flag.NewFlagSet("fence", flag.ContinueOnError)
	flags.StringVar(&f.dsn, "dsn", os.Getenv(dsnVariable), "data source `name` of the cluster, fence_table included; better given by "+dsnVariable)
	flags.DurationVar(&f.olderThan, "older-than", 24*time.Hour, "purge: the `age` of the youngest row to delete")
	flags.DurationVar(&f.timeout, "timeout", fencePatience, "give up after this `time`")
	flags.Lookup("dsn").DefValue = "" // -h must not print a password
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, fenceUsage)
		flags.PrintDefaults()
	}
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		action, args = args[0], args[1:]
	}
	if err := parseFlags(flags, args, stderr); err != nil {
		return "", f, err
	}
	switch {
	case action != "install" && action != "status" && action != "purge":
		return "", f, badUsage(stderr, "fence %q: want install, status or purge", action)
	case f.dsn == "":
		return "", f, badUsage(stderr, "fence needs a data source name: set %s or --dsn", dsnVariable)
	case f.olderThan < cluster.MinFenceAge:
		return "", f, badUsage(stderr, "--older-than is %v, allowed are %v and more: younger rows may still be needed", f.olderThan, cluster.MinFenceAge)
	case f.timeout <= 0:
		return "", f, badUsage(stderr, "--timeout is %v, it must be positive", f.timeout)
	}
	return action, f, nil
}

// runFence administers the fence table.
func runFence(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	action, flags, err := parseFence(args, stderr)
	if err != nil {
		return err
	}
	cfg, err := cluster.ParseConfig(flags.dsn)
	if err != nil {
		return err
	}
	cfg.Settings.CommitFence = "table"
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	if action == "install" {
		if err := cluster.InstallFence(ctx, cfg); err != nil {
			return err
		}
	}
	c, err := cluster.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	if action == "purge" {
		deleted, err := c.PurgeFence(ctx, flags.olderThan)
		_, _ = fmt.Fprintf(stdout, "deleted %d rows older than %v\n", deleted, flags.olderThan)
		return err
	}
	return fenceStatus(ctx, c, stdout)
}

// errFenceUnusable says that status found a node without a usable fence.
var errFenceUnusable = errors.New("the commit fence can't be used on every node")

// fenceStatus prints a line per node, and one about the table.
func fenceStatus(ctx context.Context, c *cluster.Cluster, stdout io.Writer) error {
	nodes, err := c.CheckFence(ctx)
	if err != nil {
		return err
	}
	usable := true
	for _, n := range nodes {
		switch {
		case n.Err != nil:
			usable = false
			_, _ = fmt.Fprintf(stdout, "%s (%s): %v\n", n.Addr, n.Engine, n.Err)
		case n.Autocommit:
			_, _ = fmt.Fprintf(stdout, "%s (%s): fences transactions and single statements\n", n.Addr, n.Engine)
		default:
			_, _ = fmt.Fprintf(stdout, "%s (%s): fences transactions\n", n.Addr, n.Engine)
		}
	}
	if !usable {
		return errFenceUnusable
	}
	status, err := c.FenceStatus(ctx)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(stdout, status)
	return nil
}
