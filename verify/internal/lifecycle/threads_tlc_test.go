package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/trace"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// TestThreadsAreBehavioursForTLC gives TLC 500 traces and corrupted ones, in one run without
// restarts and one with. TLC accepts exactly those 500. It finds as many states as the executable
// model does when every order is tried, so no trace is skipped silently. With -short only the
// executable model judges, about 50.
func TestThreadsAreBehavioursForTLC(t *testing.T) {
	for i, sample := range []int{350, 150} {
		m, by := &trace.TLCModels[i], "tlc"
		if testing.Short() {
			sample, by = sample/10, "search"
		}
		s := sampleForTLC(t, m, sample)
		if !testing.Short() {
			s.ask(t, m, tlc.ForTest(t))
		}
		if !t.Failed() {
			fmt.Printf("CHECKED threads %s (%s) traces=%d controls=%d states=%d too-large=%d\n",
				by, m.Config, sample, len(s.controls), s.states, s.large)
		}
	}
}

// tlcSample is traces for TLC.
type tlcSample struct {
	traces   []*trace.Trace
	controls map[int]string // the corrupted ones, by their index: how
	states   int            // of all of them
	large    int            // how many had too many states
}

// sampleForTLC runs programs until so many traces fit into the model.
func sampleForTLC(t *testing.T, m *trace.TLCModel, sample int) *tlcSample {
	s := &tlcSample{controls: make(map[int]string)}
	add := func(tr *trace.Trace) (added, accepted bool) {
		m.Widen(tr)
		n, accepted := tr.Search(600)
		if n == 0 {
			s.large++
			return false, false
		}
		s.states += n
		s.traces = append(s.traces, tr)
		return true, accepted
	}
	for seed, good := uint64(0), 0; good < sample; seed++ {
		tr, err := trace.Run(seed)
		if err != nil {
			t.Fatal(err)
		}
		if !m.Takes(tr) {
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
		if len(s.controls) >= sample*2/5 {
			continue
		}
		for _, c := range tr.Corruptions(rand.New(rand.NewPCG(seed, 0))) {
			added, accepted := add(c.Trace)
			if accepted {
				t.Fatalf("accepted, although %s: %s (seed %d)", c.Kind, c.What, seed)
			}
			if added {
				s.controls[len(s.traces)-1] = c.Kind + ": " + c.What
			}
		}
	}
	return s
}

// ask gives them to TLC.
func (s *tlcSample) ask(t *testing.T, m *trace.TLCModel, installed tlc.TLC) {
	answer, err := m.Ask(t.Context(), installed, t.TempDir(), s.traces)
	if err != nil {
		t.Fatal(err)
	}
	for i, tr := range s.traces {
		if what, control := s.controls[i]; answer.Accepted[i] == control {
			t.Errorf("trace %d (seed %d, control %q): accepted by TLC: %v", i+1, tr.Seed, what, answer.Accepted[i])
		}
	}
	if answer.States != s.states {
		t.Errorf("TLC finds %d states, the executable model %d", answer.States, s.states)
	}
}
