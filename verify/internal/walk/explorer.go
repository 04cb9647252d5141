package walk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

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
