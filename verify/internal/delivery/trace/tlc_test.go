package trace

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	model "github.com/seed3893aba4/surestart/spec/delivery"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// short is how many messages a life for TLC has: with more there are several times as many states.
const short = 24

// A secondJudge has TLC judge what the executable model has accepted.
type secondJudge struct {
	mu sync.Mutex
	of map[model.Bound]*sampleOfTLC // a run of TLC is of one bound
}

// sampleOfTLC are traces, and for each an altered one of every kind.
type sampleOfTLC struct {
	traces   []*Trace
	controls map[int]bool // by their index: it is altered
}

// add adds an accepted trace.
func (j *secondJudge) add(tr *Trace, seed uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.of == nil {
		j.of = make(map[model.Bound]*sampleOfTLC)
	}
	b := tr.boundOfTLC(short)
	s := j.of[b]
	if s == nil {
		s = &sampleOfTLC{controls: make(map[int]bool)}
		j.of[b] = s
	}
	s.traces = append(s.traces, tr)
	for _, c := range tr.Corruptions(rand.New(rand.NewPCG(seed, 3))) {
		s.controls[len(s.traces)] = true
		s.traces = append(s.traces, c.Trace)
	}
}

// ask asks TLC, which must accept the traces and refuse those that were altered.
func (j *secondJudge) ask(t *testing.T, on string) {
	t.Helper()
	installed := tlc.ForTest(t)
	traces, controls, states := make(map[string]int), 0, 0
	for b, s := range j.of {
		answer, err := askTLC(t.Context(), installed, t.TempDir(), b, s.traces)
		if err != nil {
			t.Fatal(err)
		}
		for i, tr := range s.traces {
			if answer.Accepted[i] == s.controls[i] {
				t.Errorf("accepted by TLC: %t: %s", answer.Accepted[i], tr.Name)
			}
		}
		traces[s.traces[0].Mode.Name] += len(s.traces) - len(s.controls)
		controls, states = controls+len(s.controls), states+answer.States
	}
	text := fmt.Sprintf("CHECKED traces judge=TLC on=%s", on)
	for _, m := range Modes {
		text += fmt.Sprintf(" %s=%d", m.Name, traces[m.Name])
	}
	if !t.Failed() {
		fmt.Printf("%s controls=%d states=%d\n", text, controls, states)
	}
}

// TLC is a second judge: of short lives in every mode it accepts each, and refuses each that was altered.
func TestTracesJudgedByTLC(t *testing.T) {
	needsRoom(t)
	if testing.Short() {
		t.Skip("-short: not with TLC")
	}
	var j secondJudge
	for seed := *from; seed < *from+28; seed++ {
		tr := lifeInBubble(t, seed, short)
		if _, err := tr.Check(); err != nil {
			t.Fatal(err)
		}
		j.add(tr, seed)
	}
	j.ask(t, "kfake")
}
