package scheduler

import (
	"slices"
	"time"

	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// Restarts (fsm.WithRestart). The scheduler chooses what their Backoff answers and when their timer
// fires. In the model a restart that is due begins, or the Backoff gives up. The code asks the
// Backoff first. If the Backoff gives a time, the timer fires later, and the Backoff can no longer
// give up. The code asks about one death at a time. If a Stop follows a death, the answer about
// that death has no effect, and only then does the code ask about the next one.

// restarts is the Backoff.
type restarts struct{ w *World }

// Next implements fsm.Backoff. The timer that it requests does not fire by itself.
func (r restarts) Next(int, error) (wait time.Duration, again bool) {
	w := r.w
	if w.closing {
		return 0, false
	}
	if w.awaitingDelay != nil {
		w.promise("StopWins", "the Backoff of the restarts is asked by two at once")
	}
	w.awaitingDelay = w.running
	w.running.pause(point{kind: atAsk, attempt: w.running.at.attempt})
	return forEver, w.again && !w.closing
}

// pendingRestart is the stage of a restart.
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
	case w.awaitingDelay != nil && (!due || r.DiedAgain):
		return late
	case w.awaitingDelay != nil:
		return asked
	case due && r.Timer:
		return timed
	}
	return nothing
}

// enabledRestarts appends the steps that the code can take about a restart.
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

// cannot removes from the model's steps those that the code cannot take yet, or any more.
func (w *World) cannot(model []spec.Step) []spec.Step {
	if w.bound.Restarts == 0 {
		return model
	}
	at := w.restart(control.Inspect(w.life))
	return slices.DeleteFunc(model, func(st spec.Step) bool {
		return st.Action == spec.GivesUp && (at == timed || at == late) || st.Action == spec.Restart && at == late
	})
}

// otherRestarts appends the steps that the model does not see.
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

// doRestart answers for the Backoff, if it was asked, and fires the timer.
func (w *World) doRestart(st spec.Step) {
	w.granted = false // it comes by no point
	if t := w.awaitingDelay; t != nil {
		w.awaitingDelay, w.again = nil, st.Action == spec.Restart
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
