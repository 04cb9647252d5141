package conformance_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/seed3893aba4/surestart/internal/tlc"
	"github.com/seed3893aba4/surestart/internal/trace"
)

// TestThreadsAreBehavioursForTLC gives TLC, in one run, 500 traces and corrupted
// ones: it accepts just those 500, and finds as many states as the executable
// model does when every order is tried, so that no trace passes in silence.
func TestThreadsAreBehavioursForTLC(t *testing.T) {
	if testing.Short() {
		t.Skip("TLC takes half a minute")
	}
	installed, err := tlc.Find()
	if errors.Is(err, tlc.ErrMissing) && os.Getenv("SURESTART_NO_SKIP") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	const sample, most = 500, 600
	var traces []*trace.Trace
	var good, bad, states, large int
	add := func(tr *trace.Trace) (accepted bool) {
		tr.Bound.Calls, tr.Bound.Fails = trace.TLCBound.Calls, trace.TLCBound.Fails
		n, accepted := tr.Search(most)
		if n == 0 {
			large++
			return false
		}
		states += n
		traces = append(traces, tr)
		return accepted
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
		if v, err := tr.Check(); err != nil || v.Torn > 0 {
			continue // TestThreadsAreBehaviours reports the one, and a torn load is no step of the model
		}
		if add(tr) {
			good++
		}
		if bad < 200 {
			for _, c := range tr.Corruptions(rand.New(rand.NewPCG(seed, 0))) {
				before := len(traces)
				if add(c.Trace) {
					t.Fatalf("accepted, although %s: %s (seed %d)", c.Kind, c.What, seed)
				}
				if len(traces) > before {
					controls[before] = c.Kind + ": " + c.What
					bad++
				}
			}
		}
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
