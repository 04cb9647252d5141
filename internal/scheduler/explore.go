package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	looplab "github.com/looplab/fsm"

	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// Cover is how much of a graph was walked in the code.
type Cover struct {
	States, Edges int   // distinct, each compared
	Refusals      int   // events that the table does not allow, tried in each state
	Replays       int   // how often the code was started afresh
	Steps         int64 // steps of the code, the whole state compared after each
}

// String reads like a line of a report.
func (c Cover) String() string {
	return fmt.Sprintf("states=%d edges=%d refusals=%d replays=%d code-steps=%d", c.States, c.Edges, c.Refusals, c.Replays, c.Steps)
}

// Progress is how far an Explore has come.
type Progress struct {
	Cover
	AllStates, AllEdges int // of the graph
	Elapsed             time.Duration
}

// String is a line for somebody who waits.
func (p Progress) String() string {
	perSecond := float64(p.Steps) / p.Elapsed.Seconds()
	left := time.Duration(float64(p.Elapsed) * float64(p.AllEdges-p.Edges) / float64(max(p.Edges, 1)))
	return fmt.Sprintf("%d of %d states, %d of %d edges, %.2f million steps a second, %v left",
		p.States, p.AllStates, p.Edges, p.AllEdges, perSecond/1e6, left.Round(time.Second))
}

// Explore walks every edge of the model's graph in the code, on every processor:
// in each state the steps that the code can take are those that the model can,
// each leads to the model's successor, and what the model does not allow is
// refused and changes nothing. It returns the first *Difference found, or the
// cause of ctx once that ends. progress, which may be nil, is called now and then.
//
// A replay follows the edges by which the states were first reached to the first
// state that still has an edge to walk, and goes on along such edges for as long
// as there is one. What it then finds is looked for again on shorter ways.
func Explore(ctx context.Context, g *spec.Graph, progress func(Progress)) (Cover, error) {
	// Each replay leaves a lifecycle and its goroutines' garbage: collecting less
	// often is a sixth of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	x := &explorer{g: g, states: make([]atomic.Uint32, len(g.States)), progress: progress, began: time.Now()}
	err := x.run(runtime.GOMAXPROCS(0), func(w *worker) error { return x.work(ctx, w) })
	cover := x.cover()
	var found, shorter *Difference
	if errors.As(err, &found) {
		x.progress = nil
		again := x.run(1, func(w *worker) error { return x.shortest(ctx, w, found) })
		if errors.As(again, &shorter) && len(shorter.Steps) < len(found.Steps) {
			err = shorter
		}
	}
	return cover, err
}

// run lets n workers do f and returns the first error of one.
func (x *explorer) run(n int, f func(*worker) error) error {
	return watch(n, f, &x.failed, func() {
		if x.progress != nil {
			x.progress(Progress{x.cover(), len(x.g.States), x.g.Steps(), time.Since(x.began)})
		}
	})
}

// watch lets n workers do f and returns the first error of one, or the *Difference
// of one that is stuck: its goroutine stays where it is, and the others are told
// that it failed. tick is called every second.
func watch(n int, f func(*worker) error, failed *atomic.Bool, tick func()) error {
	workers := make([]worker, n)
	ended := make(chan error, n)
	for i := range workers {
		go func() {
			defer workers[i].threads.close()
			ended <- f(&workers[i])
		}()
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var first error
	for n > 0 {
		select {
		case err := <-ended:
			n--
			first = cmp.Or(first, err)
		case <-second.C:
			tick()
			for i := range workers {
				if p := workers[i].stuck(); p != nil {
					failed.Store(true)
					return p.stuck()
				}
			}
		}
	}
	return first
}

// worker is one of the goroutines that watch runs.
type worker struct {
	threads threads
	spare   *Pair                // what it stepped before, closed
	pair    atomic.Pointer[Pair] // what it steps

	// As watch saw it last, and how often in a row.
	seen  *Pair
	steps int64
	times int
}

// stuck returns the pair that the worker steps if it has been at the same step
// for so many seconds that it will not end: a step takes a microsecond.
func (w *worker) stuck() *Pair {
	p := w.pair.Load()
	if p == nil || p != w.seen || p.progress.Load() != w.steps {
		w.seen, w.times = p, 0
		if p != nil {
			w.steps = p.progress.Load()
		}
		return nil
	}
	if w.times++; w.times < 10 {
		return nil
	}
	return p
}

// explorer is what the workers of one Explore share.
type explorer struct {
	g        *spec.Graph
	progress func(Progress)
	began    time.Time
	// states[i] is how many of the edges of state i have been taken by a worker,
	// and one more once the state itself has.
	states []atomic.Uint32
	target atomic.Int64 // the first state that may still have an edge to walk
	failed atomic.Bool

	visited, edges, refusals, replays, steps atomic.Int64
}

func (x *explorer) cover() Cover {
	return Cover{int(x.visited.Load()), int(x.edges.Load()), int(x.refusals.Load()), int(x.replays.Load()), x.steps.Load()}
}

func (x *explorer) work(ctx context.Context, w *worker) error {
	for !x.failed.Load() {
		i := x.target.Load()
		switch {
		case i == int64(len(x.g.States)):
			return nil
		case int(x.states[i].Load()) > len(x.g.Edges(int(i))):
			x.target.CompareAndSwap(i, i+1)
		default:
			err := x.replay(w, int(i))
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				x.failed.Store(true)
				return err
			}
		}
	}
	return nil
}

