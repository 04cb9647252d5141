package main

import (
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/seed3893aba4/surestart/internal/checkout"
)

var verifyCommand = command{
	name:  "verify",
	about: "runs the checks of the code against its specification, in a clone",
	help: `
Runs ./check of a clone of surestart. It compares the shipped code with its specification,
and writes report.html, report.json and report.txt. ./check help lists its commands.

  quick   checks that need only Go, in about two minutes
  ci      also TLC, Z3, the race detector, a real Apache Kafka and the seeded faults
  deep    also three callers, a million schedules, every layer on every fault, and a second
          model checker: hours

The exit status is 0 if every layer holds, and 1 if not or if it was interrupted. The reports
are written in each case. An example: surestart verify -bound ci -layer graph,schedules`,
	prepare: func(flags *flag.FlagSet) func(*world, []string) error {
		bound := flags.String("bound", "quick", "the `bound`: quick, ci or deep")
		layers := flags.String("layer", "", "only these `layers`, separated by commas")
		mutants := flags.Bool("mutants", false, "try every mutant; ci tries a sample: hours")
		dir := flags.String("dir", "", "the `clone` (default: the one that the working directory is in)")
		out := flags.String("out", "report", "the `directory` for the reports and the layers' logs")
		return func(w *world, args []string) error {
			if len(args) > 0 {
				return usagef("unexpected argument %q: verify takes only flags", args[0])
			}
			if !slices.Contains([]string{"quick", "ci", "deep"}, *bound) {
				return usagef("there is no bound %q: want quick, ci or deep", *bound)
			}
			root, err := top(*dir)
			if err != nil {
				return err
			}
			to, err := filepath.Abs(*out)
			if err != nil {
				return err
			}
			args = []string{*bound, "-layer", *layers, "-out", to}
			if *mutants {
				args = append(args, "-mutants")
			}
			return check(w, root, args)
		}
	},
}

// top returns the top directory of the checkout that dir or, if dir is "", the working directory is in.
func top(dir string) (string, error) {
	switch {
	case dir == "":
		root, err := checkout.Root()
		if err != nil {
			err = usageError{fmt.Errorf("%w, or give its directory with -dir", err)}
		}
		return root, err
	case !checkout.Is(dir):
		return "", usagef("%s is not a clone of surestart: clone it and run the command there, or give its directory with -dir", dir)
	}
	return filepath.Abs(dir)
}

// check runs a checkout's ./check, and passes the signals on to it.
func check(w *world, root string, args []string) error {
	cmd := exec.Command(filepath.Join(root, "check"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, w.out.(*output).to, w.err // the file itself: it may be a terminal
	signals := w.signals()
	if err := cmd.Start(); err != nil {
		return err
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case s := <-signals:
				cmd.Process.Signal(s)
			case <-over:
				return
			}
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return err
	case exit.ExitCode() == exitUsage:
		return usageError{errSaid}
	}
	return errSaid
}
