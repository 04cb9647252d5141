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
	about: "runs the layers that hold the code to its specification, and reports",
	help: `Runs, in a checkout of surestart, what shows the shipped code to be its specification, and
writes report.html (one file, for a browser), report.json and report.txt. It is the checkout's own
./check, which has more to it: ./check help, ./check list.

  quick   what needs Go only, in about two minutes; one that has failed is left after 80 seconds
  ci      also TLC, Z3, the race detector, a real Apache Kafka and the seeded faults
  deep    the models of three callers, a million schedules, every layer on every fault, a second model
          checker: hours

It ends with 0 if every layer holds, and with 1 if not or when it was interrupted: the reports
are written then too. An example: surestart verify -bound ci -layer graph,schedules`,
	prepare: func(flags *flag.FlagSet) func(*world, []string) error {
		bound := flags.String("bound", "quick", "how `far`: quick, ci or deep")
		layers := flags.String("layer", "", "only these `layers`, separated by commas")
		mutants := flags.Bool("mutants", false, "every mutant, where ci tries a sample: hours")
		dir := flags.String("dir", "", "the `checkout` (default: the one that the working directory is in)")
		out := flags.String("out", "report", "the `directory` for the reports and the layers' logs")
		return func(w *world, args []string) error {
			if len(args) > 0 {
				return usagef("verify takes no arguments, only flags: what is %q?", args[0])
			}
			if !slices.Contains([]string{"quick", "ci", "deep"}, *bound) {
				return usagef("there is no bound %q: quick, ci or deep", *bound)
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

// top returns the top of the checkout that dir is, or that the working directory is in.
func top(dir string) (string, error) {
	switch {
	case dir == "":
		root, err := checkout.Root()
		if err != nil {
			err = usageError{fmt.Errorf("%w, or name it with -dir", err)}
		}
		return root, err
	case !checkout.Is(dir):
		return "", usagef("%s is no checkout of surestart, whose tests and specification are what is run: clone it, and go there, or name it with -dir", dir)
	}
	return filepath.Abs(dir)
}

// check runs a checkout's ./check, which gets the signals too.
func check(w *world, root string, args []string) error {
	cmd := exec.Command(filepath.Join(root, "check"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, w.out, w.err
	if err := cmd.Start(); err != nil {
		return err
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case s := <-w.signals:
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
