package fsm

import (
	"context"

	"github.com/seed3893aba4/surestart/spec"
)

// A Scope registers the parts of the resource that open acquires. It belongs to one attempt
// (with WithRetry, to one try). open may keep it, to call Fail while the resource is open.
// Its methods may be called concurrently; those of a zero Scope panic.
type Scope struct {
	owner owner
	try   int // of the attempt
}

type owner interface {
	setPart(try int, name string)
	push(try int, p part)
	reportFailure(try int, cause error)
}

// Part sets the name of the part that open acquires next. StartError, LeaveError, Status
// and Tracers show the name until the next call of Part; Defer does not change it. Once
// the try has failed, Part does nothing. It does not block.
func (s *Scope) Part(name string) { s.of("Part").setPart(s.try, name) }

// Defer registers the release of a part that has just been acquired. Releases run one at
// a time, the last registered first, each once, each with a fresh context that
// WithReleaseTimeout bounds (G4). If one fails, panics or calls runtime.Goexit, the others
// run all the same. After the attempt has ended, or the try has failed, Defer calls
// release at once, in its caller's goroutine, and logs the error of release. Otherwise it
// does not block. A nil release panics.
func (s *Scope) Defer(name string, release func(context.Context) error) {
	if release == nil {
		panic("fsm: Scope.Defer: part " + name + ": a nil release")
	}
	s.of("Defer").push(s.try, part{name, release})
}

// Fail reports that the resource has died: the resource is released at once, without
// waiting for its uses, and Status keeps cause (G14). Before open has returned, Fail makes
// the attempt (with WithRetry, the try) fail. Fail does nothing if the attempt or try is not
// the latest (G13), or is already being released. That includes the drain of a Stop, which
// the Stop's context bounds. Fail does not block. A nil cause is replaced by an error that
// says that no cause was given.
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
			a.l.log().Error("surestart: a part was registered too late, and its release failed",
				"part", p.name, "attempt", a.number, "error", err)
		}
	}()
	err = contain(func() error { return a.runRelease(&p, forced) })
}

func (a *attempt[R]) reportFailure(try int, cause error) { a.l.fail(a, try, cause) }
