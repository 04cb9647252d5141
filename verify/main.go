// Command check runs the layers of checks, and the other commands of a maintainer, in a clone of
// the repository. The script check, at its top, builds and calls it. ./check help lists the
// commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/seed3893aba4/surestart/internal/checkout"
	"github.com/seed3893aba4/surestart/internal/terminal"
	"github.com/seed3893aba4/surestart/verify/internal/cli"
	"github.com/seed3893aba4/surestart/verify/internal/kafka"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/proof"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/models"
	"github.com/seed3893aba4/surestart/verify/internal/release"
	"github.com/seed3893aba4/surestart/verify/internal/runner"
	"github.com/seed3893aba4/surestart/verify/internal/second"
	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

// errUsage is the error of a wrong command line. errSaid is the error of a failure that has been
// reported already.
var (
	errUsage = errors.New("see ./check help")
	errSaid  = errors.New("failed, as said above")
)

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errUsage)
}

// A command receives the arguments after its name.
type command func(ctx context.Context, root string, args []string) error

var commands = map[string]command{
	"quick":   layers(runner.Quick),
	"ci":      layers(runner.CI),
	"deep":    layers(runner.Deep),
	"list":    list,
	"layer":   layer,
	"replay":  replay,
	"faults":  tryFaults,
	"mutants": tryMutants,
	"table":   writeTables,
	"release": release.Main,
	"tlc":     ofMachines(machine.All(), models.Main),
	"proof":   proof.Main,
	"second":  ofMachines(machine.All(), second.Main),
	"tools":   tools.Main,
	"kafka":   kafka.Main,
}

const usage = `Checks the code against its specification, in a clone of the repository.

  ./check              everything, with Java and a real Apache Kafka; a skipped test is a failure (the same: ./check ci)
  ./check quick        checks that need only Go, in about two minutes; other tests are skipped, by name
  ./check deep         ci, and checks that take hours: the deep models, many more random runs, every mutant
  ./check list         lists the layers
  ./check layer NAME   runs one layer, or several separated by commas, as in ci
  ./check replay FILE  runs a kept schedule or trace again, and draws it
  ./check faults       tries the seeded faults
  ./check mutants      tries mutants of the code
  ./check tlc          runs TLC on the specification, and draws its pictures
  ./check proof        checks the inductive invariant, with TLC and Z3
  ./check second       runs the second model checker
  ./check kafka        starts, stops and reads a real Apache Kafka
  ./check tools        finds or installs the tools that the checks need, pinned and verified
  ./check release      tags every module with one version
  ./check table        writes the tables of spec and spec/delivery from TLC's graphs

COMMAND -h lists the flags of a command. The exit status is 0 if everything held, 1 if not, and 2 for a wrong command line.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return
	case !errors.Is(err, errSaid):
		fmt.Fprintf(os.Stderr, "check: %v\n", err)
	}
	if errors.Is(err, errUsage) || errors.Is(err, runner.ErrUsage) || errors.As(err, new(cli.Usage)) {
		os.Exit(2)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && !slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		args = append([]string{runner.CI}, args...)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Print(usage)
		return nil
	}
	do, ok := commands[args[0]]
	if !ok {
		return usagef("there is no command %q", args[0])
	}
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	return do(ctx, root, args[1:])
}

// parse reads a command's flags, and refuses arguments beyond the n that it takes.
func parse(flags *flag.FlagSet, args []string, n int) error {
	flags.SetOutput(os.Stderr)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return usagef("%s", err)
	case flags.NArg() > n:
		return usagef("%s: what is %q?", flags.Name(), flags.Arg(n))
	}
	return nil
}

// ofMachines makes a command of a function that needs the machines.
func ofMachines(machines []*machine.Machine, do func(ctx context.Context, root string, machines []*machine.Machine, args []string) error) command {
	return func(ctx context.Context, root string, args []string) error { return do(ctx, root, machines, args) }
}

func layers(bound string) command {
	return func(ctx context.Context, root string, args []string) error {
		o := runner.Options{Root: root, Machines: machine.All(), Bound: bound}
		flags := flag.NewFlagSet(bound, flag.ContinueOnError)
		only := flags.String("layer", "", "only these `layers`, separated by commas")
		flags.BoolVar(&o.Mutants, "mutants", false, "every mutant, where ci tries a sample: hours")
		flags.BoolVar(&o.Verbose, "v", false, "all that the layers print, not only what they found")
		out := flags.String("out", filepath.Join(root, "report"), "the `directory` for the report and the layers' logs")
		if err := parse(flags, args, 0); err != nil {
			return err
		}
		o.Layers = slices.DeleteFunc(strings.Split(*only, ","), func(name string) bool { return name == "" })
		return runLayers(ctx, o, *out)
	}
}

func layer(ctx context.Context, root string, args []string) error {
	if len(args) == 0 {
		return usagef("layer needs a name: ./check list")
	}
	return layers(runner.CI)(ctx, root, append([]string{"-layer", args[0]}, args[1:]...))
}

func runLayers(ctx context.Context, o runner.Options, out string) (err error) {
	if o.Dir, err = filepath.Abs(out); err != nil {
		return err
	}
	o.Out, o.Live = os.Stdout, terminal.Is(os.Stdout, os.Getenv)
	return runner.Run(ctx, o)
}

func list(_ context.Context, _ string, args []string) error {
	if len(args) > 0 {
		return usagef("list takes no arguments")
	}
	runner.List(os.Stdout)
	return nil
}
