// Package walk walks everything that the code of a machine can do within the bound of its model's
// graph. A Machine says what the machine is, how its code is stepped and what is compared.
package walk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"time"
)

// Machine is what is walked: a model's graph, and code that is stepped beside the model. St is a
// step of either.
type Machine[St comparable] struct {
	States, Edges int                                // of the model's graph: how many there are
	From          []St                               // the steps that lead from the code's start to the graph's
	Out           func(state int) iter.Seq2[int, St] // the steps out of a state of the graph, numbered from 0
	New           func() Code[St]                    // is called by each worker

	// Hidden means that the code has more state than the model, and that Position distinguishes it.
	// Otherwise the model's states are the positions: each edge is walked from one position of its
	// state.
	Hidden bool
	// Beyond reports whether Moves may leave out an edge, because the code's additional state has
	// no bound. Such edges that no position has are walked at the end, each from one position, and
	// nothing after them. Nil: none.
	Beyond func(St) bool
}

// Code is the code, one run of it at a time, and its state according to the model.
type Code[St comparable] interface {
	// Begin starts the code afresh, in the model's initial state.
	Begin()
	// Take takes a step, in code and model, and returns a Difference unless they agree afterwards.
	Take(St) error
	// Position returns the number of the model's state, and a digest of the code's additional
	// state.
	Position() (state int, hidden uint64)
	// Moves compares what the code and the model can do next. It returns these steps, and those
	// that the model does not see.
	Moves() ([]St, error)
	// Refuse tries everything that must have no effect, and returns the number of tries.
	Refuse() (tried int, err error)
	// Taken returns the steps since Begin.
	Taken() []St
	// Close ends the run, at any point of it.
	Close() error

	// Progress changes with each step, and may be called at any time. Stuck returns the Difference
	// of the running step, if that step does not end.
	Progress() int64
	Stuck() error
	// End is called after the last run.
	End()
}

// Difference is an error that describes a difference between code and model.
type Difference interface {
	error
	Length() int // of the schedule that leads there
}

// Cover is how much of a graph was walked in the code.
type Cover struct {
	States, Edges int   // of the model, distinct, each compared
	Positions     int   // of the code: a state of the model, and what else the code has; 0: not told apart
	Moves         int   // steps from one of them to another, each compared
	Refusals      int   // what must do nothing, tried in each position
	Replays       int   // how often the code was started afresh
	Steps         int64 // steps of the code, the whole state compared after each
}

// String returns the counts in the form of a report's line.
func (c Cover) String() string {
	var positions string
	if c.Positions > 0 {
		positions = fmt.Sprintf(" positions=%d moves=%d", c.Positions, c.Moves)
	}
	return fmt.Sprintf("states=%d edges=%d%s refusals=%d replays=%d code-steps=%d", c.States, c.Edges, positions, c.Refusals, c.Replays, c.Steps)
}

// Progress is how far an Explore has come.
type Progress struct {
	Cover
	AllStates, AllEdges int // of the model's graph
	Elapsed             time.Duration
}

// String returns a line for a person who waits.
func (p Progress) String() string {
	return fmt.Sprintf("%d of %d states, %d of %d edges, %d positions, %d moves, %.2f million steps a second",
		p.States, p.AllStates, p.Edges, p.AllEdges, p.Positions, p.Moves, float64(p.Steps)/p.Elapsed.Seconds()/1e6)
}

// Explore walks, in the code, on every processor, everything that the code can do within the bound
// of the model's graph: every edge from every position. A position is a state of the model and a
// digest of the code's additional state. In each position Explore checks three things. The code can
// take the same steps as the model. Each step leads to the model's successor, in every way in which
// the code takes it. The code refuses what the model does not allow, and nothing changes.
//
// Explore returns the first Difference found, or the cause of ctx once that ends. It calls progress
// now and then, unless that is nil.
//
// A replay goes to the first position that still has a move to make, by the moves by which that
// position was first reached. It continues along such moves. Where there is none, it goes on to a
// nearby position that has one. When it finds a Difference, Explore searches for it again on
// shortest paths.
func Explore[St comparable](ctx context.Context, m Machine[St], progress func(Progress)) (Cover, error) {
	// Each replay leaves garbage: a run of the code and its goroutines. Collecting less often saves
	// a sixth of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	x := newExplorer(m)
	x.progress, x.began = progress, time.Now()
	err := x.run(runtime.GOMAXPROCS(0), func(w *worker[St]) error { return x.work(ctx, w) })
	if err == nil && m.Beyond != nil {
		err = x.run(1, func(w *worker[St]) error { return x.rest(ctx, w) })
	}
	cover := x.cover
	if !m.Hidden {
		cover.Positions = 0
	}
	var found, shorter Difference
	if errors.As(err, &found) {
		y := newExplorer(m)
		y.shorterThan = found.Length()
		brief, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		again := y.run(1, func(w *worker[St]) error { return y.work(brief, w) })
		if errors.As(again, &shorter) && shorter.Length() < found.Length() {
			err = shorter
		}
	}
	return cover, err
}
