package fsm

import (
	"context"
	"runtime/debug"

	"github.com/seed3893aba4/surestart/spec"
)

// This file calls the user's functions: open and the releases.

// runHook runs the hook that is due, once, and contains its panic. A hook that calls
// runtime.Goexit ends the goroutine: the goroutine that continues then sees that the hook
// has run and failed.
func (a *attempt[R]) runHook(hook func() error) error {
	if !a.ran {
		a.ran, a.hookErr = true, errExited
		a.hookErr = contain(hook)
	}
	return a.hookErr
}

func contain(hook func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return hook()
}

// runRelease calls the release of p with a fresh context (G4). For a part that is
// registered late it runs beside the attempt's operation, so it reads only a's fixed fields.
func (a *attempt[R]) runRelease(p *part, forced bool) error {
	ctx, marker := a.l.mark(context.WithValue(a.values, forcedKey{}, forced), a.outer)
	ctx, cancel := context.WithTimeout(ctx, a.l.releaseTimeout)
	stop := context.AfterFunc(ctx, func() {
		a.l.log().Warn("surestart: a release outlives its timeout; its part stays held until it returns",
			"part", p.name, "attempt", a.number, "timeout", a.l.releaseTimeout)
	})
	defer func() {
		marker.over.Store(true) // before cancel: a goroutine that cancel wakes is no longer within this release
		stop()
		cancel()
	}()
	return p.release(ctx)
}

type forcedKey struct{}

// Forced reports whether the drain before a release was cut short; ctx is the context of
// the release. If so, uses may still be running, and the release should cut them off, not
// wait for them. All releases of an attempt get the same answer. For any other context it
// is false.
func Forced(ctx context.Context) bool {
	forced, _ := ctx.Value(forcedKey{}).(bool)
	return forced
}

// outcome returns the action for the error of a hook: ok for nil, otherwise bad.
func outcome(err error, ok, bad spec.Action) spec.Action {
	if err != nil {
		return bad
	}
	return ok
}
