package spec_test

import (
	"slices"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
)

// after is the state to which the steps lead.
func after(t *testing.T, b spec.Bound, steps ...spec.Step) *spec.Snapshot {
	t.Helper()
	s, err := b.After(steps)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// A guard's answer counts where the step depends on it, and only there.
func TestDecidedIsWhatTheStepDependsOn(t *testing.T) {
	b := spec.Bound{Callers: 2, Parts: 1, Calls: 4, Fails: 1}
	enter := []spec.Step{{Action: spec.InvokeStart}, {Action: spec.StartFast}}
	starting := append(slices.Clone(enter), spec.Step{Action: spec.StartEnter})
	left := append(slices.Clone(starting), spec.Step{Action: spec.ContextEnds}, spec.Step{Action: spec.StartLeave})
	for _, c := range []struct {
		what  string
		after []spec.Step
		step  spec.Step
		want  []string
	}{
		{"begins: open, closing and the state would each have mattered", enter, spec.Step{Action: spec.StartEnter},
			[]string{"MayBegin=true", "FoundOpen=false", "Final=false"}},
		{"cannot return a part that is not there: refused", starting, spec.Step{Action: spec.OpenOk, Arg: 1},
			[]string{"Complete=false"}},
		{"may not leave: refused", starting, spec.Step{Action: spec.StartLeave}, []string{"MayLeave=false"}},
		{"the last leaves", append(slices.Clone(starting), spec.Step{Action: spec.ContextEnds}), spec.Step{Action: spec.StartLeave},
			[]string{"MayLeave=true", "LastLeaves=true"}},
		{"an open that is late", append(slices.Clone(left), spec.Step{Action: spec.OpenPart, Arg: 1}), spec.Step{Action: spec.OpenOk, Arg: 1},
			[]string{"StillWanted=false", "Complete=true", "StillAlive=true"}},
		{"a report while nothing is open: its attempt does not matter", left, spec.Step{Action: spec.Fail, Arg: 1}, nil},
		{"no call at all is refused by no guard", starting, spec.Step{Action: spec.UseEnd}, nil},
	} {
		s := after(t, b, c.after...)
		before := *s
		if got := b.Decided(s, c.step).Names(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v in %v depends on %v, want %v", c.what, c.step, before, got, c.want)
		}
		if *s != before {
			t.Errorf("%s: Decided changed the state", c.what)
		}
	}
}

// Every guard decides, with each of its answers, somewhere in the graphs; but a
// set that is empty has no answer to turn round.
func TestEveryGuardDecidesSomewhere(t *testing.T) {
	var all spec.GuardSides
	for _, model := range []string{"quick", "restart", "stoppers"} { // MayForce=false needs a third caller
		pin, _ := spec.PinOf(model)
		g := pin.Graph()
		candidates := g.Bound.Candidates(nil)
		for i := range g.States {
			for _, st := range candidates {
				all |= g.Bound.Decided(&g.States[i], st)
			}
		}
	}
	var missing []string
	for _, name := range spec.GuardNames() {
		for _, says := range []string{"=false", "=true"} {
			if !slices.Contains(all.Names(), name+says) {
				missing = append(missing, name+says)
			}
		}
	}
	want := []string{"Undo=false", "Forgets=true", "KeepsOn=true", "StopTells=false", "Queued=false", "GivesUpFor=false"}
	if !slices.Equal(missing, want) {
		t.Errorf("decide nowhere: %v, want %v", missing, want)
	}
	if all.Len() != 2*len(spec.GuardNames())-len(want) {
		t.Errorf("%d answers have %d names", all.Len(), len(all.Names()))
	}
}

// The candidates that Next takes are the enabled steps: none is forgotten.
func TestCandidatesHoldEveryEnabledStep(t *testing.T) {
	pin, _ := spec.PinOf("quick")
	g := pin.Graph()
	candidates := g.Bound.Candidates(nil)
	for i := range g.States {
		for _, e := range g.Edges(i) {
			if !slices.Contains(candidates, e.Step) {
				t.Fatalf("%v is no candidate", e.Step)
			}
		}
	}
	if want := 2*17 + 2*13; len(candidates) != want {
		t.Errorf("%d candidates of %v, want %d", len(candidates), g.Bound, want)
	}
}

// Classes distinguish neither callers, nor two from three of anything. They distinguish what
// matters.
func TestClass(t *testing.T) {
	b := spec.Bound{Callers: 4, Parts: 2, Calls: 8, Fails: 1}
	var steps []spec.Step
	for c := range uint8(4) {
		steps = append(steps, spec.Step{Action: spec.InvokeStart, Arg: c}, spec.Step{Action: spec.StartFast, Arg: c}, spec.Step{Action: spec.StartEnter, Arg: c})
	}
	open := spec.Step{Action: spec.OpenPart, Arg: 1}
	two, three := after(t, b, steps[:6]...), after(t, b, steps[:9]...)
	if k, l := b.Class(two, open), b.Class(three, open); k != l {
		t.Errorf("two and three waiters: %v and %v", k, l)
	}
	if k, l := b.Class(after(t, b, steps[:3]...), open), b.Class(two, open); k == l {
		t.Errorf("one and two waiters are both %v", k)
	}
	ends := func(c uint8) spec.Class { return b.Class(two, spec.Step{Action: spec.ContextEnds, Arg: c}) }
	if ends(0) != ends(1) {
		t.Errorf("callers of the same story: %v and %v", ends(0), ends(1))
	}
	const want = "ContextEnds in Starting, joined=2+ op=open pc=wait held=none"
	if got := ends(0).String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
