package tlc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
)

// Mismatch is one thing in which the executable model differs from TLC's graph.
type Mismatch struct {
	Source    spec.Snapshot // where the step begins; for an initial state the state itself
	What      string
	Diffs     []spec.Difference // want: TLC, got: the model
	Guarantee spec.Guarantee    // the one that the first difference concerns
}

// String describes the mismatch over several lines.
func (m Mismatch) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  in %v", m.What, m.Source)
	for _, d := range m.Diffs {
		fmt.Fprintf(&b, "\n  %v", d)
	}
	if m.Guarantee.ID != "" {
		fmt.Fprintf(&b, "\n  this concerns %v", m.Guarantee)
	}
	return b.String()
}

// Report is the outcome of a comparison.
type Report struct {
	Counts     spec.Counts // of TLC's graph
	Mismatches []Mismatch  // as many as were asked for
	More       bool        // there may be more: the comparison ended early
}

// Compare holds the model of bound b against TLC's graph, both ways: the initial
// state; from every state of TLC the same steps, to the same states; the same
// terminal states; every state of TLC reached. Since both begin in the same
// state and take the same steps from each, they are the same graph.
//
// TLC's labels have no parameters, so what is compared for a state is the set of
// pairs of an action and a target; the model's parameter is checked against the
// one that the two states show (spec.StepOf).
//
// It ends early once it has found most mismatches.
func (g *Graph) Compare(b spec.Bound, most int) Report {
	c := comparison{Graph: g, bound: b}
	c.report.Counts, _ = g.Counts()
	start, err := b.After(g.From)
	if err != nil {
		c.mismatch(spec.Step{}, Mismatch{Source: start, What: err.Error()})
	} else if len(g.Initial) != 1 || g.States[g.Initial[0]] != start {
		c.mismatch(spec.Step{}, Mismatch{Source: start, What: fmt.Sprintf("TLC has %d initial states, the model has this one", len(g.Initial))})
	}
	for i := range g.States {
		if len(c.report.Mismatches) >= most {
			c.report.Mismatches, c.report.More = c.report.Mismatches[:most], true
			return c.report
		}
		c.state(int32(i))
	}
	if unreached := len(g.States) - c.report.Counts.States; unreached > 0 {
		c.mismatch(spec.Step{}, Mismatch{What: fmt.Sprintf("%d states of TLC's dump are not reached from its initial state", unreached)})
	}
	return c.report
}

type comparison struct {
	*Graph
	bound   spec.Bound
	report  Report
	steps   []spec.Step
	tried   []spec.Step
	matched []bool
}

func (c *comparison) mismatch(st spec.Step, m Mismatch) {
	if len(m.Diffs) > 0 {
		m.Guarantee = spec.Blame(st, m.Diffs[0])
	}
	c.report.Mismatches = append(c.report.Mismatches, m)
}

// state compares the steps out of one state of TLC.
func (c *comparison) state(i int32) {
	s, want := &c.States[i], c.out(i)
	c.matched = append(c.matched[:0], make([]bool, len(want))...)
	c.steps = c.bound.Enabled(s, c.steps[:0])
	c.enabledIsWhatCanBeTaken(s)
	if terminated := c.bound.Terminated(s); terminated != c.Terminal[i] {
		c.mismatch(spec.Step{}, Mismatch{Source: *s, What: fmt.Sprintf("Terminated: TLC says %v, the model %v", c.Terminal[i], terminated)})
	}
	for _, st := range c.steps {
		next, ok := c.bound.Next(*s, st)
		if !ok {
			continue // reported above
		}
		j := -1
		if to, known := c.number[next]; known {
			j = slices.Index(want, edge{i, to, st.Action})
		}
		if j < 0 {
			c.extra(s, st, next, want)
			continue
		}
		c.matched[j] = true
		if shown, ok := spec.StepOf(st.Action, s, &next); ok && shown != st {
			c.mismatch(st, Mismatch{Source: *s, Diffs: []spec.Difference{spec.Extra(st)},
				What: fmt.Sprintf("the model's %v has the effect of TLC's %v", st, shown)})
		}
	}
	for j, e := range want {
		if !c.matched[j] {
			c.missing(s, e)
		}
	}
}

// extra: the model takes st to next, TLC does not.
func (c *comparison) extra(s *spec.Snapshot, st spec.Step, next spec.Snapshot, want []edge) {
	for _, e := range want { // the same step to elsewhere, if there is one
		to := &c.States[e.to]
		if same, ok := spec.StepOf(e.action, s, to); e.action == st.Action && (!ok || same == st) {
			c.mismatch(st, Mismatch{*s, fmt.Sprintf("%v leads elsewhere than TLC's", st), spec.Diff(*to, next), spec.Guarantee{}})
			return
		}
	}
	c.mismatch(st, Mismatch{*s, fmt.Sprintf("the model takes %v, TLC does not", st), []spec.Difference{spec.Extra(st)}, spec.Guarantee{}})
}

// missing: TLC has the edge e from s, the model has no step with this effect.
func (c *comparison) missing(s *spec.Snapshot, e edge) {
	st, ok := spec.StepOf(e.action, s, &c.States[e.to])
	if !ok {
		st = spec.Step{Action: e.action, Arg: s.Gen}
	}
	to := c.States[e.to]
	diffs := []spec.Difference{spec.Missing(st)}
	if next, ok := c.bound.Next(*s, st); ok {
		diffs = spec.Diff(to, next)
	}
	c.mismatch(st, Mismatch{*s, fmt.Sprintf("TLC's %v leads to %v, no step of the model does", st, to), diffs, spec.Guarantee{}})
}

// enabledIsWhatCanBeTaken: Enabled, which looks at each caller and attempt once,
// finds exactly the steps that Next takes when all are tried.
func (c *comparison) enabledIsWhatCanBeTaken(s *spec.Snapshot) {
	c.tried = c.tried[:0]
	for _, a := range spec.Actions() {
		low, high := uint8(1), uint8(c.bound.Calls+1)
		if a.OfCaller() {
			low, high = 0, uint8(c.bound.Callers)
		}
		for arg := low; arg < high; arg++ {
			if _, ok := c.bound.Next(*s, spec.Step{Action: a, Arg: arg}); ok {
				c.tried = append(c.tried, spec.Step{Action: a, Arg: arg})
			}
		}
	}
	same := len(c.tried) == len(c.steps)
	for _, st := range c.tried {
		same = same && slices.Contains(c.steps, st)
	}
	if !same {
		c.mismatch(spec.Step{}, Mismatch{Source: *s, What: fmt.Sprintf("Enabled says %v, Next takes %v", c.steps, c.tried)})
	}
}
