package fsm

import (
	"context"
	"runtime/debug"

	"github.com/seed3893aba4/surestart/spec"
)

// How the user's functions are called: open and the releases.

// once runs the hook that is due, and contains its panic. A hook that called
// runtime.Goexit has taken the goroutine with it: to the one that goes on it has
// run already, and failed.
func (a *attempt[R]) once(hook func() error) error {
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

// runRelease calls the release of p, on a fresh context of its own (G4). It may run
// beside the attempt's operation, for a part that is registered late: it reads of a
// only what is fixed.
func (a *attempt[R]) runRelease(p *part, forced bool) error {
	ctx, token := a.l.hand(context.WithValue(a.values, forcedKey{}, forced), a.outer)
	ctx, cancel := context.WithTimeout(ctx, a.l.releaseTimeout)
	stop := context.AfterFunc(ctx, func() {
		a.l.log().Warn("surestart: a release outlives its timeout; its part stays held until it returns",
			"part", p.name, "attempt", a.number, "timeout", a.l.releaseTimeout)
	})
	defer func() {
		token.over.Store(true) // before the end: what it wakes is not within this release any more
		stop()
		cancel()
	}()
	return p.release(ctx)
}

type forcedKey struct{}

// Forced tells a release whether the drain before it was cut short, so that uses
// may still be running: then it should cut them off rather than wait for them.
// It is decided before the first release runs. False for any other context.
func Forced(ctx context.Context) bool {
	forced, _ := ctx.Value(forcedKey{}).(bool)
	return forced
}

// outcome is the action that a hook's return is.
func outcome(err error, ok, bad spec.Action) spec.Action {
	if err != nil {
		return bad
	}
	return ok
}
