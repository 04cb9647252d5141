package spec_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
)

// graphs keeps the model's own graph of each pinned bound for all tests of the package.
var graphs = map[string]func() *spec.Graph{}

func init() {
	for _, p := range spec.Pins() {
		graphs[p.Model] = sync.OnceValue(p.Graph)
	}
}

// The model alone, without Java, has as many states, edges and levels, and as
// many edges of each action, as TLC has counted.
func TestModelCountsAsTLC(t *testing.T) {
	for _, p := range spec.Pins() {
		counts, taken := graphs[p.Model]().Counts()
		if counts != p.Counts {
			t.Errorf("%s: the model has %v, TLC %v", p.Model, counts, p.Counts)
		}
		for _, a := range spec.Actions() {
			if taken[a] != p.Taken[a] {
				t.Errorf("%s: %v is taken %d times, by TLC %d times", p.Model, a, taken[a], p.Taken[a])
			}
		}
		t.Logf("CHECKED spec model-counts bound=%s %v", p.Model, counts)
	}
}

// The table is the projection of the graph on st: each row happens, and no event happens in a state
// without a row for it.
func TestTableIsTheGraphsProjection(t *testing.T) {
	happens := map[spec.Row]bool{}
	for _, model := range []string{"ci", "restart"} {
		projects(t, graphs[model](), happens)
	}
	for _, r := range spec.Table() {
		if !happens[r] {
			t.Errorf("never happens: %v", r)
		}
	}
}

// projects adds the rows that happen in the graph.
func projects(t *testing.T, g *spec.Graph, happens map[spec.Row]bool) {
	for i := range g.States {
		from := g.States[i].St
		for _, e := range g.Edges(i) {
			at, to := from, g.States[e.To].St
			events, err := e.Step.Action.Events(from, to)
			if err != nil {
				t.Fatalf("%v in %v: %v", e.Step, g.States[i], err)
			}
			for _, event := range events {
				next, ok := spec.Next(event, at)
				if !ok {
					t.Fatalf("%v happens in %v, without a row, by %v in %v", event, at, e.Step, g.States[i])
				}
				happens[spec.Row{Event: event, From: at, To: next}] = true
				at = next
			}
			if at != to {
				t.Fatalf("%v leads to %v, its events %v to %v", e.Step, to, events, at)
			}
		}
	}
}

// No deadlock: while a call is under way or an operation runs, a step is possible that needs
// neither a new call, nor a context's end, nor a timeout, nor a failure report. (TLC shows that it
// happens in the end: Progress.)
func TestWhateverIsUnderWayGoesOn(t *testing.T) {
	for _, model := range []string{"ci", "restart"} {
		goesOn(t, graphs[model]())
	}
}

func goesOn(t *testing.T, g *spec.Graph) {
	terminated := 0
	for i := range g.States {
		s := &g.States[i]
		quiet := !s.Due && !slices.ContainsFunc(s.Callers[:], func(c spec.CallerVars) bool { return c.PC != spec.PCIdle }) &&
			!slices.ContainsFunc(s.Attempts[:], func(a spec.AttemptVars) bool { return a.Op != spec.OpNone })
		goesOn := slices.ContainsFunc(g.Edges(i), func(e spec.Edge) bool {
			a := e.Step.Action
			return a > spec.ContextEnds && a != spec.Timeout && a != spec.Fail
		})
		if goesOn == quiet {
			t.Fatalf("quiet: %v, goes on: %v in %v", quiet, goesOn, s)
		}
		if done := g.Bound.Terminated(s); done != (quiet && int(s.Calls) == g.Bound.Calls) {
			t.Fatalf("terminated: %v in %v", done, s)
		} else if done {
			terminated++
		}
	}
	if terminated == 0 {
		t.Error("no state is terminated")
	}
}

// The graph's own bookkeeping: every state is found again, and its path leads to it.
func TestPathsLeadWhereTheySay(t *testing.T) {
	for _, model := range []string{"quick", "restart-quick", "stoppers"} {
		pathsLead(t, graphs[model]())
	}
}

func pathsLead(t *testing.T, g *spec.Graph) {
	for i := range g.States {
		if j, ok := g.Lookup(&g.States[i]); !ok || j != i {
			t.Fatalf("state %d is looked up as %d, %v", i, j, ok)
		}
		if s, err := g.Bound.After(g.Path(i)); err != nil || s != g.States[i] {
			t.Fatalf("the path to %d leads to %v, want %v (%v)", i, s, g.States[i], err)
		}
	}
	if _, ok := g.Lookup(&spec.Snapshot{St: spec.Closed, Gen: 9}); ok {
		t.Error("a state that cannot be reached is found")
	}
}

// StepOf finds the parameter of every step of the graph from the two states alone, except for
// reports that come too late to change anything.
func TestStepOfFindsTheParameter(t *testing.T) {
	for _, model := range []string{"ci", "restart"} {
		parametersAreFound(t, graphs[model]())
	}
}

func parametersAreFound(t *testing.T, g *spec.Graph) {
	late := 0
	for i := range g.States {
		for _, e := range g.Edges(i) {
			got, ok := spec.StepOf(e.Step.Action, &g.States[i], &g.States[e.To])
			switch {
			case ok && got != e.Step:
				t.Fatalf("%v looks like %v", e.Step, got)
			case !ok && e.Step.Action != spec.Fail:
				t.Fatalf("%v looks like nothing", e.Step)
			case !ok:
				late++
			}
		}
	}
	if late == 0 {
		t.Error("no report was late: the exception is not needed")
	}
}

