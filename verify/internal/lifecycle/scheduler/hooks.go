package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// caller is a goroutine that makes calls.
type caller struct {
	w               *World
	index           int
	thread          *thread
	loop            func()       // run
	ctx             *callContext // of the call, or of one before
	calling         bool
	lease           fsm.Lease[int]
	used            control.Attempt // the attempt of the use
	useCtx          context.Context // of the use; nil: it has none
	err             error           // the result, at atDone
	using, shutting bool
}

func (c *caller) run() {
	w := c.w
	for {
		c.thread.pause(point{kind: atIdle})
		if w.closing {
			return
		}
		w.granted = false
		w.calls++
		c.calling = true
		if c.ctx == nil || c.ctx.ended { // a context may serve for several calls
			c.ctx = newCallContext(c.index)
		}
		switch w.step.Action {
		case spec.InvokeStart:
			w.Point(spec.StartFast, nil)
			c.err = w.life.Start(c.ctx.Context)
		case spec.InvokeStop:
			c.err = w.life.Stop(c.ctx.Context)
		case spec.InvokeShutdown:
			c.shutting = true
			c.err = w.life.Shutdown(c.ctx.Context)
			c.shutting = false
		case spec.InvokeUse:
			w.Point(spec.UseLoad, nil)
			c.use()
		}
		if !w.granted || w.step.Action != spec.Return {
			c.thread.pause(point{kind: atDone})
		}
		w.granted = false
		c.calling, c.err = false, nil
	}
}

// use makes a use: by Acquire, with the lease's context requested at the end of it or at once, or
// by Use. Where sections are split it takes no lock: by Acquire alone.
func (c *caller) use() {
	w := c.w
	if c.index%3 == 1 && w.section == nil {
		c.err = w.life.Use(c.ctx.Context, func(ctx context.Context, n int) error {
			c.inside(w.usedBy(), ctx, n)
			return nil
		})
		return
	}
	if c.lease, c.err = w.life.Acquire(); c.err != nil {
		return
	}
	var ctx context.Context
	if c.index%3 == 2 && w.section == nil {
		ctx = c.lease.Context()
	}
	c.inside(control.LeaseOf(&c.lease), ctx, c.lease.Resource())
	if ctx == nil && !w.closing && w.section == nil {
		w.usesContext(c, c.lease.Context())
	}
	c.lease.Release()
}

// inside is the work of a use: it waits until the scheduler ends the use.
func (c *caller) inside(of control.Attempt, ctx context.Context, n int) {
	if c.w.closing {
		return
	}
	c.using, c.used, c.useCtx = true, of, ctx
	if want := int(of.Number()); n != want {
		c.w.promise("OwnGeneration", "a use of attempt %d was given the resource of attempt %d", want, n)
	}
	c.w.Point(spec.UseEnd, of)
	c.using, c.useCtx = false, nil
}

// usedBy returns the attempt whose gate admitted the running use.
func (w *World) usedBy() control.Attempt { return control.Inspect(w.life).Opened }

var partNames = func() (names [1 << 8]string) {
	for i := range names {
		names[i] = fmt.Sprintf("p%d", i)
	}
	return names
}()

// open is the hook. The scheduler chooses what it does next.
func (w *World) open(ctx context.Context, scope *fsm.Scope) (int, error) {
	a := w.attemptOf(control.Inspect(w.life).Current)
	if len(a.tries) > 0 && w.step.Action != spec.TryAgain && !w.closing {
		w.complaints = append(w.complaints, fmt.Sprintf("open was called again in %v", w.step))
	}
	a.parts = 0
	a.tries = append(a.tries, try{ctx: ctx, scope: scope})
	w.carries(a, ctx, "open")
	self := w.running
	for {
		self.pause(point{kind: atOpen, attempt: a.Attempt})
		if w.closing {
			return 0, errBad
		}
		switch w.step.Action {
		case spec.OpenPart:
			a.parts++
			n := a.parts
			scope.Part(partNames[n])
			scope.Defer(partNames[n], func(ctx context.Context) error { return w.release(ctx, a, n) })
		case spec.OpenOk:
			return int(a.Number()), nil
		case spec.OpenErr, spec.OpenRetry:
			if a.view().Reported { // whatever it returns then
				return int(a.Number()), []error{nil, errBad}[(int(a.parts)+len(a.tries))%2]
			}
		}
		if w.step.Action == spec.OpenRetry {
			return 0, errBad
		}
		if w.step.Action != spec.OpenPart {
			return 0, w.misfortune()
		}
	}
}

// attemptOf returns what is known of the attempt that is opening.
func (w *World) attemptOf(current control.Attempt) *attempt {
	if n := len(w.attempts); n > 0 && w.attempts[n-1].Attempt == current {
		return w.attempts[n-1]
	}
	a := &attempt{Attempt: current}
	w.attempts = append(w.attempts, a)
	return a
}

// schedule is the Backoff. The scheduler chooses whether open is tried again.
type schedule struct{ w *World }

func (s schedule) Next(int, error) (wait time.Duration, again bool) {
	return 0, s.w.step.Action == spec.OpenRetry && !s.w.closing
}

// release is the hook of part n.
func (w *World) release(ctx context.Context, a *attempt, n uint8) error {
	if w.closing {
		return nil
	}
	w.running.pause(point{kind: atRelease, attempt: a.Attempt})
	if w.closing {
		return nil
	}
	w.released = append(w.released, n)
	if err := ctx.Err(); err != nil {
		w.complaints = append(w.complaints, fmt.Sprintf("the release of part %d was given a context that has ended: %v", n, err))
	}
	if forced := a.view().Forced; fsm.Forced(ctx) != forced {
		w.complaints = append(w.complaints, fmt.Sprintf("the release of part %d was told forced=%v, want %v", n, !forced, forced))
	}
	w.carries(a, ctx, "a release")
	if w.step.Action == spec.ReleaseOk {
		return nil
	}
	return w.misfortune()
}

var errBad = errors.New("bad luck")

// misfortune returns an error or, once in 64 calls, panics. A panic is expensive.
func (w *World) misfortune() error {
	if w.taken*2654435761>>26 == 0 {
		panic(errBad)
	}
	return errBad
}
