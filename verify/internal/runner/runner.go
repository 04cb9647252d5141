// Package runner runs the layers: the checks of the shipped code against its specification.
// It writes what each found as report.json, report.html and report.txt.
//
// A layer is a command that exists without this package: a run of tests, of TLC, of Z3, of the
// seeded faults, of the mutants. The runner runs them in order, some at the same time, watches them, and collects
// their figures: see docs/verify.md.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

// Bounds, from the fastest to the farthest.
const (
	Quick = "quick" // Go only, about two minutes
	CI    = "ci"    // at each change: Java, Python and a real Apache Kafka too
	Deep  = "deep"  // an hour or more
)

// Options say what is run.
type Options struct {
	Root     string             // of a checkout of this module
	Machines []*machine.Machine // that are checked
	Bound    string             // Quick, CI or Deep
	Layers   []string           // empty: all those of the bound
	Mutants  bool               // every mutant, where CI tries a sample
	Verbose  bool               // all that the layers print, and every line of the report
	Dir      string             // where the reports and the layers' logs go; made if it is missing
	Out      io.Writer          // progress, for a person
	Live     bool               // Out is a terminal: the running layer's last word is kept on one line

	// Once a layer has failed, the run ends when it has taken whole, and not earlier than after
	// that failure. Zero: it runs to its end.
	whole, after time.Duration
}

// The time that Quick takes on two cores. A layer that still runs by then probably hangs, as broken
// code may. The person who waits knows of the failure by then.
const (
	quickWhole = 80 * time.Second
	quickAfter = 15 * time.Second
)

// ErrFailed is the error of Run if a layer did not hold.
var ErrFailed = errors.New("not all layers hold")

// errNotChecked is the error of a layer that lacks something that only other places have.
var errNotChecked = errors.New("not checked")

// errLeft ends the layers of a run that failed long enough ago.
var errLeft = errors.New("left, since the run failed a while ago")

// ErrUsage is the error of Run if the options are wrong. Nothing was run.
var ErrUsage = errors.New("nothing was run")

// Run runs the layers and writes the reports, also when layers fail or ctx ends. It returns nil
// only if every layer held. Otherwise the error is ErrFailed, the end of ctx, or ErrUsage. A Quick
// run that has failed ends after 80 seconds.
func Run(ctx context.Context, o Options) error {
	layers, err := choose(o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if o.Bound == Quick {
		o.whole, o.after = quickWhole, quickAfter
	}
	return run(ctx, o, layers)
}

func run(ctx context.Context, o Options, layers []layer) error {
	if err := os.MkdirAll(filepath.Join(o.Dir, "logs"), 0o777); err != nil {
		return err
	}
	r := newReport(o)
	s := &session{Options: o, screen: &screen{out: o.Out, live: o.Live, all: o.Verbose}, provided: &provided{env: make(map[string]string)}, report: r, log: io.Discard}
	defer s.close()
	began := time.Now()
	going, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	s.red = sync.OnceFunc(func() {
		if o.whole > 0 {
			time.AfterFunc(max(o.after, o.whole-time.Since(began)), func() { leave(errLeft) })
		}
	})
	for i := 0; i < len(layers); {
		l := layers[i]
		if going.Err() != nil {
			r.Layers = append(r.Layers, Layer{Name: l.name, About: l.about, Result: NotRun})
			i++
			continue
		}
		n := together(layers[i:])
		for j, l := range layers[i : i+n] {
			s.begin(fmt.Sprintf("[%d/%d] %s: %s", i+j+1, len(layers), l.name, l.about))
		}
		var done []Layer
		if n == 1 {
			done = []Layer{s.run(going, l)}
		} else {
			done = s.runAll(going, layers[i:i+n])
		}
		for _, d := range done {
			s.line("%s", d)
		}
		r.Layers = append(r.Layers, done...)
		i += n
	}
	if err := r.finish(s, time.Since(began)); err != nil {
		return err
	}
	if err := r.write(o.Dir); err != nil {
		return err
	}
	if o.Verbose {
		s.write("\n" + r.text())
	}
	s.line("\n%s: report.html, report.txt, report.json, logs", o.Dir)
	s.write(r.verdict())
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: the reports say so (%w)", context.Cause(ctx))
	case r.Result != Held:
		return fmt.Errorf("%w: %s", ErrFailed, strings.Join(r.failed(), ", "))
	}
	return nil
}

// choose returns the layers that o asks for, in their order.
func choose(o Options) ([]layer, error) {
	if !slices.Contains([]string{Quick, CI, Deep}, o.Bound) {
		return nil, fmt.Errorf("there is no bound %q: quick, ci or deep", o.Bound)
	}
	text, err := os.ReadFile(filepath.Join(o.Root, "go.mod"))
	if err != nil || !moduleLine.Match(text) {
		return nil, fmt.Errorf("%s is not a clone of surestart, whose tests and specification are run: clone it, and go there", o.Root)
	}
	var chosen []layer
	for _, l := range layers {
		if slices.Contains(o.Layers, l.name) || len(o.Layers) == 0 && slices.Contains(l.in, o.Bound) || o.Mutants && l.name == "mutants" {
			chosen = append(chosen, l)
		}
	}
	for _, name := range o.Layers {
		if !slices.ContainsFunc(layers, func(l layer) bool { return l.name == name }) {
			return nil, fmt.Errorf("no layer is called %q: there are %s", name, strings.Join(Names(), ", "))
		}
	}
	return chosen, nil
}

// together returns how many of these layers, from the first on, run at the same time.
func together(layers []layer) int {
	for _, some := range atOnce {
		n := 0
		for n < len(layers) && slices.Contains(some, layers[n].name) {
			n++
		}
		if n > 1 {
			return n
		}
	}
	return 1
}

var moduleLine = regexp.MustCompile(`(?m)^module github\.com/seed3893aba4/surestart$`)

// Names returns the names of the layers, in the order in which they run.
func Names() []string {
	var names []string
	for _, l := range layers {
		names = append(names, l.name)
	}
	return names
}

// List writes a line for each layer: its name, what it is, and the bounds at which it runs by
// itself.
func List(out io.Writer) {
	for _, l := range layers {
		fmt.Fprintf(out, "%-13s %s (%s)\n", l.name, l.about, strings.Join(l.in, ", "))
	}
}
