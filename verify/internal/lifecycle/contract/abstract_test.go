package contract_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/checkout"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// models are those of tla/Abstract.cfg and tla/AbstractRestart.cfg, by the manifest's names.
var models = map[string]abstract.Model{
	"abstract":         {Callers: 2},
	"abstract-restart": {Callers: 2, Restarts: true},
}

// ofTLC are the same, as TLC has them.
var ofTLC = map[string]tlc.Model{
	"abstract":         {Name: "abstract", Config: "tla/Abstract.cfg", Module: "Abstract"},
	"abstract-restart": {Name: "abstract-restart", Config: "tla/AbstractRestart.cfg", Module: "Abstract"},
}

func dump(t *testing.T, name string) *tlc.Graph[abstract.State] {
	t.Helper()
	path, err := tlc.ForTest(t).Dump(t.Context(), ofTLC[name], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := tlc.Read(f, actions(), func(text []byte) (abstract.State, error) { return parse(models[name], text) })
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func actions() (names []string) {
	for a := abstract.Invoke; a <= abstract.UseEnds; a++ {
		names = append(names, a.String())
	}
	return names
}

// executable is the model, for the comparison with TLC's graph.
type executable struct {
	t       *testing.T
	model   abstract.Model
	g       *tlc.Graph[abstract.State]
	taken   []abstract.Step
	steps   []tlc.Step[abstract.State]
	matched map[tlc.Step[abstract.State]]bool // of one state
	edges   int
	wrong   int
}

func (x *executable) Start() (abstract.State, error) {
	return abstract.State{Restarts: x.model.Restarts}, nil
}

func (x *executable) Steps(s *abstract.State) []tlc.Step[abstract.State] {
	x.taken, x.steps = x.model.Enabled(s, x.taken[:0]), x.steps[:0]
	clear(x.matched)
	for _, st := range x.taken {
		to, _ := abstract.Next(*s, st)
		x.steps = append(x.steps, tlc.Step[abstract.State]{Action: uint8(st.Action), To: to})
	}
	return x.steps
}

func (x *executable) Terminated(*abstract.State) bool { return false }

func (x *executable) Wrong(s abstract.State, what string) {
	x.wrong++
	x.t.Errorf("%s: %+v", what, s)
}

func (x *executable) Same(_ *abstract.State, k int) {
	if !x.matched[x.steps[k]] {
		x.matched[x.steps[k]] = true
		x.edges++
	}
}

func (x *executable) Extra(s *abstract.State, k int, _ []tlc.Edge) {
	x.Wrong(*s, fmt.Sprintf("the model takes %v to %+v, TLC does not", x.taken[k], x.steps[k].To))
}

func (x *executable) Missing(s *abstract.State, e tlc.Edge) {
	x.Wrong(*s, fmt.Sprintf("TLC takes %v to %+v, the model does not", abstract.Action(e.Action), x.g.States[e.To]))
}

func (x *executable) Enough() bool { return x.wrong >= 5 }

// The model is TLC's graph: the same states, the same labelled edges, both ways.
func TestModelIsTLCsGraph(t *testing.T) {
	for name := range models {
		t.Run(name, func(t *testing.T) {
			g := dump(t, name)
			x := &executable{t: t, model: models[name], g: g, matched: map[tlc.Step[abstract.State]]bool{}}
			if !g.Compare(x) {
				t.Error("and perhaps more")
			}
			if !t.Failed() {
				fmt.Printf("CHECKED abstract graph model=%s states=%d edges=%d\n", name, len(g.States), x.edges)
			}
		})
	}
}

// The counts, action by action, are those that TLC has found. This test needs no Java.
func TestCountsAreTheManifests(t *testing.T) {
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := machine.Lifecycle.Specification.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range manifest.Models {
		model, ok := models[m.Name]
		if !ok {
			continue
		}
		found++
		g := model.Graph(nil)
		if got, want := g.Counts, (abstract.Counts{States: m.States, Edges: m.Edges, Depth: m.Depth}); got != want {
			t.Errorf("%s: the model has %v, the manifest %v", m.Name, got, want)
		}
		for a, n := range g.Taken {
			if name := abstract.Action(a).String(); m.Labels[name] != n {
				t.Errorf("%s: %s: %d edges in the model, %d in the manifest", m.Name, name, n, m.Labels[name])
			}
			delete(m.Labels, abstract.Action(a).String())
		}
		if len(m.Labels) != 0 {
			t.Errorf("%s: the model lacks the actions %v", m.Name, m.Labels)
		}
	}
	if found != len(models) {
		t.Errorf("the manifest has %d of %d models", found, len(models))
	}
}

func TestParseIsStrict(t *testing.T) {
	const text = `/\ out = (c1 :> <<"none", 0>> @@ c2 :> <<"cut", 1>>)
/\ res = "closing"
/\ call = (c1 :> "cut" @@ c2 :> "done")
/\ why = "none"
/\ ended = (c1 :> FALSE @@ c2 :> TRUE)
/\ due = FALSE
/\ again = TRUE
/\ final = FALSE`
	want := abstract.State{Restarts: true, Again: true}
	model := models["abstract-restart"]
	want.Res, want.Call[0], want.Call[1] = abstract.Closing, abstract.Cut, abstract.Done
	want.Ended[1], want.Out[1] = true, abstract.Result{Out: abstract.CutOff, N: 1}
	if got, err := parse(model, []byte(text)); err != nil || got != want {
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
		if got, err := parse(model, []byte(strings.Replace(text, c[0], c[1], 1))); err == nil {
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
	for _, model := range []abstract.Model{{Callers: 2}, {Callers: 3}, {Callers: 2, Restarts: true}} {
		o, err := model.Object()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for from, of := range o {
			for op, tos := range of {
				if op != abstract.Failure && op != abstract.Revival {
					got[fmt.Sprintf("%v, %v %v", from, op.Call, op.Out)] = strings.Trim(fmt.Sprint(tos), "[]")
				}
			}
			if died := fmt.Sprint(of[abstract.Failure]); died != map[string]string{idle: "[not open]", open: "[not open open]", closed: "[closed]"}[from.String()] {
				t.Errorf("%v, a failure: %v", from, died)
			}
		}
		for from, of := range o {
			revived, can := of[abstract.Revival]
			if want := model.Restarts && from.String() == idle; can != want || can && fmt.Sprint(revived) != "[open]" {
				t.Errorf("%+v: %v, a revival: %v", model, from, revived)
			}
		}
		for what, to := range want {
			if got[what] != to {
				t.Errorf("%+v: %s: got %q, want %q", model, what, got[what], to)
			}
		}
		for what, to := range got {
			if want[what] == "" {
				t.Errorf("%+v: %s leads to %s", model, what, to)
			}
		}
	}
}
