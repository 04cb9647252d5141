package fsm

import (
	"context"

	"github.com/seed3893aba4/surestart/spec"
)

// A Scope is what open registers the parts of the resource with. It belongs to
// one attempt (with WithRetry, to one try of it), and may be kept for as long as
// the resource runs. Its methods may be called concurrently; those of a zero one panic.
type Scope struct {
	owner owner
	try   int // of the attempt
}

type owner interface {
	setPart(try int, name string)
	push(try int, p part)
	reportFailure(try int, cause error)
}

// Part names what is being acquired from now on, until the next Part, for
// StartError.Part, Status and logs. Defer does not change it.
func (s *Scope) Part(name string) { s.of("Part").setPart(s.try, name) }

// Defer registers the release of a part that has just been acquired. Releases
// run one at a time, the last registered first, each once, each on a fresh context
// of its own that WithReleaseTimeout bounds (G4); one that fails, panics or calls
// runtime.Goexit does not keep the others from running. After the attempt has
// ended, or the try has failed, release is called at once, in the caller's
// goroutine, and an error of it is logged. A nil release panics.
func (s *Scope) Defer(name string, release func(context.Context) error) {
	if release == nil {
		panic("fsm: Scope.Defer: part " + name + ": a nil release")
	}
	s.of("Defer").push(s.try, part{name, release})
}

// Fail reports that the resource died: it is released at once, without waiting
// for its uses, and cause is kept (G14). Before open has returned it fails the
// attempt. Of an attempt or a try that is being given back (also while a Stop still
// drains: then the Stop's context decides), or that is not the latest, it does
// nothing (G13). It does not wait. A nil cause is replaced by one that says so.
func (s *Scope) Fail(cause error) { s.of("Fail").reportFailure(s.try, cause) }

func (s *Scope) of(method string) owner {
	if s.owner == nil {
		panic("fsm: Scope." + method + ": a zero Scope: use the one that open receives")
	}
	return s.owner
}

func (a *attempt[R]) setPart(try int, name string) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	if try != a.tried {
		return
	}
	a.acquiring = name
	a.stepLocked(StepAcquiring, name, 0, nil)
}

func (a *attempt[R]) push(try int, p part) {
	a.l.point(spec.OpenPart, a)
	a.l.mu.Lock()
	late, forced := a.isFinished || try != a.tried, a.forced
	if !late {
		a.parts = append(a.parts, p)
		a.l.tookLocked(spec.OpenPart, a)
		a.stepLocked(StepHeld, p.name, 0, nil)
	}
	a.l.mu.Unlock()
	if !late {
		return
	}
	err := errExited
	defer func() {
		if err != nil {
			a.l.log().Error("surestart: the release of a part registered after the end failed",
				"part", p.name, "attempt", a.number, "error", err)
		}
	}()
	err = contain(func() error { return a.runRelease(&p, forced) })
}

func (a *attempt[R]) reportFailure(try int, cause error) { a.l.fail(a, try, cause) }
