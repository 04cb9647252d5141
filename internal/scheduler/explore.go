package scheduler

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

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

// Explore walks every edge of the model's graph in the code, on every processor:
// in each state the steps that the code can take are those that the model can, and
// each leads to the model's successor. It returns the first *Difference found.
//
// A replay follows the edges by which the states were first reached to the first
// state that still has an edge to walk, and goes on along such edges for as long
// as there is one. Because the states are taken in the order of a breadth-first
// search, a difference is found at the end of a schedule that is short.
func Explore(g *spec.Graph) (Cover, error) {
	x := &explorer{g: g, states: make([]atomic.Uint32, len(g.States))}
	var workers errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		workers.Go(x.work)
	}
	err := workers.Wait()
	return x.cover(), err
}

// explorer is what the workers of one Explore share.
type explorer struct {
	g *spec.Graph
	// states[i] is how many of the edges of state i have been taken by a worker,
	// and one more once the state itself has.
	states []atomic.Uint32
	target atomic.Int64 // the first state that may still have an edge to walk
	failed atomic.Bool

	visited, edges, replays, steps atomic.Int64
}

func (x *explorer) cover() Cover {
	return Cover{int(x.visited.Load()), int(x.edges.Load()), int(x.replays.Load()), x.steps.Load()}
}

func (x *explorer) work() error {
	for !x.failed.Load() {
		i := x.target.Load()
		switch {
		case i == int64(len(x.g.States)):
			return nil
		case int(x.states[i].Load()) > len(x.g.Edges(int(i))):
			x.target.CompareAndSwap(i, i+1)
		default:
			if err := x.replay(int(i)); err != nil {
				x.failed.Store(true)
				return err
			}
		}
	}
	return nil
}

func (x *explorer) replay(at int) error {
	x.replays.Add(1)
	p := NewPair(x.g.Bound)
	defer p.Close()
	defer func() { x.steps.Add(int64(len(p.Steps))) }()
	for _, st := range x.g.Path(at) {
		if err := p.Take(st); err != nil {
			return err
		}
	}
	for {
		n := int(x.states[at].Add(1)) - 1
		if n == 0 {
			x.visited.Add(1)
			if err := p.look(); err != nil {
				return err
			}
			n = int(x.states[at].Add(1)) - 1
		}
		edges := x.g.Edges(at)
		if n > len(edges) {
			return nil // all of them are walked, or are being walked
		}
		x.edges.Add(1)
		if err := p.Take(edges[n-1].Step); err != nil {
			return err
		}
		at = int(edges[n-1].To)
	}
}

// look compares what can happen next, and what must not.
func (p *Pair) look() error {
	if _, err := p.Enabled(); err != nil {
		return err
	}
	return p.refuses()
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
