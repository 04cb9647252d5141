// Package walk walks everything that the code of a machine can do within the bound of its model's
// graph. A Machine says what the machine is, how its code is stepped and what is compared.
package walk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
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

// run calls f on n workers and returns the first error.
func (x *explorer[St]) run(n int, f func(*worker[St]) error) error {
	return watch(n, f, &x.failed, func() {
		if x.progress != nil {
			x.mu.Lock()
			p := Progress{x.cover, x.m.States, x.m.Edges, time.Since(x.began)}
			x.mu.Unlock()
			x.progress(p)
		}
	})
}

// explorer is what the workers of one Explore share.
type explorer[St comparable] struct {
	m           Machine[St]
	shorterThan int // not 0: each move on a shortest way, and none on one so long
	progress    func(Progress)
	began       time.Time
	failed      atomic.Bool
	busy        atomic.Int64 // workers that make moves

	mu        sync.Mutex
	positions []place[St]
	index     map[placeKey]int32
	first     int          // the first position that may have something left to do
	reached   []bool       // of the model's states
	walked    []uint8      // of the edges of each, a bit for each
	more      map[int]bool // and those beyond the eighth: state<<8 | edge
	cover     Cover
}

// place is a position of the code.
type place[St comparable] struct {
	placeKey
	from  int32 // the position from which it is reached on the shortest way known
	depth int32 // the length of that
	via   St

	looked bool       // a worker has taken up the look
	next   int16      // the moves that a worker has taken up
	moves  []move[St] // nil: not known yet
}

// move is a step from one position to another; -1: the other is not known yet.
type move[St comparable] struct {
	step St
	to   int32
}

// left reports whether there is something to do that no worker has taken.
func (at *place[St]) left() bool {
	return !at.looked || at.moves == nil || int(at.next) < len(at.moves)
}

type placeKey struct {
	state  int32
	hidden uint64
}

func newExplorer[St comparable](m Machine[St]) *explorer[St] {
	return &explorer[St]{m: m, index: make(map[placeKey]int32), reached: make([]bool, m.States),
		walked: make([]uint8, m.States), more: make(map[int]bool)}
}

// key returns the position in which p is.
func (x *explorer[St]) key(p Code[St]) placeKey {
	state, hidden := p.Position()
	return placeKey{int32(state), hidden}
}

// at returns the number of the position in which p is, after a move from another (-1: none).
func (x *explorer[St]) at(p Code[St], from int32, via St) int32 {
	key := x.key(p)
	x.mu.Lock()
	defer x.mu.Unlock()
	var depth int32
	if from >= 0 {
		depth = x.positions[from].depth + 1
	}
	n, known := x.index[key]
	if !known {
		n = int32(len(x.positions))
		x.index[key] = n
		x.positions = append(x.positions, place[St]{placeKey: key, from: from, via: via, depth: depth})
		x.cover.Positions = len(x.positions)
		if !x.reached[key.state] {
			x.reached[key.state] = true
			x.cover.States++
		}
	} else if at := &x.positions[n]; x.m.Hidden && depth < at.depth {
		at.from, at.via, at.depth = from, via, depth // depths decrease along from: no circle
	}
	return n
}

// way returns the steps that lead to a position.
func (x *explorer[St]) way(n int32) (way []St) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for ; x.positions[n].from >= 0; n = x.positions[n].from {
		way = append(way, x.positions[n].via)
	}
	slices.Reverse(way)
	return slices.Concat(x.m.From, way)
}

func (x *explorer[St]) work(ctx context.Context, w *worker[St]) error {
	err := x.from(w, x.m.From, func(p Code[St]) error { var none St; x.at(p, -1, none); return nil })
	for err == nil && !x.failed.Load() {
		n, ok := x.target()
		switch {
		case ok:
			err = cmp.Or(x.from(w, x.way(n), func(p Code[St]) error { return x.walk(p, n) }), context.Cause(ctx))
			x.busy.Add(-1)
		case x.busy.Load() == 0:
			return nil
		default:
			time.Sleep(time.Millisecond) // another worker may find more to do
		}
	}
	if err != nil {
		x.failed.Store(true)
	}
	return err
}

// target returns the first position with something left to do.
func (x *explorer[St]) target() (n int32, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for ; x.first < len(x.positions); x.first++ {
		if at := &x.positions[x.first]; at.left() && (x.shorterThan == 0 || int(at.depth)+1 < x.shorterThan) {
			x.busy.Add(1)
			return int32(x.first), true
		}
	}
	return 0, false
}

// walk checks what must have no effect in position n, and makes the moves from there on that have
// not been made.
func (x *explorer[St]) walk(p Code[St], n int32) error {
	x.mu.Lock()
	want := x.positions[n].placeKey
	x.mu.Unlock()
	if x.key(p) != want {
		return x.chance(p)
	}
	for {
		i, look, err := x.take(p, n)
		if err == nil && look {
			if err = x.look(p); err == nil {
				continue
			}
		}
		if err != nil || i < 0 {
			return err
		}
		x.mu.Lock()
		m := x.positions[n].moves[i]
		x.mu.Unlock()
		if err := p.Take(m.step); err != nil {
			return err
		}
		to := x.at(p, n, m.step)
		if m.to >= 0 && m.to != to {
			return x.chance(p)
		}
		x.mu.Lock()
		x.positions[n].moves[i].to = to
		goesOn := x.shorterThan == 0 && x.leadsTo(n, m.step, to)
		x.mu.Unlock()
		if n = to; !goesOn {
			return nil
		}
	}
}

