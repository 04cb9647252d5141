package scheduler

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// Promises that are not variables of the model: why a context has ended and whose values it
// carries, what an error says (G14), and that a timer does not outlast its attempt (G7). The
// schedule determines what each must be.

// unkept is a broken promise.
type unkept struct{ guarantee, what string }

func (u unkept) difference() spec.Difference {
	return spec.Difference{Var: varPromise, Index: u.guarantee, Want: "kept", Got: u.what}
}

func (w *World) promise(guarantee, format string, args ...any) {
	w.unkept = append(w.unkept, unkept{guarantee, fmt.Sprintf(format, args...)})
}

// account is what the schedule determines of an attempt, or of the lifecycle.
type account struct {
	why  error  // why it was cancelled, or its release began; nil: neither
	part string // what was being acquired then
	bad  string // the first part whose release failed, since the latest try
}

// errDead is the error of every failure report.
var errDead = errors.New("dead")

// note records what a step causes.
func (w *World) note(st spec.Step, before, after *spec.Snapshot) {
	if before.Gen == 0 {
		return
	}
	a := w.attempts[before.Gen-1]
	up := before.St == spec.Starting || before.St == spec.Started
	if up && after.St == spec.Stopping {
		a.why = reasonOf(st)
		if st.Action == spec.OpenErr && before.Attempt(st.Arg).Reported {
			a.why = errDead
		}
		if a.part = ""; before.St == spec.Starting && a.parts > 0 {
			a.part = partNames[a.parts]
		}
		if before.St == spec.Starting || st.Action == spec.Fail {
			w.cause = account{why: a.why}
		}
	}
	switch st.Action {
	case spec.OpenOk:
		if after.St == spec.Started {
			w.cause = account{}
		}
	case spec.Fail:
		if now := after.Attempt(before.Gen); now.Reported && !before.Attempt(before.Gen).Reported {
			a.latest().err = errDead
		}
	case spec.OpenRetry:
		if before.St == spec.Starting {
			if t := a.latest(); t.err == nil {
				t.err = errBad
			}
			a.bad, w.cause = "", account{why: a.latest().err}
		}
	case spec.ReleaseErr:
		if a.bad == "" {
			a.bad = partNames[before.Attempt(st.Arg).Held]
		}
	case spec.TryAgain:
		if after.Attempt(st.Arg).Op == spec.OpOpen {
			a.bad = ""
		}
	case spec.Finish:
		if a.bad != "" {
			w.cause.bad = a.bad
		}
	}
}

func reasonOf(st spec.Step) error {
	switch st.Action {
	case spec.StopEnter:
		return fsm.ErrStopped
	case spec.ShutdownEnter:
		return fsm.ErrClosed
	case spec.StartLeave:
		return left(st.Arg)
	case spec.Timeout:
		return context.DeadlineExceeded
	case spec.Fail:
		return errDead
	}
	return errBad
}

// keeps checks the promises after a step.
func (w *World) keeps(st spec.Step, after *spec.Snapshot) {
	for i, a := range w.attempts {
		for j := range a.tries {
			t := &a.tries[j]
			why := a.why
			if t.err != nil {
				why = t.err
			}
			if cause := context.Cause(t.ctx); cause != nil && !errors.Is(cause, why) {
				w.promise("CauseKept", "the context of attempt %d, try %d, has ended because of %v, want %v", i+1, j+1, cause, why)
			}
		}
	}
	for _, a := range w.attempts {
		want := ""
		if a.parts > 0 {
			want = partNames[a.parts]
		}
		if v := a.view(); v.Op == spec.OpOpen && v.Acquiring != want {
			w.promise("CauseKept", "attempt %d acquires %q; want %q", v.Number, v.Acquiring, want)
		}
	}
	for _, c := range w.callers {
		if c.using && c.useCtx != nil {
			w.usesContext(c, c.useCtx)
		}
	}
	switch st.Action {
	case spec.OpenOk, spec.Finish:
		a := w.attempts[st.Arg-1]
		if isArmed(startTimeoutOf(a.Attempt)) && after.Attempt(st.Arg).Op == spec.OpNone {
			w.promise("NoLeak", "the start timeout of attempt %d is yet to fire", st.Arg)
		}
		if st.Action == spec.Finish {
			w.finishes(a)
		}
	}
	switch st.Action {
	case spec.OpenOk, spec.OpenErr, spec.OpenRetry, spec.Finish, spec.StartEnter, spec.StartLeave, spec.StopEnter, spec.ShutdownEnter, spec.Fail, spec.Timeout,
		spec.Restart, spec.GivesUp:
		w.keepsCause(w.life.Status().Cause)
	}
}

// finishes checks the answers of an attempt that has ended.
func (w *World) finishes(a *attempt) {
	v := a.view()
	if !v.Finished { // a part was registered meanwhile
		return
	}
	if e, ok := v.StartErr.(*fsm.StartError); ok {
		if !errors.Is(e.Err, a.why) || e.Part != a.part || (e.Rollback != nil) != (a.bad != "") {
			w.promise("CauseKept", "Start failed with %+v; want part %q, %v, and what failed in the rollback: %q", e, a.part, a.why, a.bad)
		}
	}
	e, bad := v.StopErr.(*fsm.StopError)
	if bad != (a.bad != "") || bad && (e.Part != a.bad || e.CutOff != 0 || !errors.Is(e, errBad)) {
		w.promise("CauseKept", "the release failed with %v; want part %q", v.StopErr, a.bad)
	}
}

// keepsCause compares Status.Cause with the reason why the last attempt or release failed.
func (w *World) keepsCause(got error) {
	var stop *fsm.StopError
	start, _ := got.(*fsm.StartError)
	want := &w.cause
	told := errors.As(got, &stop) || start != nil && start.Rollback != nil
	if (got == nil) != (want.why == nil && want.bad == "") || want.why != nil && !errors.Is(got, want.why) || told != (want.bad != "") {
		w.promise("CauseKept", "Status has the cause %v; want %v, and of the releases: %q", got, want.why, want.bad)
	}
}

// usesContext checks the context of a use: it has ended if the release was forced.
func (w *World) usesContext(c *caller, ctx context.Context) {
	v := control.View{}
	c.used.View(&v)
	cause, why := context.Cause(ctx), w.attempts[v.Number-1].why
	if (cause != nil) != v.Forced || cause != nil && !errors.Is(cause, why) {
		w.promise("DrainFirst", "the context of a use of attempt %d: it has ended with %v, want %v if the drain is cut short (%v)", v.Number, cause, why, v.Forced)
	}
	whose, is := ctx.Value(callerKey{}).(int)
	if used := c.index%3 == 1; is != used || is && whose != c.index || !used && ctx.Value(baseKey{}) == nil {
		w.promise("NoLeak", "a use of c%d has the values of c%d: %v", c.index+1, whose+1, is)
	}
}

// carries checks the context that a hook receives.
func (w *World) carries(a *attempt, ctx context.Context, what string) {
	if caller := ctx.Value(callerKey{}); caller != nil || ctx.Value(baseKey{}) == nil {
		w.promise("NoLeak", "%s of attempt %d carries the values of a caller: %v, and not those of WithBaseContext", what, a.Number(), caller)
	}
}
