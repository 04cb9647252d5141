package scheduler

import (
	"slices"
	"time"

	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// Restarts (fsm.WithRestart). What their Backoff answers is the scheduler's choice, and
// their timer fires when it says so. In the model a restart that is due begins, or the
// Backoff gives up. The code asks first: it may say when, and the timer fires later;
// then it cannot give up any more. And it is asked by one at a time: what it says of a
// death after which there was a Stop counts for nothing, and only then it is asked about the next.

// restarts is the Backoff.
type restarts struct{ w *World }

// Next implements fsm.Backoff. A timer that it asks for does not fire by itself.
func (r restarts) Next(int, error) (wait time.Duration, again bool) {
	w := r.w
	if w.closing {
		return 0, false
	}
	if w.asking != nil {
		w.promise("StopWins", "the Backoff of the restarts is asked by two at once")
	}
	w.asking = w.running
	w.running.pause(point{kind: atAsk, attempt: w.running.at.attempt})
	return forEver, w.again && !w.closing
}

// pendingRestart is what there is of a restart.
type pendingRestart uint8

const (
	nothing pendingRestart = iota
	asked                  // the Backoff is asked about it
	timed                  // it has said when
	late                   // the Backoff is asked about a death before, and has to answer first
)

func (w *World) restart(m control.Machine) pendingRestart {
	if w.bound.Restarts == 0 {
		return nothing
	}
	r := control.InspectRestart(w.life)
	switch due := m.Due && m.State == spec.Idle; {
	case w.asking != nil && (!due || r.Renewed):
		return late
	case w.asking != nil:
		return asked
	case due && r.Timer:
		return timed
	}
	return nothing
}

// enabledRestarts appends what the code can do about a restart.
func (w *World) enabledRestarts(m control.Machine, buf []spec.Step) []spec.Step {
	g := uint8(m.Begun)
	switch w.restart(m) {
	case asked:
		if m.Restarts < w.bound.Restarts {
			buf = append(buf, spec.Step{Action: spec.Restart, Arg: g})
		}
		buf = append(buf, spec.Step{Action: spec.GivesUp, Arg: g})
	case timed:
		buf = append(buf, spec.Step{Action: spec.Restart, Arg: g})
	}
	return buf
}

// cannot takes from the model's steps what the code cannot do yet, or any more.
func (w *World) cannot(model []spec.Step) []spec.Step {
	if w.bound.Restarts == 0 {
		return model
	}
	at := w.restart(control.Inspect(w.life))
	return slices.DeleteFunc(model, func(st spec.Step) bool {
		return st.Action == spec.GivesUp && (at == timed || at == late) || st.Action == spec.Restart && at == late
	})
}

// otherRestarts appends what the model sees nothing of.
func (w *World) otherRestarts(buf []spec.Step) []spec.Step {
	m := control.Inspect(w.life)
	g := uint8(max(m.Begun, 1)) | marked
	switch w.restart(m) {
	case asked:
		if m.Restarts < w.bound.Restarts {
			buf = append(buf, spec.Step{Action: spec.Restart, Arg: g})
		}
	case late:
		buf = append(buf, spec.Step{Action: spec.Restart, Arg: g}, spec.Step{Action: spec.GivesUp, Arg: g})
	}
	return buf
}

// doRestart answers for the Backoff, if it is asked, and lets the timer fire.
func (w *World) doRestart(st spec.Step) {
	w.granted = false // it comes by no point
	if t := w.asking; t != nil {
		w.asking, w.again = nil, st.Action == spec.Restart
		w.resume(t)
		w.sweep()
		if timer := control.TimerOfRestart(w.life); timer != nil {
			w.timer = timer
		}
	}
	if st.Action == spec.Restart && st.Arg&marked == 0 && w.timer != nil {
		w.timer()
	}
}
