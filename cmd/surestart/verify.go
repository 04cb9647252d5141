package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/internal/verify"
)

var verifyCommand = command{
	name:  "verify",
	about: "runs the layers that hold the code to its specification, and reports",
	help: `Runs, in a checkout of surestart, what shows the shipped code to be its specification, and
writes report.html (one file, for a browser), report.json and report.txt.

  quick   what needs Go only, in about two minutes; one that has failed is left after 80 seconds
  ci      also TLC, Z3, the race detector, a real Apache Kafka and the seeded faults: what ./check runs
  deep    the models of three callers, a million schedules, every layer on every fault, a second model
          checker: hours

The layers:

` + layersHelp() + `
It ends with 0 if every layer holds, and with 1 if not or when it was interrupted: the reports
are written then too. An example: surestart verify -bound ci -layer graph,schedules`,
	prepare: func(flags *flag.FlagSet) func(*world, []string) error {
		var o verify.Options
		flags.StringVar(&o.Bound, "bound", verify.Quick, "how `far`: quick, ci or deep")
		layers := flags.String("layer", "", "only these `layers`, separated by commas")
		flags.BoolVar(&o.Mutants, "mutants", false, "every mutant, where ci tries a sample: an hour and a half")
		flags.StringVar(&o.Root, "dir", "", "the `checkout` (default: the one that the working directory is in)")
		flags.StringVar(&o.Dir, "out", "report", "the `directory` for the reports and the layers' logs")
		return func(w *world, args []string) error {
			if len(args) > 0 {
				return usagef("verify takes no arguments, only flags: what is %q?", args[0])
			}
			o.Layers = list(*layers)
			return runVerify(w, o)
		}
	},
}

func layersHelp() string {
	var b strings.Builder
	for _, name := range verify.Names() {
		about, bounds := verify.About(name)
		note := ""
		if !slices.Contains(bounds, verify.Quick) {
			note = " (" + strings.Join(bounds, ", ") + ")"
		}
		fmt.Fprintf(&b, "  %-10s %s%s\n", name, about, note)
	}
	return b.String()
}

func runVerify(w *world, o verify.Options) error {
	var err error
	if o.Root == "" {
		o.Root = "."
		for ; ; o.Root = filepath.Join(o.Root, "..") {
			if _, err := os.Stat(filepath.Join(o.Root, "go.mod")); err == nil {
				break
			}
			if abs, err := filepath.Abs(o.Root); err != nil || abs == filepath.Dir(abs) {
				return usagef("the working directory is in no checkout of surestart, whose tests and specification are what is run: clone it, and go there, or name it with -dir")
			}
		}
	}
	if o.Root, err = filepath.Abs(o.Root); err != nil {
		return err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	o.Out, o.Live = w.out, isTerminal(w.out, w.getenv)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case s := <-w.signals:
			cancel(fmt.Errorf("%v", s))
		case <-ctx.Done():
		}
	}()
	err = verify.Run(ctx, o)
	if errors.Is(err, verify.ErrUsage) {
		return usageError{err}
	}
	return err
}
