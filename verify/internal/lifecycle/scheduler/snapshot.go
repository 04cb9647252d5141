package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// Snapshot reads the value of every variable of the model from the implementation. Two things
// differ by nature, and get one form here and in Canonical. A field of an ended attempt that is no
// longer read counts as reset. A caller that has been answered waits for nothing.
func (w *World) Snapshot() (spec.Snapshot, error) {
	m := control.Inspect(w.life)
	s := spec.Snapshot{
		St: m.State, Gen: uint8(m.Begun), Closing: m.Closing, Cur: number(m.Opened),
		Due: m.Due, Again: m.Again, Restarts: uint8(m.Restarts), Calls: w.calls, Fails: w.fails,
	}
	if m.StateWord != m.State {
		return s, fmt.Errorf("the state word says %v, looplab/fsm %v", m.StateWord, m.State)
	}
	if len(w.attempts) != int(m.Begun) {
		return s, fmt.Errorf("%d attempts begun, %w %d times", m.Begun, errOpens, len(w.attempts))
	}
	w.views = slices.Grow(w.views[:0], len(w.attempts))[:len(w.attempts)]
	for i, a := range w.attempts {
		v := &w.views[i]
		a.View(v)
		vars := &s.Attempts[i]
		vars.Op, vars.Held, vars.InUse = v.Op, uint8(v.Held), uint8(v.InUse)
		vars.Open = v.Open && s.Cur == uint8(v.Number)
		if !v.Finished {
			fate, err := fateOf(v.RollbackErr)
			if err != nil {
				return s, err
			}
			vars.Reported, vars.Fate, vars.Forced, vars.RelErr = v.Reported, fate, v.Forced, v.RelErr
		}
	}
	for i, c := range w.callers {
		if err := c.vars(m, &s.Callers[i]); err != nil {
			return s, fmt.Errorf("c%d: %w", i+1, err)
		}
	}
	return s, w.counts(m, &s)
}

var errOpens = errors.New("open called")

// counts compares the implementation's counters with the callers that exist. In the model Joined
// and Stoppers are sets, not variables.
func (w *World) counts(m control.Machine, s *spec.Snapshot) error {
	var joined, stoppers [spec.MaxAttempts + 2]int
	for i := range w.callers {
		switch c := &s.Callers[i]; {
		case c.Out != spec.OutNone:
		case c.PC == spec.PCWait:
			joined[c.On]++
		case c.PC == spec.PCStopWait || c.PC == spec.PCShutWait:
			stoppers[c.On]++
		}
	}
	for i := range w.views {
		if v := &w.views[i]; v.Waiters != joined[i+1] || v.Stoppers != stoppers[i+1] {
			return fmt.Errorf("attempt %d counts %d waiters and %d stoppers, there are %d and %d",
				i+1, v.Waiters, v.Stoppers, joined[i+1], stoppers[i+1])
		}
	}
	queued := 0
	if m.Queued != nil {
		var v control.View
		m.Queued.View(&v)
		queued = v.Waiters
	}
	if want := joined[m.Begun+1]; queued != want || (m.Queued != nil) != (want > 0) {
		return fmt.Errorf("%d waiters are queued, there are %d", queued, want)
	}
	return nil
}

// Canonical returns a model's snapshot in the form in which it is compared.
func Canonical(s spec.Snapshot) spec.Snapshot {
	for i := range s.Callers {
		if c := &s.Callers[i]; c.Out != spec.OutNone {
			c.On = 0
		}
	}
	return s
}

func number(a control.Attempt) uint8 {
	if a == nil {
		return 0
	}
	return uint8(a.Number())
}

// pcOf is the place of a caller that stands before a point.
var pcOf = [1 << 8]spec.PC{
	spec.StartFast: spec.PCStart, spec.StartEnter: spec.PCEnter,
	spec.StopEnter: spec.PCStop, spec.ShutdownEnter: spec.PCShut,
	spec.UseLoad: spec.PCUse, spec.UseAdd: spec.PCAdd, spec.UseSlow: spec.PCSlow,
	spec.UseEnd: spec.PCUsing, spec.UseDrop: spec.PCDrop,
}

