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
	between   bool // two tries: nothing has been heard of the next one yet
	pause     time.Duration
}

// An Acquired is the end of the acquiring of a part.
type Acquired struct {
	Part string
	Took time.Duration
}

// Step returns the part whose acquiring ended with this step; ok is false if none did.
func (f *Follower) Step(s fsm.Step) (a Acquired, ok bool) {
	switch s.Kind {
	case fsm.StepAcquiring, fsm.StepHeld, fsm.StepRetry:
		f.next()
	}
	switch s.Kind {
	case fsm.StepBegun:
		*f = Follower{since: s.At}
	case fsm.StepRetry:
		a, ok = f.end(s.At)
		f.between, f.pause = true, s.Pause
		f.since = s.At.Add(f.pause)
	case fsm.StepReleased:
		if f.between { // the pause begins when the last has been
			f.since = s.At.Add(f.pause)
		}
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
	if tr.Event == spec.EventFailed || tr.Event == spec.EventOpened { // of a try that named no part
		f.next()
	}
	return f.end(tr.At)
}

// next forgets the try before, as soon as there is something of the next one.
func (f *Follower) next() {
	if f.between {
		f.between, f.Acquiring = false, ""
	}
}

func (f *Follower) end(at time.Time) (a Acquired, ok bool) {
	a, ok = Acquired{f.Acquiring, at.Sub(f.since)}, f.running
	f.running, f.since = false, at
	return a, ok
}
