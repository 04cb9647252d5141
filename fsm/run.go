package fsm

import (
	"context"
	"slices"
)

// Run is the whole life of a resource that one caller owns: it starts, stays until ctx
// ends or the resource has died for good, then closes within WithStopTimeout, as Close
// does: for every other user of the lifecycle, too. A resource has died for good when it
// has died (Scope.Fail, Lease.Fail) and WithRestart was not given, or has given up. Run returns
//
//   - nil once ctx has ended, also during the start or before it, and everything is given back;
//   - nil once somebody else's Stop or Shutdown has given everything back, or has come
//     before: the lifecycle stays as that has left it;
//   - the *StartError of an attempt that failed, at once: the lifecycle is then Idle, and
//     may be started again;
//   - the cause of death, after the close; joined with the *StopError, if that failed;
//   - the *StopError of a close that failed;
//   - ErrReentrant, without any effect, if ctx is one that this lifecycle handed to an
//     open, release or use that has not ended (G15).
//
// Without WithStartTimeout only ctx bounds the start.
func (l *Lifecycle[R]) Run(ctx context.Context) error {
	c := l.read(ctx, "Run")
	switch {
	case c.within:
		return ErrReentrant
	case c.cause != nil:
		return l.Close()
	}
	s := &stay[R]{over: make(chan error, 1)}
	defer l.leaveRun(s)
	err := l.startFor(c, s)
	switch err.(type) {
	case nil:
		died, ended := l.stay(c, s)
		if ended {
			return l.Close()
		}
		if died != nil {
			if err := l.Close(); err != nil {
				return &bothError{died, err}
			}
			return died
		}
	case *StartError:
		return err
	case *LeaveError:
		return l.Close()
	}
	// Stopped, or closed, by somebody else: that release may still go on.
	if _, err := l.Wait(ctx, Idle, Starting, Started, Closed); err != nil {
		return l.Close()
	}
	return nil
}

// A stay is a Run's.
type stay[R any] struct {
	over  chan error  // gets nil once a Stop took effect, else why the resource died for good
	start *attempt[R] // the Run is still in its Start, unless this attempt is answered; nil: it is not
}

// stay waits until c's context has ended, or until s is over, and returns why.
func (l *Lifecycle[R]) stay(c caller, s *stay[R]) (cause error, ended bool) {
	l.mu.Lock()
	s.start = nil // not to be kept for as long as this lasts
	l.mu.Unlock()
	select {
	case cause = <-s.over:
		return cause, false
	case <-c.done:
		return nil, true
	}
}

func (l *Lifecycle[R]) leaveRun(s *stay[R]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.staying = slices.DeleteFunc(l.staying, func(other *stay[R]) bool { return other == s })
}

// overLocked ends every Run: cause is nil if a Stop or Shutdown takes effect, else why
// the resource has died, and nothing is going to start it again. Then a Run whose own
// Start waits goes on: that has its own outcome.
func (l *Lifecycle[R]) overLocked(cause error) {
	l.staying = slices.DeleteFunc(l.staying, func(s *stay[R]) bool {
		if cause != nil && s.start != nil && !s.start.isAnswered {
			return false
		}
		s.over <- cause // has room for one
		return true
	})
}

// Do is Use for a function with a result: it calls f with the resource of l, as Use does,
// and returns what f returned; the zero T and Use's error if f was not called. A nil f panics.
func Do[R, T any](ctx context.Context, l *Lifecycle[R], f func(context.Context, R) (T, error)) (result T, err error) {
	if f == nil {
		panic("fsm: Do: a nil function")
	}
	err = l.Use(ctx, func(ctx context.Context, resource R) (err error) {
		result, err = f(ctx, resource)
		return err
	})
	return result, err
}
