// Package verify runs the layers of checks that show the shipped code to be its
// specification, and writes what each of them found as report.json, report.html and
// report.txt.
//
// A layer is a command that exists without this package: a run of tests, of TLC, of
// Z3, of the seeded faults, of the mutants. Here they are run one after another, watched,
// and their figures put beside each other: see docs/verify.md.
package verify

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
)

// Bounds, from the fastest to the farthest.
const (
	Quick = "quick" // Go only, under two minutes
	CI    = "ci"    // at each change: Java, Python and a real Apache Kafka too
	Deep  = "deep"  // an hour or more
)

// Options say what is run.
type Options struct {
	Root    string    // of a checkout of this module
	Bound   string    // Quick, CI or Deep
	Layers  []string  // empty: all those of the bound
	Mutants bool      // every mutant, where CI tries a sample
	Dir     string    // where the reports and the layers' logs go; made if it is missing
	Out     io.Writer // progress, for a person
	Live    bool      // Out is a terminal: the running layer's last word is kept on one line

	// Once something has failed the run is left when it has taken whole, and no earlier than after
	// that failure. Zero: it goes on to its end.
	whole, after time.Duration
}

// What Quick takes on two cores. What still runs by then hangs, as broken code may, and
// who waits has known that it is red.
const (
	quickWhole = 80 * time.Second
	quickAfter = 15 * time.Second
)

// ErrFailed is what Run's error is if a layer did not hold.
var ErrFailed = errors.New("not all layers hold")

// errLeft ends the layers of a run that has been red for long enough.
var errLeft = errors.New("left, since the run failed a while ago")

// ErrUsage is what Run's error is if the options make no sense; nothing was run.
var ErrUsage = errors.New("nothing was run")

// Run runs the layers and writes the reports, also when layers fail or ctx ends. It
// returns nil only if every layer held; else an error that is ErrFailed, the
// end of ctx, or ErrUsage. A Quick run that has failed is left after 80 seconds.
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
	s := &session{Options: o, screen: &screen{out: o.Out, live: o.Live}, report: r}
	defer s.close()
	began := time.Now()
	going, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	s.red = sync.OnceFunc(func() {
		if o.whole > 0 {
			time.AfterFunc(max(o.after, o.whole-time.Since(began)), func() { leave(errLeft) })
		}
	})
	for i, l := range layers {
		if going.Err() != nil {
			r.Layers = append(r.Layers, Layer{Name: l.name, About: l.about, Result: NotRun})
			continue
		}
		s.line("==> [%d/%d] %s: %s", i+1, len(layers), l.name, l.about)
		done := s.run(going, l)
		r.Layers = append(r.Layers, done)
		s.line("    %s, %.0f s", done.Result, done.Seconds)
	}
	if err := r.finish(s, time.Since(began)); err != nil {
		return err
	}
	if err := r.write(o.Dir); err != nil {
		return err
	}
	s.line("")
	s.write(r.text())
	s.line("\nreports: %s", strings.Join([]string{
		filepath.Join(o.Dir, "report.html"), filepath.Join(o.Dir, "report.json"), filepath.Join(o.Dir, "report.txt")}, ", "))
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
		return nil, fmt.Errorf("%s is not a checkout of surestart, whose tests and specification are what is run: clone it, and go there", o.Root)
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

var moduleLine = regexp.MustCompile(`(?m)^module github\.com/seed3893aba4/surestart$`)

// Names are the layers' names, in the order in which they run.
func Names() []string {
	var names []string
	for _, l := range layers {
		names = append(names, l.name)
	}
	return names
}

// About says in a line what a layer is, and at which bounds it runs by itself.
func About(name string) (about string, bounds []string) {
	for _, l := range layers {
		if l.name == name {
			return l.about, l.in
		}
	}
	return "", nil
}
