package model

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/sections"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// labels are those of tla/Sections.tla's edges.
var labels = []string{"SectionsNext", "Whole", "Releases", "O1", "O2", "O3", "O4", "F1", "F2", "F3", "F4"}

// label returns the label of a step that leads to a state.
func label(from *sections.State, st sections.Step) string {
	switch {
	case sections.IsLockFree(st.Action):
		return "SectionsNext"
	case !st.Onward:
		if after, _ := sections.Model.Next(*from, st); after.Half != sections.Free {
			return map[sections.Half]string{sections.Gate: "O1", sections.Stop: "Releases", sections.Shut: "Releases",
				sections.Fail: "Releases", sections.Ends: "F1"}[after.Half]
		}
		return "Whole"
	}
	return map[sections.Half]string{sections.Gate: "O2", sections.Opened: "O3", sections.Pointer: "O4", sections.Stop: "Releases",
		sections.Shut: "Releases", sections.Fail: "Releases", sections.Ends: "F2", sections.Begins: "F3", sections.Answers: "F4"}[from.Half]
}

// parseSections reads a state of tla/Sections.tla.
func parseSections(text []byte) (s sections.State, err error) {
	p := parser{bound: sections.Model.Bound}
	err = tlc.ReadState(text, append(slices.Clone(variables), "word", "section"), func(v *tlc.Values, name string) {
		p.Values = v
		switch name {
		case "word":
			s.Word = tlc.Named[spec.State](v, states)
		case "section":
			v.Want("<<")
			s.Half = tlc.Named[sections.Half](v, tlc.Names(sections.Answers))
			v.Want(",")
			if caller := v.Skip("c"); caller {
				s.Of = v.Number(sections.Model.Callers) - 1
			} else {
				s.Of = v.Number(sections.Model.Attempts())
			}
			v.Want(">>")
		default:
			p.variable(name, &s.Snapshot)
		}
	})
	return s, err
}

// The model of Sections is TLC's graph: the same states, the same labelled edges, both ways. A model that writes the words
// in another order is not.
func TestSectionsAreTLCs(t *testing.T) {
	if testing.Short() && os.Getenv("SURESTART_BOUND") != "ci" {
		t.Skip("-short: TLC dumps the graph: half a minute")
	}
	g := tlc.Once(func(t tlc.TLC, dir string) (*tlc.Graph[sections.State], error) {
		path, err := t.Dump(context.Background(), tlc.Model{Name: "sections", Config: "tla/Sections.cfg", Module: "Sections"}, dir)
		if err != nil {
			return nil, err
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return tlc.Read(f, labels, parseSections)
	})(t)
	if bound, err := boundOf("../../../..", "tla/Sections.cfg"); err != nil || bound != sections.Model.Bound {
		t.Fatalf("the bound is %v, of Sections.cfg %v (%v)", sections.Model, bound, err)
	}
	c := &ofSections{t: t}
	g.Compare(c)
	counts, taken := g.Counts()
	if i := slices.Index(taken, 0); i >= 0 {
		t.Errorf("TLC takes %s never", labels[i])
	}
	if !t.Failed() {
		t.Logf("CHECKED spec sections states=%d edges=%d depth=%d", counts.States, counts.Edges, counts.Depth)
	}
	for _, swapped := range []sections.Half{sections.Gate, sections.Stop, sections.Ends} {
		c := &ofSections{swapped: swapped}
		if g.Compare(c); c.wrong == 0 {
			t.Errorf("the comparison does not notice another order after %v", swapped)
		}
	}
}

// ofSections is the model as a tlc.Executable.
type ofSections struct {
	t       *testing.T    // nil: wrong is counted
	swapped sections.Half // after it the word is not what the model writes; Free: none
	wrong   int
	steps   []tlc.Step[sections.State]
}

func (c *ofSections) Start() (sections.State, error) { return sections.Model.Init(), nil }

func (c *ofSections) Steps(s *sections.State) []tlc.Step[sections.State] {
	c.steps = c.steps[:0]
	add := func(label string, to sections.State) {
		c.steps = append(c.steps, tlc.Step[sections.State]{Action: uint8(slices.Index(labels, label)), To: to})
	}
	for _, st := range sections.Model.Enabled(s, nil) {
		to, ok := sections.Model.Next(*s, st)
		if !ok {
			c.Wrong(*s, st.String()+" is enabled, and Next does not take it")
		}
		if st.Onward && s.Half == c.swapped {
			to.Word = s.Word
		}
		add(label(s, st), to)
	}
	if sections.Model.Terminated(&s.Snapshot) {
		add("SectionsNext", *s) // Terminating
	}
	return c.steps
}

func (c *ofSections) Terminated(*sections.State) bool { return false } // it is a step here
func (c *ofSections) Same(*sections.State, int)       {}
func (c *ofSections) Enough() bool                    { return c.wrong >= 5 }

func (c *ofSections) Wrong(s sections.State, what string) {
	if c.wrong++; c.t != nil {
		c.t.Errorf("%s\n  in %v", what, s)
	}
}

func (c *ofSections) Extra(s *sections.State, step int, _ []tlc.Edge) {
	c.Wrong(*s, labels[c.steps[step].Action]+" leads, by the model alone, to "+c.steps[step].To.String())
}

func (c *ofSections) Missing(s *sections.State, e tlc.Edge) {
	c.Wrong(*s, labels[e.Action]+" leads, by TLC alone, elsewhere")
}