// leadsTo reports whether the position is, after a move to it, as it was when its moves were
// determined. Where positions are not distinguished (Machine.Hidden), only the path by which it was
// first reached ensures that.
func (x *explorer[St]) leadsTo(n int32, st St, to int32) bool {
	at := &x.positions[to]
	return x.m.Hidden || at.from == n && at.via == st
}

func (x *explorer[St]) chance(p Code[St]) error {
	return fmt.Errorf("walk: %v led to another position than before: what its digest tells is left to chance", p.Taken())
}

// take takes the look at position n, or the next move from there. If all are taken, the move is one
// that leads on (-1: there is none).
func (x *explorer[St]) take(p Code[St], n int32) (i int, look bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at := &x.positions[n]; !at.looked {
		at.looked = true
		return -1, true, nil
	}
	if x.positions[n].moves == nil {
		x.mu.Unlock()
		moves, err := x.moves(p)
		x.mu.Lock()
		if err != nil {
			return -1, false, err
		}
		if at := &x.positions[n]; at.moves == nil {
			at.moves = moves
		}
	}
	at := &x.positions[n]
	if i = int(at.next); i < len(at.moves) {
		at.next++
		x.cover.Moves++
		x.count(int(at.state), at.moves[i].step)
		return i, false, nil
	}
	if x.shorterThan > 0 {
		return -1, false, nil
	}
	return x.onward(n), false, nil
}

// near is the number of positions to search for one that has something left to do. To go there
// costs less than to start afresh.
const near = 16

// onward returns the first move from position n on a shortest path to a nearby position that has
// something left to do; -1: there is none.
func (x *explorer[St]) onward(n int32) int {
	type way struct {
		n     int32
		first int
	}
	ways := append(make([]way, 0, near), way{n, -1})
	for k := 0; k < len(ways); k++ {
		for i, m := range x.positions[ways[k].n].moves {
			if m.to < 0 || !x.leadsTo(ways[k].n, m.step, m.to) || slices.ContainsFunc(ways, func(w way) bool { return w.n == m.to }) {
				continue
			}
			first := ways[k].first
			if k == 0 {
				first = i
			}
			if x.positions[m.to].left() {
				return first
			}
			if len(ways) < near {
				ways = append(ways, way{m.to, first})
			}
		}
	}
	return -1
}

// count records which edge of the model's graph a move is.
func (x *explorer[St]) count(state int, st St) {
	i := -1
	for k, one := range x.m.Out(state) {
		if one == st {
			i = k
			break
		}
	}
	if i >= 0 && x.isWalked(state, i) {
		return
	}
	switch {
	case i < 0: // one of which the model sees nothing
	case i < 8:
		x.walked[state] |= 1 << i
		x.cover.Edges++
	default:
		x.more[state<<8|i] = true
		x.cover.Edges++
	}
}

// isWalked reports whether edge i of a state has been walked.
func (x *explorer[St]) isWalked(state, i int) bool {
	if i < 8 {
		return x.walked[state]&(1<<i) != 0
	}
	return x.more[state<<8|i]
}

// rest walks the edges of the model that no position has: see Machine.Beyond.
func (x *explorer[St]) rest(ctx context.Context, w *worker[St]) error {
	for n := range x.positions {
		state := int(x.positions[n].state)
		for i, st := range x.m.Out(state) {
			if !x.m.Beyond(st) || x.isWalked(state, i) {
				continue
			}
			err := x.from(w, x.way(int32(n)), func(p Code[St]) error {
				if err := p.Take(st); err != nil {
					return err
				}
				x.mu.Lock()
				x.cover.Moves++
				x.count(state, st)
				x.mu.Unlock()
				_, err := p.Moves()
				return err
			})
			if err = cmp.Or(err, context.Cause(ctx)); err != nil {
				return err
			}
		}
	}
	return nil
}

// moves returns the possible next moves, none of which has been made.
func (x *explorer[St]) moves(p Code[St]) ([]move[St], error) {
	steps, err := p.Moves()
	if err != nil {
		return nil, err
	}
	moves := make([]move[St], len(steps))
	for i, st := range steps {
		moves[i] = move[St]{st, -1}
	}
	return moves, nil
}

// from starts the code afresh, takes the steps, and calls then.
func (x *explorer[St]) from(w *worker[St], steps []St, then func(Code[St]) error) (err error) {
	if w.code == nil { // after an error it does not serve again: not all of its goroutines may have ended
		w.code = x.m.New()
	}
	p := w.code
	p.Begin()
	w.steps(p)
	defer w.steps(nil)
	defer func() {
		if closed := p.Close(); err == nil {
			err = closed
		}
	}()
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.cover.Replays++
		x.cover.Steps += int64(len(p.Taken()))
	}()
	for _, st := range steps {
		if err := p.Take(st); err != nil {
			return err
		}
	}
	return then(p)
}

// look tries everything that must have no effect.
func (x *explorer[St]) look(p Code[St]) error {
	n, err := p.Refuse()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cover.Refusals += n
	return err
}