func (x *explorer) replay(w *worker, at int) error {
	return x.from(w, x.g.Path(at), func(p *Pair) error {
		for {
			n := int(x.states[at].Add(1)) - 1
			if n == 0 {
				x.visited.Add(1)
				if err := x.look(p); err != nil {
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
	})
}

// from starts the code afresh, takes the steps, and goes on with then.
func (x *explorer) from(w *worker, steps []spec.Step, then func(*Pair) error) (err error) {
	x.replays.Add(1)
	p := w.spare
	w.spare = nil
	if p == nil {
		p = &Pair{World: newWorld(&w.threads)}
	}
	p.begin(x.g.Bound)
	w.pair.Store(p)
	defer w.pair.Store(nil)
	defer func() {
		if p.Close(); err == nil && p.panicked != nil {
			err = p.panics(p.panicked)
		}
		if err == nil { // else not all of its goroutines may have ended
			w.spare = p
		}
	}()
	defer func() { x.steps.Add(int64(len(p.Steps))) }()
	for _, st := range steps {
		if err := p.Take(st); err != nil {
			return err
		}
	}
	return then(p)
}

// shortest returns a difference at the end of a shortest schedule: each edge on a
// way of its own, in the order of the breadth-first search. It returns found where
// there is no shorter one, as with a difference that only a detour shows.
func (x *explorer) shortest(ctx context.Context, w *worker, found *Difference) error {
	try := func(path []spec.Step, then func(*Pair) error) {
		// What then finds, and not a panic when the code is let go on from there.
		x.from(w, path, func(p *Pair) error {
			var d *Difference
			err := then(p)
			if errors.As(err, &d) && len(d.Steps) < len(found.Steps) {
				found = d
			}
			return err
		})
	}
	for i := range x.g.States {
		path := x.g.Path(i)
		if len(path) >= len(found.Steps) || ctx.Err() != nil {
			break
		}
		try(path, x.look)
		for _, e := range x.g.Edges(i) {
			if len(path)+1 < len(found.Steps) {
				try(path, func(p *Pair) error { return p.Take(e.Step) })
			}
		}
	}
	return found
}

// look compares what can happen next, and what must not.
func (x *explorer) look(p *Pair) error {
	if _, err := p.Enabled(); err != nil {
		return err
	}
	n, err := p.refuses()
	x.refusals.Add(int64(n))
	return err
}

// refuses tries what the model does not allow in this state, each of which the
// code must refuse, with the machine's own error, and then be as it was: every
// event that the table lacks here, and a start timeout that fires when nothing
// is starting. It returns how many were tried.
func (p *Pair) refuses() (tried int, err error) {
	defer p.contain(&err)
	from := p.Model.St
	for _, e := range spec.Events() {
		if _, allowed := spec.Next(e, from); allowed {
			continue
		}
		tried++
		err := control.Fire(p.life, e)
		if want := (looplab.InvalidEventError{}); !errors.As(err, &want) {
			return tried, p.differ([]spec.Difference{{Var: "st", Index: e.String(), Want: "refused in " + from.String(), Got: fmt.Sprint(err)}})
		}
		if err := p.unchanged(); err != nil {
			return tried, err
		}
	}
	if from != spec.Starting {
		tried++
		p.Do(spec.Step{Action: spec.Timeout, Arg: p.Model.Gen})
		p.granted, p.complaints = false, nil
		if err := p.unchanged(); err != nil {
			return tried, err
		}
	}
	return tried, nil
}

func (p *Pair) unchanged() error {
	got, err := p.Snapshot()
	if err != nil {
		return p.differ([]spec.Difference{{Var: "st", Want: "what it was", Got: err.Error()}})
	}
	if want := Canonical(p.Model); got != want {
		return p.differ(spec.Diff(want, got))
	}
	return nil
}
