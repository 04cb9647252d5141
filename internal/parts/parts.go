// Package parts computes what every exporter of metrics needs: how long it took to acquire each
// part, and whether the resource is down.
package parts

import (
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// Label returns text, such as the name of a part, as exporters accept it: what is not UTF-8 is
// replaced by U+FFFD.
func Label(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// A Follower receives the steps and transitions of one lifecycle, as a fsm.Tracer does.
type Follower struct {
	Acquiring string // the last name given to Scope.Part in the latest try: StartError.Part
	running   bool   // its acquiring has not ended
	since     time.Time
	over      bool // the start has ended: a cancelled open may still be running
}

// An Acquired is the end of the acquiring of a part.
type Acquired struct {
	Part string
	Took time.Duration
}

// Step returns the part whose acquiring ended with this step; ok is false if there is none.
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
		if !f.running { // without a call of Scope.Part
			a, ok = Acquired{s.Part, s.At.Sub(f.since)}, true
			f.since = s.At
			break
		}
		a, ok = f.end(s.At)
	}
	return a, ok
}

// Transition returns the part whose acquiring ended with the start; ok is false if there is
// none.
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

// Down returns 1 for due while a restart is scheduled, and 1 for down while the resource died
// or failed to start, and nothing is going to start it.
func Down(s fsm.Status) (due, down int64) {
	switch {
	case !s.RestartAt.IsZero():
		return 1, 0
	case s.State == spec.Idle && s.Cause != nil && !s.Stopped:
		return 0, 1
	}
	return 0, 0
}
