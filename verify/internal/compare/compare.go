// Package compare compares an executable model with the state graph that TLC dumped of the
// specification. A Machine describes the model: packages lifecycle/model and delivery/model have
// one each.
package compare

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// Bound is an executable model within a bound: the type Bound of the model's package.
type Bound[S comparable, T spec.AnyStep] interface {
	spec.Model[S, T]
	After(steps []T) (S, error)
	Terminated(s *S) bool
}

// Machine is what a comparison needs to know of a machine in addition to its model.
type Machine[B Bound[S, T], S comparable, T spec.AnyStep] struct {
	Names  []string // of the actions, by their numbers
	Labels []string // the same, as TLC labels the edges
	Parse  func(b B, text []byte) (S, error)
	Diff   func(want, got S) []spec.Difference

	// StepOf returns the step that leads from one state to the other. If it returns false, the step
	// only serves as a name in a report.
	StepOf func(action int, from, to *S) (T, bool)

	// Blame returns the guarantee that a difference after a step concerns. Nil: it is not known.
	Blame func(st T, d spec.Difference) spec.Guarantee

	// Candidates are steps of which some may be enabled. Enabled has to return exactly those that
	// Next takes. Nil: Enabled itself tries all steps.
	Candidates func(b B) []T
}

// Graph is the state graph that TLC dumped of a model within a bound.
type Graph[B Bound[S, T], S comparable, T spec.AnyStep] struct {
	*tlc.Graph[S]
	Bound   B
	From    []T // the steps from Init to where the graph begins
	machine *Machine[B, S, T]
}

// Model is a model whose graph TLC can dump.
type Model[B Bound[S, T], S comparable, T spec.AnyStep] struct {
	tlc.Model
	Bound B
	From  []T // the steps from Init to where it begins
}

// Dump runs TLC to dump a model and reads the dump. The dump is in dir, or in $SURESTART_DUMPS if
// that is set. Dump also returns its path.
func (m *Machine[B, S, T]) Dump(ctx context.Context, t tlc.TLC, model Model[B, S, T], dir string) (*Graph[B, S, T], string, error) {
	path, err := t.Dump(ctx, model.Model, dir)
	if err != nil {
		return nil, "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, path, err
	}
	defer f.Close()
	g, err := m.Read(f, model.Bound, model.From)
	if err != nil {
		return nil, path, fmt.Errorf("%s: %w", path, err)
	}
	return g, path, nil
}

// Stream is Dump for a model whose dump is too large to store.
func (m *Machine[B, S, T]) Stream(ctx context.Context, t tlc.TLC, model Model[B, S, T]) (g *Graph[B, S, T], err error) {
	return g, t.Stream(ctx, model.Model, func(r io.Reader) (err error) {
		g, err = m.Read(r, model.Bound, model.From)
		return err
	})
}

// Read reads a dump of the model within bound b. The initial state is the one to which the steps in
// from lead.
func (m *Machine[B, S, T]) Read(r io.Reader, b B, from []T) (*Graph[B, S, T], error) {
	g, err := tlc.Read(r, m.Labels, func(text []byte) (S, error) { return m.Parse(b, text) })
	if err != nil {
		return nil, err
	}
	return &Graph[B, S, T]{g, b, from, m}, nil
}

// Counts returns the size of the graph, and the number of edges of each action.
func (g *Graph[B, S, T]) Counts() (spec.Counts, []int) {
	c, taken := g.Graph.Counts()
	return spec.Counts(c), taken
}

// Pinned writes the counts of a graph as the last two fields of a Pin: Counts, of the given type,
// and Taken.
func (g *Graph[B, S, T]) Pinned(w io.Writer, counts string) {
	c, per := g.Counts()
	fmt.Fprintf(w, "Counts: %s{States: %d, Edges: %d, Depth: %d},\nTaken: [numActions]int{\n", counts, c.States, c.Edges, c.Depth)
	for a, n := range per {
		fmt.Fprintf(w, "%s: %d,\n", g.machine.Names[a], n)
	}
	fmt.Fprint(w, "},\n")
}

// AllTaken returns an error that names an action that none of the graphs takes.
func (m *Machine[B, S, T]) AllTaken(graphs []*Graph[B, S, T]) error {
	taken := make([]int, len(m.Names))
	for _, g := range graphs {
		_, per := g.Counts()
		for a, n := range per {
			taken[a] += n
		}
	}
	if a := slices.Index(taken, 0); a >= 0 {
		return fmt.Errorf("the action %s is never taken", m.Names[a])
	}
	return nil
}

// Mismatch is one difference between the executable model and TLC's graph.
type Mismatch[S comparable] struct {
	Source    S // where the step begins; for an initial state the state itself
	What      string
	Diffs     []spec.Difference // want: TLC, got: the model
	Guarantee spec.Guarantee    // the one that the first difference concerns, if that is known
}

