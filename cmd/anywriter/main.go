package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: anywriter <command> [flags]

commands:
  demo    run a bank on a simulated cluster while its nodes are killed, frozen
          and partitioned; exit status 0 only if nothing was lost
  sim     keep a simulated cluster on loopback ports, for psql and programs
  fence   install, inspect or purge the table of the commit fence

Run "anywriter <command> -h" for the flags of a command.
`

// The exit statuses, as the flag package and most Unix commands have them.
const (
	exitOK     = 0
	exitFailed = 1 // the command ran and found something wrong
	exitUsage  = 2 // the command line made no sense
)

// errUsage marks errors of the command line. What was wrong has been printed.
var errUsage = errors.New("usage")

// errVerdict marks a run whose verdict, already printed, is not clean.
var errVerdict = errors.New("the verdict is not clean")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings as parameters. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
	var err error
	switch args[0] {
	case "demo":
		err = runDemo(ctx, args[1:], stdout, stderr)
	case "sim":
		err = runSim(ctx, args[1:], stdout, stderr)
	case "fence":
		err = runFence(ctx, args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		_, _ = io.WriteString(stdout, usage)
	default:
		_, _ = fmt.Fprintf(stderr, "anywriter: unknown command %q\n\n%s", args[0], usage)
		return exitUsage
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errVerdict):
		return exitFailed
	default:
		_, _ = fmt.Fprintln(stderr, "anywriter:", err)
		return exitFailed
	}
}

// parseFlags parses a command's flags and refuses what is left over.
func parseFlags(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		return badUsage(stderr, "%s takes no argument %q, only flags", flags.Name(), flags.Arg(0))
	}
	return nil
}

// badUsage prints what is wrong with the command line.
func badUsage(stderr io.Writer, format string, args ...any) error {
	_, _ = fmt.Fprintf(stderr, "anywriter: "+format+"\n", args...)
	return errUsage
}
