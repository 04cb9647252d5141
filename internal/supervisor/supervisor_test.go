package supervisor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/seed3893aba4/surestart/internal/supervisor"
	"github.com/seed3893aba4/surestart/internal/tlc"
	"github.com/seed3893aba4/surestart/spec"
)

// bound is tla/Supervisor.cfg's.
var bound = spec.Bound{Callers: 3, Parts: 1, Calls: 3, Fails: 1}

// Without Java: as many states and levels as TLC has found.
func TestCountsAreTheManifests(t *testing.T) {
	text, err := os.ReadFile("../../tla/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Models []struct {
			Name   string
			States int
		}
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	states := 0
	supervisor.Model{Bound: bound}.Each(func(supervisor.State) { states++ }, func(supervisor.State, supervisor.Step, supervisor.State) {})
	for _, m := range manifest.Models {
		if m.Name == "supervisor" {
			if m.States != states {
				t.Errorf("the model has %d states, tla/manifest.json %d", states, m.States)
			}
			return
		}
	}
	t.Error("tla/manifest.json has no model supervisor")
}

type pair struct{ from, to supervisor.State }

// The model is TLC's graph: the same states, and the same steps between them, both ways.
func TestModelIsTLCsGraph(t *testing.T) {
	states, edges := dump(t)
	wrong := 0
	report := func(format string, args ...any) {
		if wrong++; wrong <= 5 {
			t.Errorf(format, args...)
		}
	}
	n, found := 0, map[pair]bool{}
	m := supervisor.Model{Bound: bound}
	depth := m.Each(func(s supervisor.State) {
		if n++; !states[s] {
			report("a state that TLC does not reach: %+v", s)
		}
	}, func(from supervisor.State, st supervisor.Step, to supervisor.State) {
		e := pair{from, to}
		found[e] = true
		if !edges[e] {
			report("the model takes %v, TLC does not:\n  from %+v\n  to   %+v", st, from, to)
		}
	})
	for e := range edges {
		if !found[e] && e.from != e.to { // a run that has ended stays as it is
			report("TLC takes a step that the model does not:\n  from %+v\n  to   %+v", e.from, e.to)
		}
	}
	if n != len(states) {
		report("the model has %d states, TLC %d", n, len(states))
	}
	if wrong > 5 {
		t.Errorf("and %d more", wrong-5)
	}
	if !t.Failed() {
		fmt.Printf("CHECKED supervisor graph states=%d steps=%d depth=%d\n", n, len(found), depth)
	}
}

var own = regexp.MustCompile(`(?m)^/\\ (due|start) = (\S+)\n?`)

// dump is TLC's graph.
func dump(t *testing.T) (states map[supervisor.State]bool, edges map[pair]bool) {
	if testing.Short() {
		t.Skip("-short: TLC writes this graph for half a minute")
	}
	runner := tlc.ForTest(t)
	if b, err := tlc.Bound(runner.Root, "supervisor"); err != nil || b != bound {
		t.Fatalf("the bound is %v (%v), want %v", b, err, bound)
	}
	known := map[int64]supervisor.State{}
	states = map[supervisor.State]bool{}
	var ids [][2]int64
	read := func(id int64, text []byte, _ bool) error {
		var s supervisor.State
		seen := 0
		for _, v := range own.FindAllSubmatch(text, -1) {
			seen++
			switch name, value := string(v[1]), string(v[2]); {
			case name == "due" && (value == "TRUE" || value == "FALSE"):
				s.Due = value == "TRUE"
			case name == "start" && value == `"wanted"`:
				s.Start = supervisor.Wanted
			case name == "start" && value == `"off"`:
				s.Start = supervisor.Off
			case name != "start" || value != `"none"`:
				return fmt.Errorf("%s = %s", name, value)
			}
		}
		if seen != 2 {
			return fmt.Errorf("due and start are there %d times: %s", seen, text)
		}
		var err error
		s.Snapshot, err = tlc.ParseState(bound, own.ReplaceAll(text, nil))
		known[id], states[s] = s, true
		return err
	}
	edge := func(from, to int64, _ []byte) error { ids = append(ids, [2]int64{from, to}); return nil }
	if err := runner.Visit(t.Context(), "supervisor", t.TempDir(), tlc.Visitor{State: read, Edge: edge}); err != nil {
		t.Fatal(err)
	}
	edges = map[pair]bool{}
	for _, e := range ids {
		from, ok := known[e[0]]
		to, too := known[e[1]]
		if !ok || !too {
			t.Fatalf("an edge between unknown states: %v", e)
		}
		edges[pair{from, to}] = true
	}
	return states, edges
}