func (c *caller) vars(m control.Machine, v *spec.CallerVars) error {
	at := &c.thread.at
	v.Ended = c.calling && c.ctx.ended
	var err error
	switch at.kind {
	case atIdle:
	case atDone:
		v.PC = spec.PCDone
		v.Out, v.N, err = outOf(c.err)
		if who := left(c.index); err == nil && errors.As(c.err, &who) && int(who) != c.index && (v.Out == spec.OutCtx || v.Out == spec.OutCut) {
			err = fmt.Errorf("the cause of its context is %v, of another caller", who)
		}
	case atPoint, atWrite:
		pc := pcOf[at.action]
		if pc == spec.PCIdle {
			return fmt.Errorf("stands before %v, which is no caller's", at.action)
		}
		v.PC, v.On = pc, number(at.attempt)
	case atWait, atLeft:
		a := c.awaited(m)
		v.On = uint8(a.Number)
		if v.On == 0 { // queued
			v.On = uint8(m.Begun) + 1
		}
		switch {
		case at.action == spec.StartLeave:
			v.PC = spec.PCWait
			if a.Answered {
				v.Out, v.N, err = outOf(a.StartErr)
			}
		case at.action == spec.StopLeave:
			v.PC = c.stopPC()
			if a.Finished {
				v.Out, v.N, err = outOf(a.StopErr)
			}
		}
		if v.Out != spec.OutNone {
			v.On = 0
		}
		if closed(at.done) != (v.Out != spec.OutNone) {
			return fmt.Errorf("its channel is closed: %v, and its result there: %v", closed(at.done), v.Out != spec.OutNone)
		}
	default:
		return fmt.Errorf("stands where only an operation can")
	}
	return err
}

// awaited returns the attempt that a waiting caller waits for.
func (c *caller) awaited(m control.Machine) *control.View {
	a := c.thread.at.attempt
	if n := a.Number(); n > 0 && n <= uint64(len(c.w.views)) {
		return &c.w.views[n-1]
	}
	var v control.View
	a.View(&v)
	return &v
}

func (c *caller) stopPC() spec.PC {
	if c.shutting {
		return spec.PCShutWait
	}
	return spec.PCStopWait
}

func fateOf(err error) (spec.Fate, error) {
	switch err {
	case nil:
		return spec.FateNone, nil
	case fsm.ErrStopped:
		return spec.FateStopped, nil
	case fsm.ErrClosed:
		return spec.FateClosed, nil
	}
	if failed, ok := err.(*fsm.StartError); ok {
		if errors.Is(failed.Err, context.Canceled) {
			return spec.FateAbandoned, nil
		}
		return spec.FateFailed, nil
	}
	return 0, fmt.Errorf("an attempt is rolled back with %v", err)
}

// outOf returns the result of a call as the model has it.
func outOf(err error) (spec.Out, uint8, error) {
	switch err {
	case nil:
		return spec.OutOK, 0, nil
	case fsm.ErrStopped:
		return spec.OutStopped, 0, nil
	case fsm.ErrClosed:
		return spec.OutClosed, 0, nil
	case fsm.ErrNotStarted:
		return spec.OutNotStarted, 0, nil
	}
	switch err := err.(type) {
	case *fsm.LeaveError:
		if _, ok := err.Err.(left); ok {
			return spec.OutCtx, 0, nil
		}
	case left: // of a context that had ended when the call began
		return spec.OutCtx, 0, nil
	case *fsm.StartError:
		return spec.OutFailed, uint8(err.Attempt), nil
	case *fsm.StopError:
		switch {
		case err.CutOff > 0:
			return spec.OutCut, uint8(err.CutOff), nil
		case errors.As(err.Err, new(left)):
			return spec.OutCtx, 0, nil
		}
		return spec.OutRelErr, 0, nil
	}
	return 0, 0, fmt.Errorf("a call returned %v, which no guarantee allows", err)
}
