package lifecycle_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/scheduler"
)

// TestScheduleEqualsModel draws schedules of concurrent calls, context ends, failing and panicking
// parts and releases, timeouts and failure reports. They have more callers, parts and calls than
// any graph that can be walked. It runs them on the shipped fsm, and compares everything observable
// with the executable model after each step. See docs/schedules.md.
func TestScheduleEqualsModel(t *testing.T) {
	seen := newCoverage()
	var failure error
	watched(t, func(at *position) {
		rapid.Check(t, func(t *rapid.T) {
			if err := play(&words{t: t}, at, seen); err != nil {
				failure = smallest(at, err)
				t.Fatal(failure)
			}
		})
	})
	if failure != nil {
		if file, err := scheduler.Save(os.Getenv("SURESTART_SCHEDULES"), failure); err == nil {
			t.Logf("to run it again: ./check replay %s", file)
		}
	}
	if t.Failed() {
		return
	}
	exists := modelled()
	if seen.schedules >= fullRun {
		seen.mustCover(t, exists)
	}
	if testing.Verbose() {
		fmt.Print(seen.details(exists))
	}
	if file := os.Getenv("SURESTART_COVERAGE"); file != "" {
		if err := seen.write(file, exists); err != nil {
			t.Error(err)
		}
	}
	fmt.Printf("CHECKED conformance schedules=%d steps=%d\n", seen.schedules, seen.steps)
	fmt.Printf("CHECKED conformance coverage %v\n", seen.against(exists))
}

// fullRun is how many schedules have to cover what mustCover names.
const fullRun = 20000

// play draws a schedule, runs it to its end in code and model, and adds its coverage to seen,
// unless that is nil. It returns the first *scheduler.Difference.
func play(w *words, at *position, seen *coverage) error {
	d := newDrawing(w)
	p := scheduler.NewPair(d.bound)
	defer p.Close()
	at.begin(d.bound)
	defer at.end()
	if seen != nil {
		seen.schedules++
	}
	for {
		enabled, err := p.Moves()
		if err != nil {
			return err
		}
		if len(enabled) == 0 {
			break
		}
		st := d.step(enabled, &p.Model)
		if step, modelled := scheduler.Unmarked(st); modelled && seen != nil {
			seen.observe(d.bound, &p.Model, step)
		}
		at.step(st)
		if err := p.Take(st); err != nil {
			return err
		}
	}
	if !d.bound.Terminated(&p.Model) {
		progress, _ := spec.GuaranteeOf("Progress")
		return &scheduler.Difference{Bound: d.bound, Steps: p.Steps, What: []string{"no step is enabled"}, Guarantee: progress}
	}
	return nil
}

// position is the present point of a running schedule.
type position struct {
	bound spec.Bound
	steps []spec.Step
	begun atomic.Int64 // steps of all schedules; a goroutine that loads it may read the rest until the next one
	runs  atomic.Bool
}

func (at *position) begin(b spec.Bound) {
	at.bound, at.steps = b, nil
	at.runs.Store(true)
}

func (at *position) step(st spec.Step) {
	at.steps = append(at.steps, st)
	at.begun.Add(1)
}

func (at *position) end() { at.runs.Store(false) }

// watched runs f, which reports its position. It fails t if a step does not end: the code waits,
// for a lock or a channel, where the scheduler has no point. The goroutine of that step remains.
func watched(t testing.TB, f func(*position)) {
	t.Helper()
	var at position
	ended := make(chan struct{})
	go func() {
		defer close(ended) // also where a failed test leaves by Goexit
		f(&at)
	}()
	tick := time.NewTicker(time.Second) // a step takes a microsecond
	defer tick.Stop()
	for last, times := int64(-1), 0; ; {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if begun := at.begun.Load(); begun != last || !at.runs.Load() {
			last, times = begun, 0
			continue
		}
		if times++; times == 10 {
			progress, _ := spec.GuaranteeOf("Progress")
			t.Fatal(saved(&scheduler.Difference{Bound: at.bound, Steps: at.steps, What: []string{"the last step does not end"}, Guarantee: progress}))
		}
	}
}

// smallest is err, as short as it gets if it is a difference.
func smallest(at *position, err error) error {
	var d *scheduler.Difference
	if errors.As(err, &d) {
		return shrink(at, d)
	}
	return err
}

func TestMain(m *testing.M) {
	flag.Parse()
	preset("rapid.checks", map[bool]string{true: "10000", false: fmt.Sprint(fullRun)}[testing.Short()]) // rapid takes a fifth when short
	preset("rapid.shrinktime", "0s")                                                                    // shrink does it better
	preset("rapid.nofailfile", "true")                                                                  // instead there is the schedule
	preset("test.fuzzminimizetime", "100x")                                                             // of a minute for each input that is kept little is left
	os.Exit(m.Run())
}

// preset sets a flag that was not given.
func preset(name, value string) {
	if f := flag.Lookup(name); f.Value.String() == f.DefValue {
		if err := f.Value.Set(value); err != nil {
			panic(err)
		}
	}
}
