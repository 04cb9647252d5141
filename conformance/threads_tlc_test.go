package conformance_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed3893aba4/surestart/internal/tlc"
	"github.com/seed3893aba4/surestart/internal/trace"
)

// TestThreadsAreBehavioursForTLC gives TLC, in one run, 500 traces and corrupted
// ones: it accepts just those 500, and finds as many states as the executable
// model does when every order is tried, so that no trace passes in silence. With
// -short the executable model alone is asked, about 50.
func TestThreadsAreBehavioursForTLC(t *testing.T) {
	sample, installed := 50, tlc.TLC{}
	if !testing.Short() {
		sample, installed = 500, tlc.ForTest(t)
	}
	const most = 600
	var traces []*trace.Trace
	var good, bad, states, large int
	add := func(tr *trace.Trace) (added, accepted bool) {
		tr.Bound.Calls, tr.Bound.Fails = trace.TLCBound.Calls, trace.TLCBound.Fails
		n, accepted := tr.Search(most)
		if n == 0 {
			large++
			return false, false
		}
		states += n
		traces = append(traces, tr)
		return true, accepted
	}
	controls := make(map[int]string)
	for seed := uint64(0); good < sample; seed++ {
		tr, err := trace.Run(seed)
		if err != nil {
			t.Fatal(err)
		}
		if !tr.ForTLC() {
			continue
		}
		v, err := tr.Check()
		if err != nil {
			t.Fatal(keep(err))
		}
		if v.Torn > 0 { // no step of the model
			continue
		}
		if added, accepted := add(tr); added {
			if !accepted {
				t.Fatalf("seed %d: Check finds a place for every step, Search does not", seed)
			}
			good++
		}
		if bad < 200 {
			for _, c := range tr.Corruptions(rand.New(rand.NewPCG(seed, 0))) {
				added, accepted := add(c.Trace)
				if accepted {
					t.Fatalf("accepted, although %s: %s (seed %d)", c.Kind, c.What, seed)
				}
				if added {
					controls[len(traces)-1] = c.Kind + ": " + c.What
					bad++
				}
			}
		}
	}
	if testing.Short() {
		fmt.Printf("CHECKED threads search traces=%d controls=%d states=%d too-large=%d\n", good, bad, states, large)
		return
	}
	answer, err := trace.AskTLC(t.Context(), installed, t.TempDir(), traces)
	if err != nil {
		t.Fatal(err)
	}
	for i, tr := range traces {
		if what, control := controls[i]; answer.Accepted[i] == control {
			t.Errorf("trace %d (seed %d, control %q): accepted by TLC: %v", i+1, tr.Seed, what, answer.Accepted[i])
		}
	}
	if answer.States != states {
		t.Errorf("TLC finds %d states, the executable model %d", answer.States, states)
	}
	if !t.Failed() {
		fmt.Printf("CHECKED threads tlc traces=%d controls=%d states=%d too-large=%d\n", good, bad, states, large)
	}
}
