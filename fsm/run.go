package fsm

import (
	"context"
	"slices"
)

// Run owns the whole life of a resource. It starts the resource, waits until ctx ends or
// the resource has died for good, and then calls Close, which closes the lifecycle for all
// of its users. A resource has died for good when it has died (Scope.Fail, Lease.Fail) and
// either WithRestart was not given, or its Backoff has given up. Run returns
//
//   - nil once ctx has ended, also before or during the start, and everything is released;
//   - nil once another caller's Stop or Shutdown has released everything, also if the
//     Shutdown came before the start: Run then leaves the lifecycle as it is;
//   - the *StartError of an attempt that failed, at once: the lifecycle is then Idle, and
//     may be started again;
//   - the cause of death, after the close; joined with the *StopError if the close failed;
//   - the *StopError of a close that failed;
//   - ErrReentrant, without any effect, if ctx belongs to an open, release or use of this
//     lifecycle that has not ended (G15).
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
	s := &runCall[R]{ended: make(chan error, 1)}
	defer l.leaveRun(s)
	err := l.startFor(c, s, nil)
	switch err.(type) {
	case nil:
		died, ended := l.awaitEnd(c, s)
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
	// Another caller has stopped or closed the lifecycle: the release may still be running.
	if _, err := l.Wait(ctx, Idle, Starting, Started, Closed); err != nil {
		return l.Close()
	}
	return nil
}

// A runCall is a call of Run.
type runCall[R any] struct {
	ended chan error  // receives nil once a Stop took effect, or the cause of a death for good
	start *attempt[R] // the attempt that Run's Start waits for; nil: Start has returned
}

// awaitEnd waits until c's context ends, or until a Stop or a death for good ends s.
func (l *Lifecycle[R]) awaitEnd(c caller, s *runCall[R]) (cause error, ended bool) {
	l.mu.Lock()
	s.start = nil // do not keep it in memory during the wait
	l.mu.Unlock()
	select {
	case cause = <-s.ended:
		return cause, false
	case <-c.done:
		return nil, true
	}
}

// ownsLocked reports whether the Start of s has succeeded: then s closes the resource.
func (s *runCall[R]) ownsLocked() bool {
	return s.start == nil || s.start.isAnswered && s.start.startErr == nil
}

func (l *Lifecycle[R]) leaveRun(s *runCall[R]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = slices.DeleteFunc(l.runs, func(other *runCall[R]) bool { return other == s })
}

// endRunsLocked ends every Run. cause is nil if a Stop or Shutdown takes effect, otherwise
// the cause of a death for good; then a Run that still waits in Start is not ended: its
// Start has an outcome of its own.
func (l *Lifecycle[R]) endRunsLocked(cause error) {
	l.runs = slices.DeleteFunc(l.runs, func(s *runCall[R]) bool {
		if cause != nil && !s.ownsLocked() {
			return false
		}
		s.ended <- cause // has a buffer of one
		return true
	})
}

// Do is Use for a function with a result. It calls f with the resource of l, as Use does,
// and returns f's results. If f was not called, it returns the zero T and Use's error. A nil
// f panics.
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
