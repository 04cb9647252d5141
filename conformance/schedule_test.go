package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/internal/scheduler"
	"github.com/seed3893aba4/surestart/spec"
)

// TestScheduleEqualsModel draws a schedule of concurrent calls, context ends,
// failing and panicking parts and releases, timeouts and failure reports, runs it
// on the shipped fsm, and compares every observable with the executable model
// after each step. Each run draws a weight for each action, so that rare corners
// are reached.
func TestScheduleEqualsModel(t *testing.T) {
	var schedules, steps int
	taken := make(map[spec.Action]int)
	rapid.Check(t, func(t *rapid.T) {
		bound := spec.Bound{
			Callers: rapid.IntRange(1, 8).Draw(t, "callers"),
			Parts:   rapid.IntRange(0, 5).Draw(t, "parts"),
			Calls:   rapid.IntRange(1, 12).Draw(t, "calls"),
			Fails:   rapid.IntRange(0, 3).Draw(t, "failure reports"),
		}
		weights := make([]int, len(spec.Actions()))
		for a := range weights {
			most := 30
			if spec.Action(a) == spec.InvokeShutdown {
				most = 3 // it ends the story
			}
			weights[a] = rapid.IntRange(1, most).Draw(t, "weight of "+spec.Action(a).String())
		}
		p := scheduler.NewPair(bound)
		defer p.Close()
		schedules++
		for {
			enabled, err := p.Enabled()
			if err != nil {
				t.Fatal(saved(err))
			}
			if len(enabled) == 0 {
				break
			}
			st := draw(t, enabled, weights)
			steps++
			taken[st.Action]++
			if err := p.Take(st); err != nil {
				t.Fatal(saved(err))
			}
		}
		if !bound.Terminated(&p.Model) {
			t.Fatalf("G12 Progress is broken: no step is enabled\n%s", scheduler.Timeline(bound, p.Steps))
		}
	})
	if t.Failed() {
		return
	}
	for _, a := range spec.Actions() {
		if taken[a] == 0 && schedules >= 2000 {
			t.Errorf("no schedule took %v: the property says nothing about it", a)
		}
	}
	fmt.Printf("CHECKED conformance schedules=%d steps=%d actions=%d\n", schedules, steps, len(taken))
}

func draw(t *rapid.T, enabled []spec.Step, weights []int) spec.Step {
	total := 0
	for _, st := range enabled {
		total += weights[st.Action]
	}
	n := rapid.IntRange(0, total-1).Draw(t, "step")
	for _, st := range enabled {
		if n -= weights[st.Action]; n < 0 {
			return st
		}
	}
	panic("unreachable")
}

func TestMain(m *testing.M) {
	flag.Parse()
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set(map[bool]string{true: "2000", false: "20000"}[testing.Short()]); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
