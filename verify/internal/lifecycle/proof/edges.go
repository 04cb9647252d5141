package proof

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
	tlclifecycle "github.com/seed3893aba4/surestart/verify/internal/lifecycle/model"
)

// writeEdges writes states and steps of the algorithm's state graph to a file, as JSON lines. The
// proof compares Z3's transition relation with them. The graph is that of the executable model
// (package spec), which tests compare with TLC's, state by state and edge by edge.
//
// The first line is the bound. A line {"state": i, "vars": {...}} comes before every line that
// mentions i. A line {"from": i, "edges": [[action, parameter, to], ...]} lists all steps out of a
// state. With n 0 the whole graph is written. Otherwise states are drawn until their steps number n
// or more, with at least some for each class of step: the action, what it changes, and the states
// and places between which it leads.
func writeEdges(file, root, model string, n int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(write(json.NewEncoder(out), root, model, n), out.Flush(), f.Close())
}

func write(out *json.Encoder, root, model string, n int) error {
	bound, err := tlclifecycle.Bound(root, model)
	if err != nil {
		return err
	}
	g, err := bound.GraphFrom(tlclifecycle.From(model))
	if err != nil {
		return err
	}
	err = out.Encode(map[string]any{"model": model, "states": len(g.States), "steps": g.Steps(),
		"bound": map[string]any{"callers": bound.Callers, "parts": bound.Parts, "retries": bound.Retries, "restarts": bound.Restarts,
			"calls": bound.Calls, "fails": bound.Fails, "attempts": bound.Attempts()}})
	if err != nil {
		return err
	}
	w := writer{out, g, make([]bool, len(g.States))}
	for _, i := range draw(g, n) {
		if err := w.source(i); err != nil {
			return err
		}
	}
	return nil
}

// each is the number of steps to draw from every class, if it has that many.
const each = 20

// draw returns the sources whose steps are written: the same in each run.
func draw(g *spec.Graph, n int) []int {
	if n == 0 || n >= g.Steps() {
		all := make([]int, len(g.States))
		for i := range all {
			all[i] = i
		}
		return all
	}
	rng := rand.New(rand.NewPCG(1, 0))
	order := rng.Perm(len(g.States))
	classes := map[string]int{}
	var drawn, rest []int
	steps := 0
	for _, i := range order {
		rare := false
		for _, e := range g.Edges(i) {
			if k := class(&g.States[i], &g.States[e.To], e.Step); classes[k] < each {
				classes[k]++
				rare = true
			}
		}
		if rare {
			drawn = append(drawn, i)
			steps += len(g.Edges(i))
		} else {
			rest = append(rest, i)
		}
	}
	for _, i := range rest {
		if steps >= n {
			break
		}
		drawn = append(drawn, i)
		steps += len(g.Edges(i))
	}
	return drawn
}

// class names the class of a step.
func class(from, to *spec.Snapshot, st spec.Step) string {
	var b strings.Builder
	fmt.Fprint(&b, st.Action, from.St, to.St)
	if st.Action.OfCaller() {
		f, t := from.Callers[st.Arg], to.Callers[st.Arg]
		fmt.Fprint(&b, f.PC, t.PC, f.Out, t.Out)
	}
	for _, d := range spec.Diff(*from, *to) {
		fmt.Fprint(&b, d.Var, ",")
	}
	return b.String()
}

type writer struct {
	out     *json.Encoder
	graph   *spec.Graph
	written []bool
}

func (w *writer) source(i int) error {
	if err := w.state(i); err != nil {
		return err
	}
	edges := [][3]any{}
	for _, e := range w.graph.Edges(i) {
		if err := w.state(int(e.To)); err != nil {
			return err
		}
		edges = append(edges, [3]any{e.Step.Action.String(), e.Step.Arg, e.To})
	}
	return w.out.Encode(map[string]any{"from": i, "edges": edges})
}

func (w *writer) state(i int) error {
	if w.written[i] {
		return nil
	}
	w.written[i] = true
	s, b := &w.graph.States[i], w.graph.Bound
	vars := map[string]any{"st": s.St.String(), "gen": s.Gen, "closing": s.Closing, "cur": s.Cur,
		"due": s.Due, "again": s.Again, "restarts": s.Restarts, "calls": s.Calls, "fails": s.Fails}
	column := func(name string, n int, value func(int) any) {
		values := make([]any, n)
		for i := range values {
			values[i] = value(i)
		}
		vars[name] = values
	}
	a, c := &s.Attempts, &s.Callers
	column("op", b.Attempts(), func(g int) any { return a[g].Op.String() })
	column("held", b.Attempts(), func(g int) any { return a[g].Held })
	column("reported", b.Attempts(), func(g int) any { return a[g].Reported })
	column("fate", b.Attempts(), func(g int) any { return a[g].Fate.String() })
	column("open", b.Attempts(), func(g int) any { return a[g].Open })
	column("inuse", b.Attempts(), func(g int) any { return a[g].InUse })
	column("forced", b.Attempts(), func(g int) any { return a[g].Forced })
	column("relerr", b.Attempts(), func(g int) any { return a[g].RelErr })
	column("pc", b.Callers, func(i int) any { return c[i].PC.String() })
	column("on", b.Callers, func(i int) any { return c[i].On })
	column("ended", b.Callers, func(i int) any { return c[i].Ended })
	column("out", b.Callers, func(i int) any { return [2]any{c[i].Out.String(), c[i].N} })
	return w.out.Encode(map[string]any{"state": i, "vars": vars})
}
