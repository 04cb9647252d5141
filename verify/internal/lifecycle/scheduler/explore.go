package scheduler

import (
	"context"
	"iter"
	"slices"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/walk"
)

// The types in which walk.Explore reports the walk.
type (
	Cover    = walk.Cover
	Progress = walk.Progress
)

// Explore walks the model's graph in the code: see walk.Explore. The digest of the code's
// additional state is in hidden.go.
//
// tries is the number of tries of an attempt (OpenRetry) to walk. The model has no such bound,
// because it does not count tries; the code does. With 0 the positions are the model's states: each
// edge is walked from one position of its state.
func Explore(ctx context.Context, g *spec.Graph, tries int, progress func(Progress)) (Cover, error) {
	m := walk.Machine[spec.Step]{
		States: len(g.States), Edges: g.Steps(), From: g.From, Hidden: tries > 0,
		Out: func(state int) iter.Seq2[int, spec.Step] {
			return func(yield func(int, spec.Step) bool) {
				for i, e := range g.Edges(state) {
					if !yield(i, e.Step) {
						return
					}
				}
			}
		},
		New: func() walk.Code[spec.Step] { return newWalked(g, tries) },
	}
	if tries > 0 {
		m.Beyond = func(st spec.Step) bool { return st.Action == spec.OpenRetry }
	}
	return walk.Explore(ctx, m, progress)
}

// walked is a Pair that is walked.
type walked struct {
	*Pair
	graph   *spec.Graph
	tries   int
	threads threads
}

func newWalked(g *spec.Graph, tries int) *walked {
	w := &walked{graph: g, tries: tries}
	w.Pair = &Pair{World: newWorld(&w.threads)}
	return w
}

func (w *walked) Begin() { w.begin(w.graph.Bound) }

func (w *walked) Position() (state int, hidden uint64) {
	state, _ = w.graph.Lookup(&w.Model)
	if w.tries > 0 {
		hidden = w.hidden()
	}
	return state, hidden
}

func (w *walked) Moves() ([]spec.Step, error) {
	steps, err := w.Enabled()
	if err != nil {
		return nil, err
	}
	steps = slices.DeleteFunc(steps, func(st spec.Step) bool {
		return st.Action == spec.OpenRetry && w.tries > 0 && len(w.attempts[st.Arg-1].tries) >= w.tries
	})
	return w.otherWays(steps), nil
}

func (w *walked) Refuse() (int, error) { return w.refuses() }

func (w *walked) Taken() []spec.Step { return w.Steps }

func (w *walked) Close() error {
	if w.Pair.Close(); w.panicked != nil {
		return w.panics(w.panicked)
	}
	return nil
}

func (w *walked) Progress() int64 { return w.progress.Load() }

func (w *walked) Stuck() error { return w.stuck() }

func (w *walked) End() { w.threads.close() }
