package abstract_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/tlc"
)

const callers = 2 // tla/Abstract.cfg

// dumped is what TLC says: every state, and every labelled edge between two.
type dumped struct {
	initial []abstract.State
	states  map[abstract.State]bool
	edges   map[abstract.Edge]bool
}

func dump(t *testing.T) dumped {
	t.Helper()
	type edge struct {
		from, to int64
		label    string
	}
	var (
		d     = dumped{states: map[abstract.State]bool{}, edges: map[abstract.Edge]bool{}}
		ids   = map[int64]abstract.State{}
		edges []edge
	)
	err := tlc.ForTest(t).Visit(t.Context(), "abstract", t.TempDir(), tlc.Visitor{
		State: func(id int64, text []byte, initial bool) error {
			s, err := parse(callers, string(text))
			if before, again := ids[id]; again && before != s || !again && d.states[s] {
				return fmt.Errorf("a fingerprint of two states, or a state of two fingerprints: %q", text)
			}
			ids[id], d.states[s] = s, true
			if initial {
				d.initial = append(d.initial, s)
			}
			return err
		},
		Edge: func(from, to int64, label []byte) error {
			edges = append(edges, edge{from, to, string(label)})
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]abstract.Action{}
	for a := abstract.Invoke; a <= abstract.UseEnds; a++ {
		actions[a.String()] = a
	}
	for _, e := range edges {
		a, known := actions[e.label]
		from, ok := ids[e.from]
		to, too := ids[e.to]
		if !known || !ok || !too {
			t.Fatalf("an edge of an unknown action, or between unknown states: %+v", e)
		}
		d.edges[abstract.Edge{From: from, To: to, Action: a}] = true
	}
	return d
}

// The model is TLC's graph: the same states, the same labelled edges, both ways.
func TestModelIsTLCsGraph(t *testing.T) {
	d := dump(t)
	wrong := 0
	report := func(format string, args ...any) {
		if wrong++; wrong <= 5 {
			t.Errorf(format, args...)
		}
	}
	if len(d.initial) != 1 || d.initial[0] != abstract.Init() {
		report("TLC begins in %v, the model in %v", d.initial, abstract.Init())
	}
	found := 0
	g := abstract.Model{Callers: callers}.Graph(func(e abstract.Edge) {
		found++
		if !d.edges[e] {
			report("the model takes %v, TLC does not:\n  from %+v\n  to   %+v", e.Action, e.From, e.To)
		}
		delete(d.edges, e)
	})
	for e := range d.edges {
		report("TLC takes %v, the model does not:\n  from %+v\n  to   %+v", e.Action, e.From, e.To)
	}
	for s := range d.states {
		if !g.Has(s) {
			report("a state that the model does not reach: %+v", s)
		}
	}
	for _, s := range g.States {
		if !d.states[s] {
			report("a state that TLC does not reach: %+v", s)
		}
	}
	if wrong > 5 {
		t.Errorf("and %d more", wrong-5)
	}
	if !t.Failed() {
		fmt.Printf("CHECKED abstract graph states=%d edges=%d\n", len(d.states), found)
	}
}

// Without Java, too: the counts, action by action, are those that TLC has found.
func TestCountsAreTheManifests(t *testing.T) {
	root, err := tlc.Root()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "tla", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Models []struct {
			Name                 string
			States, Edges, Depth int
			Labels               map[string]int
		}
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	g := abstract.Model{Callers: callers}.Graph(nil)
	for _, m := range manifest.Models {
		if m.Name != "abstract" {
			continue
		}
		if got, want := g.Counts, (abstract.Counts{States: m.States, Edges: m.Edges, Depth: m.Depth}); got != want {
			t.Errorf("the model has %v, the manifest %v", got, want)
		}
		if len(m.Labels) != len(g.Taken) {
			t.Errorf("%d actions in the manifest, %d in the model", len(m.Labels), len(g.Taken))
		}
		for a, n := range g.Taken {
			if name := abstract.Action(a).String(); m.Labels[name] != n {
				t.Errorf("%s: %d edges in the model, %d in the manifest", name, n, m.Labels[name])
			}
		}
		return
	}
	t.Error("the manifest has no model called abstract")
}

func TestParseIsStrict(t *testing.T) {
	const text = `/\ out = (c1 :> <<"none", 0>> @@ c2 :> <<"cut", 1>>)
/\ res = "closing"
/\ call = (c1 :> "cut" @@ c2 :> "done")
/\ why = "none"
/\ ended = (c1 :> FALSE @@ c2 :> TRUE)
/\ final = FALSE`
	var want abstract.State
	want.Res, want.Call[0], want.Call[1] = abstract.Closing, abstract.Cut, abstract.Done
	want.Ended[1], want.Out[1] = true, abstract.Result{Out: abstract.CutOff, N: 1}
	if got, err := parse(callers, text); err != nil || got != want {
		t.Fatalf("read as %+v, %v", got, err)
	}
	for _, c := range [][2]string{
		{`/\ final = FALSE`, ``}, {`/\ final = FALSE`, `/\ finale = FALSE`}, {`/\ final = FALSE`, `/\ why = "none"`},
		{`c2 :> TRUE`, `c1 :> TRUE`}, {`c2 :> TRUE`, `c3 :> TRUE`}, {`c2 :> TRUE`, `c2 :> 1`}, {` @@ c2 :> TRUE`, ``},
		{`"closing"`, `"shut"`}, {`"cut", 1`, `"cut", 3`}, {`"cut", 1`, `"cat", 1`}, {`<<"cut", 1>>`, `"cut"`}, {`"done"`, `"gone"`},
	} {
		if strings.Count(text, c[0]) != 1 {
			t.Fatalf("%q is not there once", c[0])
		}
		if got, err := parse(callers, strings.Replace(text, c[0], c[1], 1)); err == nil {
			t.Errorf("%q for %q is read as %+v", c[1], c[0], got)
		}
	}
}

// The atomic object that callers may take the contract for, in full.
func TestObject(t *testing.T) {
	const idle, open, closed = "not open", "open", "closed"
	want := map[string]string{}
	say := func(to string, from string, call abstract.Call, outs ...abstract.Out) {
		for _, out := range outs {
			want[fmt.Sprintf("%s, %v %v", from, call, out)] = to
		}
	}
	stopped := []abstract.Out{abstract.Ok, abstract.Ctx, abstract.RelErr, abstract.CutOff}
	say(open, idle, abstract.InStart, abstract.Ok)
	say(open, open, abstract.InStart, abstract.Ok)
	say(idle, idle, abstract.InStart, abstract.Ctx, abstract.Failed, abstract.Stopped)
	say(closed, closed, abstract.InStart, abstract.Ctx, abstract.Failed, abstract.Stopped, abstract.Closed)
	say(idle, idle, abstract.InUse, abstract.NotStarted)
	say(open, open, abstract.InUse, abstract.Ok)
	say(closed, closed, abstract.InUse, abstract.Closed)
	for _, from := range []string{idle, open} {
		say(idle, from, abstract.InStop, stopped...)
		say(closed, from, abstract.InShut, stopped...)
	}
	say(closed, closed, abstract.InStop, stopped...)
	say(closed, closed, abstract.InShut, stopped...)
	for _, callers := range []int{2, 3} {
		o, err := abstract.Model{Callers: callers}.Object()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for from, of := range o {
			for op, tos := range of {
				if op != abstract.Failure {
					got[fmt.Sprintf("%v, %v %v", from, op.Call, op.Out)] = strings.Trim(fmt.Sprint(tos), "[]")
				}
			}
			if died := fmt.Sprint(of[abstract.Failure]); died != map[string]string{idle: "[not open]", open: "[not open open]", closed: "[closed]"}[from.String()] {
				t.Errorf("%v, a failure: %v", from, died)
			}
		}
		for what, to := range want {
			if got[what] != to {
				t.Errorf("%d callers: %s: got %q, want %q", callers, what, got[what], to)
			}
		}
		for what, to := range got {
			if want[what] == "" {
				t.Errorf("%d callers: %s leads to %s", callers, what, to)
			}
		}
	}
}
