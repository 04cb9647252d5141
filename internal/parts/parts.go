// Package parts follows the steps of an attempt, to tell how long the acquiring
// of each part lasted: what metrics of every ecosystem need alike.
package parts

import (
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// A Follower is told what a Tracer of one lifecycle is told, in the same order.
type Follower struct {
	Acquiring string // what Scope.Part named last, in the latest try: StartError.Part
	running   bool   // the acquiring of it has not ended
	since     time.Time
	over      bool // the start is: an open that was cancelled may still go on
}

// An Acquired is the end of the acquiring of a part.
type Acquired struct {
	Part string
	Took time.Duration
}

// Step returns the part whose acquiring ended with this step; ok is false if none did.
func (f *Follower) Step(s fsm.Step) (a Acquired, ok bool) {
	if s.Kind == fsm.StepBegun || s.Kind == fsm.StepTryAgain {
		*f = Follower{since: s.At}
	}
	if f.over {
		return a, false
	}
	switch s.Kind {
	case fsm.StepRetry:
		a, ok = f.end(s.At)
	case fsm.StepAcquiring:
		a, ok = f.end(s.At)
		f.Acquiring, f.running = s.Part, true
	case fsm.StepHeld:
		if !f.running { // Scope.Part was not called for it
			a, ok = Acquired{s.Part, s.At.Sub(f.since)}, true
			f.since = s.At
			break
		}
		a, ok = f.end(s.At)
	}
	return a, ok
}

// Transition returns the part whose acquiring ended with the start.
func (f *Follower) Transition(tr fsm.Transition) (a Acquired, ok bool) {
	if tr.From != spec.Starting {
		return a, false
	}
	f.over = true
	return f.end(tr.At)
}

func (f *Follower) end(at time.Time) (a Acquired, ok bool) {
	a, ok = Acquired{f.Acquiring, at.Sub(f.since)}, f.running
	f.running, f.since = false, at
	return a, ok
}
