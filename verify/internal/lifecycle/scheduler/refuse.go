package scheduler

import (
	"context"
	"errors"
	"fmt"

	looplab "github.com/looplab/fsm"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// refuses tries everything that the code must refuse in this position. Afterwards the code must be
// as before, in the model's state and in its additional state. It tries:
//   - every event that the table lacks here, with the machine's own error;
//   - the start timeouts of older attempts, and of this one when nothing is starting;
//   - reports by the leases of older attempts, and by the scopes of older attempts and tries;
//   - parts that those scopes name, and parts that they register, which are released at once (G13, G4);
//   - calls from within an open or a use (G15).
//
// It returns the number of tries.
func (p *Pair) refuses() (tried int, err error) {
	defer p.contain(&err)
	hidden := p.hidden()
	try := func(what string, index any, do func() string) {
		if err != nil {
			return
		}
		tried++
		p.begins(spec.Step{Action: spec.StartFast})
		if bad := do(); bad != "" {
			err = p.differ([]spec.Difference{{Var: what, Index: fmt.Sprint(index), Want: "refused in " + p.Model.St.String(), Got: bad}})
			return
		}
		p.granted, p.complaints = false, nil
		var d *Difference
		if err = p.unchanged(); errors.As(err, &d) && what == varPromise {
			d.Guarantee, _ = spec.GuaranteeOf(fmt.Sprint(index))
		}
	}
	for _, e := range spec.Events() {
		if _, allowed := spec.Next(e, p.Model.St); !allowed {
			try("st", e, func() string {
				err := control.Fire(p.life, e)
				if want := (looplab.InvalidEventError{}); !errors.As(err, &want) {
					return fmt.Sprint(err)
				}
				return ""
			})
		}
	}
	for i, a := range p.attempts {
		g := uint8(i + 1)
		timeout := func() string { control.Timeout(a.Attempt); return "" }
		if g < p.Model.Gen {
			try(varPromise, "OwnGeneration", timeout)
		} else if p.Model.St != spec.Starting {
			try("st", spec.Step{Action: spec.Timeout, Arg: g}, timeout)
		}
		for j := range a.tries {
			if g == p.Model.Gen && j == len(a.tries)-1 {
				break // what it does may have an effect
			}
			p.late(try, a, j)
		}
	}
	if p.timer != nil && !control.InspectRestart(p.life).Timer {
		try("st", "a restart's timer that was called off", func() string { p.timer(); return "" })
	}
	for i, c := range p.callers {
		if a := control.LeaseOf(&c.lease); a != nil && a.Number() < uint64(p.Model.Gen) {
			try(varPromise, "OwnGeneration", func() string { c.lease.Fail(errLate); return "" })
		}
		if c.using && c.useCtx != nil {
			p.within(try, fmt.Sprintf("a use of c%d", i+1), c.useCtx)
		}
	}
	for _, a := range p.attempts {
		opens := a.view().Op == spec.OpOpen
		for j := range a.tries {
			ctx, last := a.tries[j].ctx, j == len(a.tries)-1
			switch {
			case opens && last:
				p.within(try, "open", ctx)
			case ctx.Err() != nil:
				try(varPromise, "NoSelfDeadlock", func() string { return outside(a, j, p.life.Start(ctx)) })
			}
		}
	}
	if err == nil && p.hidden() != hidden {
		err = p.differ([]spec.Difference{{Var: varPromise, Index: "OwnGeneration", Want: "no effect of what is refused", Got: "something that the model has not is not what it was"}})
	}
	return tried, err
}

// errLate is the error of a report that comes too late.
var errLate = errors.New("too late")

// refusal tries one thing that must be refused. do returns what was wrong.
type refusal = func(what string, index any, do func() string)

// late tries what the scope of a try can do after the try.
func (p *Pair) late(try refusal, a *attempt, j int) {
	scope := a.tries[j].scope
	try(varPromise, "OwnGeneration", func() string { scope.Fail(errLate); return "" })
	try(varPromise, "OwnGeneration", func() string { scope.Part("late"); return "" })
	if j == len(a.tries)-1 && !a.view().Finished {
		return
	}
	try(varPromise, "Rollback", func() string {
		released := 0
		scope.Defer("late", func(ctx context.Context) error {
			if released++; ctx.Err() != nil {
				released = -1
			}
			return nil
		})
		if released != 1 {
			return fmt.Sprintf("a part registered by try %d of attempt %d was released %d times (-1: with a context that has ended); want once, at once", j+1, a.Number(), released)
		}
		return ""
	})
}

// within makes calls from within a hook or use, with its context.
func (p *Pair) within(try refusal, where string, ctx context.Context) {
	if p.Model.St != spec.Started {
		try(varPromise, "NoSelfDeadlock", func() string { return reentrant("Start", where, p.life.Start(ctx)) })
	}
	try(varPromise, "NoSelfDeadlock", func() string { return reentrant("Stop", where, p.life.Stop(ctx)) })
	try(varPromise, "NoSelfDeadlock", func() string { return reentrant("Shutdown", where, p.life.Shutdown(ctx)) })
}

func reentrant(method, where string, err error) string {
	if err == fsm.ErrReentrant {
		return ""
	}
	return fmt.Sprintf("%s from within %s: %v, want %v", method, where, err, fsm.ErrReentrant)
}

// outside checks a Start with the context of an open that has returned. That context has ended.
func outside(a *attempt, j int, err error) string {
	if err != fsm.ErrReentrant {
		return ""
	}
	return fmt.Sprintf("Start with the context of try %d of attempt %d, which has returned: %v", j+1, a.Number(), err)
}

func (p *Pair) unchanged() error {
	got, err := p.Snapshot()
	if err != nil {
		return p.differ([]spec.Difference{{Var: "st", Want: "what it was", Got: err.Error()}})
	}
	if want := Canonical(p.Model); got != want {
		return p.differ(spec.Diff(want, got))
	}
	return nil
}
