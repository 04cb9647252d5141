package scheduler

import (
	"fmt"

	"github.com/seed3893aba4/surestart/spec"
)

// Cover is how much of a graph was walked in the code.
type Cover struct {
	States, Edges int   // distinct, each compared
	Replays       int   // how often the code was started afresh
	Steps         int64 // steps of the code, all of them compared
}

// String reads like a line of a report.
func (c Cover) String() string {
	return fmt.Sprintf("states=%d edges=%d replays=%d steps=%d", c.States, c.Edges, c.Replays, c.Steps)
}

// Explore walks every edge of the model's graph in the code: in each state the
// steps that the code can take are those that the model can, and each leads to
// the model's successor. It returns the first *Difference. progress, which may be
// nil, is called now and then.
//
// A replay follows the edges by which the states were first reached to the first
// state that still has an edge to walk, and goes on along such edges for as long
// as there is one. Because the states are taken in the order of a breadth-first
// search, a difference is found at the end of a schedule that is short.
func Explore(g *spec.Graph, progress func(Cover)) (Cover, error) {
	var c Cover
	walked := make([]uint16, len(g.States)) // how many edges of the state, from the first on
	visited := make([]bool, len(g.States))
	for target := range g.States {
		for int(walked[target]) < len(g.Edges(target)) || !visited[target] {
			if err := c.replay(g, target, walked, visited); err != nil {
				return c, err
			}
			if progress != nil && c.Replays%1024 == 0 {
				progress(c)
			}
		}
	}
	return c, nil
}

func (c *Cover) replay(g *spec.Graph, target int, walked []uint16, visited []bool) error {
	c.Replays++
	p := NewPair(g.Bound)
	defer p.Close()
	for _, st := range g.Path(target) {
		c.Steps++
		if err := p.Take(st); err != nil {
			return err
		}
	}
	at := target
	for {
		if !visited[at] {
			visited[at] = true
			c.States++
			if _, err := p.Enabled(); err != nil {
				return err
			}
			if err := p.refuses(); err != nil {
				return err
			}
		}
		edges := g.Edges(at)
		if int(walked[at]) == len(edges) {
			return nil
		}
		e := edges[walked[at]]
		walked[at]++
		c.Edges++
		c.Steps++
		if err := p.Take(e.Step); err != nil {
			return err
		}
		at = int(e.To)
	}
}

// refuses tries what the model does not allow in this state and the code must
// therefore ignore: a start timeout that fires when nothing is starting.
func (p *Pair) refuses() error {
	if p.Model.St == spec.Starting {
		return nil
	}
	p.Do(spec.Step{Action: spec.Timeout, Arg: p.Model.Gen})
	p.granted = false
	p.complaints = nil
	got, err := p.Snapshot()
	if err != nil {
		return err
	}
	if want := Canonical(p.Model); got != want {
		return p.differ(spec.Diff(want, got))
	}
	return nil
}