// String describes the mismatch over several lines.
func (m Mismatch[S]) String() string {
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
type Report[S comparable] struct {
	Counts     spec.Counts   // of TLC's graph
	Mismatches []Mismatch[S] // as many as were asked for
	More       bool          // there may be more: the comparison ended early
}

// Compare compares the model of bound b with TLC's graph: see tlc.Graph.Compare.
//
// TLC's labels have no parameters. So for each state Compare compares the set of pairs of an action
// and a target. It checks the model's parameters against those that the two states show
// (Machine.StepOf).
//
// It ends early once it has found most mismatches.
func (g *Graph[B, S, T]) Compare(b B, most int) Report[S] {
	c := &comparison[B, S, T]{Graph: g, bound: b, most: most}
	if g.machine.Candidates != nil {
		c.candidates = g.machine.Candidates(b)
	}
	c.report.Counts, _ = g.Counts()
	if !g.Graph.Compare(c) {
		c.report.Mismatches, c.report.More = c.report.Mismatches[:most], true
	}
	return c.report
}

// comparison implements tlc.Executable with the model.
type comparison[B Bound[S, T], S comparable, T spec.AnyStep] struct {
	*Graph[B, S, T]
	bound      B
	most       int
	report     Report[S]
	steps      []T
	taken      []T           // those of steps that can be taken, and
	next       []tlc.Step[S] // where they lead
	candidates []T
	tried      []T
}

func (c *comparison[B, S, T]) mismatch(st T, m Mismatch[S]) {
	if len(m.Diffs) > 0 && c.machine.Blame != nil {
		m.Guarantee = c.machine.Blame(st, m.Diffs[0])
	}
	c.report.Mismatches = append(c.report.Mismatches, m)
}

func (c *comparison[B, S, T]) Start() (S, error) { return c.bound.After(c.From) }

func (c *comparison[B, S, T]) Enough() bool { return len(c.report.Mismatches) >= c.most }

func (c *comparison[B, S, T]) Terminated(s *S) bool { return c.bound.Terminated(s) }

func (c *comparison[B, S, T]) Wrong(s S, what string) {
	var none T
	c.mismatch(none, Mismatch[S]{Source: s, What: what})
}

func (c *comparison[B, S, T]) Steps(s *S) []tlc.Step[S] {
	c.steps = c.bound.Enabled(s, c.steps[:0])
	if c.candidates != nil {
		c.enabledIsWhatCanBeTaken(s)
	}
	c.taken, c.next = c.taken[:0], c.next[:0]
	for _, st := range c.steps {
		next, ok := c.bound.Next(*s, st)
		if !ok {
			c.Wrong(*s, fmt.Sprintf("%v is enabled, and Next does not take it", st))
			continue
		}
		c.taken, c.next = append(c.taken, st), append(c.next, tlc.Step[S]{Action: uint8(action(st)), To: next})
	}
	return c.next
}

func action[T spec.AnyStep](st T) int {
	n, _ := st.ActionNumber()
	return n
}

// Same checks that the model's parameters are those that the two states show.
func (c *comparison[B, S, T]) Same(s *S, k int) {
	st, next := c.taken[k], c.next[k].To
	if shown, ok := c.machine.StepOf(action(st), s, &next); ok && shown != st {
		c.mismatch(st, Mismatch[S]{Source: *s, Diffs: []spec.Difference{spec.Extra(st)},
			What: fmt.Sprintf("the model's %v has the effect of TLC's %v", st, shown)})
	}
}

// Extra reports a step that the model takes and TLC does not.
func (c *comparison[B, S, T]) Extra(s *S, k int, out []tlc.Edge) {
	st, next := c.taken[k], c.next[k].To
	for _, e := range out { // the same step to elsewhere, if there is one
		to := &c.States[e.To]
		if same, ok := c.machine.StepOf(action(st), s, to); int(e.Action) == action(st) && (!ok || same == st) {
			c.mismatch(st, Mismatch[S]{Source: *s, What: fmt.Sprintf("%v leads elsewhere than TLC's", st), Diffs: c.machine.Diff(*to, next)})
			return
		}
	}
	c.mismatch(st, Mismatch[S]{Source: *s, What: fmt.Sprintf("the model takes %v, TLC does not", st), Diffs: []spec.Difference{spec.Extra(st)}})
}

// Missing reports an edge e of TLC from s that no step of the model has.
func (c *comparison[B, S, T]) Missing(s *S, e tlc.Edge) {
	to := c.States[e.To]
	st, _ := c.machine.StepOf(int(e.Action), s, &to)
	diffs := []spec.Difference{spec.Missing(st)}
	if next, ok := c.bound.Next(*s, st); ok {
		diffs = c.machine.Diff(to, next)
	}
	c.mismatch(st, Mismatch[S]{Source: *s, What: fmt.Sprintf("TLC's %v leads to %v, no step of the model does", st, to), Diffs: diffs})
}

// enabledIsWhatCanBeTaken checks that Enabled returns exactly the steps that Next takes when all
// candidates are tried.
func (c *comparison[B, S, T]) enabledIsWhatCanBeTaken(s *S) {
	c.tried = c.tried[:0]
	for _, st := range c.candidates {
		if _, ok := c.bound.Next(*s, st); ok {
			c.tried = append(c.tried, st)
		}
	}
	same := len(c.tried) == len(c.steps)
	for _, st := range c.tried {
		same = same && slices.Contains(c.steps, st)
	}
	if !same {
		c.Wrong(*s, fmt.Sprintf("Enabled says %v, Next takes %v", c.steps, c.tried))
	}
}