func TestNextRefusesWhatIsNoStep(t *testing.T) {
	b := spec.Bound{Callers: 2, Parts: 1, Calls: 2, Fails: 1}
	for _, st := range []spec.Step{
		{Action: spec.InvokeStart, Arg: 2}, // no such caller
		{Action: spec.Fail, Arg: 0},        // no such attempt
		{Action: spec.Fail, Arg: 3},        // beyond the bound
		{Action: spec.Action(99), Arg: 1},
		{Action: spec.Finish, Arg: 1}, // not enabled
	} {
		if s, ok := b.Next(b.Init(), st); ok || s != b.Init() {
			t.Errorf("%v is taken, to %v", st, s)
		}
	}
}

func TestSnapshotsReadWell(t *testing.T) {
	b := spec.Bound{Callers: 2, Parts: 2, Calls: 2, Fails: 1}
	s := b.Init()
	for _, st := range []spec.Step{
		{Action: spec.InvokeStart}, {Action: spec.InvokeStop, Arg: 1}, {Action: spec.StartFast}, {Action: spec.StartEnter},
		{Action: spec.OpenPart, Arg: 1}, {Action: spec.StopEnter, Arg: 1}, {Action: spec.ContextEnds}, {Action: spec.OpenErr, Arg: 1},
		{Action: spec.ReleaseErr, Arg: 1}, {Action: spec.Finish, Arg: 1},
	} {
		next, ok := b.Next(s, st)
		if !ok {
			t.Fatalf("%v cannot be taken in %v", st, s)
		}
		if st.Action == spec.Finish {
			const before = "Stopping gen=1 cur=0 calls=2 fails=0 | #1 op=release held=0 fate=stopped relerr" +
				" | c1 wait on=1 ended | c2 stopwait on=1"
			if s.String() != before {
				t.Errorf("before Finish:\n%v, want\n%v", s, before)
			}
			const after = "Idle gen=1 cur=0 calls=2 fails=0 | c1 wait on=1 ended out=stopped | c2 stopwait on=1 out=relerr"
			if next.String() != after {
				t.Errorf("after Finish:\n%v, want\n%v", next, after)
			}
			wrong := next
			wrong.St, wrong.Attempt(1).Held = spec.Stopping, 1
			wrong.Callers[0].Out, wrong.Callers[0].N = spec.OutFailed, 1
			var got []string
			for _, d := range spec.Diff(next, wrong) {
				got = append(got, d.String())
			}
			want := []string{"st: want Idle, got Stopping", "held[1]: want 0, got 1", "out[c1]: want stopped, got failed,1"}
			if !slices.Equal(got, want) {
				t.Errorf("the differences are %q, want %q", got, want)
			}
		}
		s = next
	}
}

// The names of tla/Algorithm.tla are the model's, in the same order: the named
// guards, the disjuncts of Next, the variables.
func TestNamesAreThoseOfTheTLA(t *testing.T) {
	text, err := os.ReadFile("../tla/Algorithm.tla")
	if err != nil {
		t.Fatal(err)
	}
	find := func(re string) (names []string) {
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
		return names
	}
	guards := append(find(`(?m)^(\w+)(?:\([a-z, ]*\))? +== .*\\\* G\d`), find(`(?m)^(May\w+)\([a-z]\) == [^\\]*/\\`)...)
	if !slices.Equal(guards, spec.GuardNames()) {
		t.Errorf("the guards are\n%q, in the model\n%q", guards, spec.GuardNames())
	}
	var actions []string
	for _, a := range spec.Actions() {
		actions = append(actions, a.String())
	}
	if got := find(`(?m)^    \\/ \\E [cg] \\in \w+ : (\w+)\([cg]\)$`); !slices.Equal(got, actions) {
		t.Errorf("the actions are\n%q, in the model\n%q", got, actions)
	}
	_, after, _ := strings.Cut(string(text), "\nVARIABLES\n")
	block, _, _ := strings.Cut(after, "\n\n")
	var variables []string
	for _, m := range regexp.MustCompile(`(?m)^    (\w+),? `).FindAllStringSubmatch(block, -1) {
		variables = append(variables, m[1])
	}
	var diffed []string
	a, b := spec.Snapshot{}, spec.Snapshot{St: spec.Closed, Gen: 1, Closing: true, Cur: 1, Due: true, Again: true, Restarts: 1, Calls: 1, Fails: 1}
	b.Attempts[0] = spec.AttemptVars{Op: spec.OpDrain, Held: 1, Reported: true, Fate: spec.FateFailed, Open: true, InUse: 1, Forced: true, RelErr: true}
	b.Callers[0] = spec.CallerVars{PC: spec.PCWait, On: 1, Ended: true, Out: spec.OutOK}
	for _, d := range spec.Diff(a, b) {
		diffed = append(diffed, d.Var)
	}
	if !slices.Equal(variables, diffed) {
		t.Errorf("the variables are\n%q, of a Snapshot\n%q", variables, diffed)
	}
}

func BenchmarkNext(b *testing.B) {
	g := graphs["ci"]()
	n := 0
	b.ReportAllocs()
	b.ResetTimer()
	for n < b.N {
		for i := range g.States {
			for _, e := range g.Edges(i) {
				if _, ok := g.Bound.Next(g.States[i], e.Step); !ok {
					b.Fatal(e.Step)
				}
				n++
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/step")
}

func BenchmarkEnabled(b *testing.B) {
	g := graphs["ci"]()
	var buf []spec.Step
	n := 0
	b.ReportAllocs()
	b.ResetTimer()
	for n < b.N {
		for i := range g.States {
			buf = g.Bound.Enabled(&g.States[i], buf[:0])
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/state")
}

func BenchmarkGraphCI(b *testing.B) {
	p, _ := spec.PinOf("ci")
	for b.Loop() {
		p.Bound.Graph()
	}
}
