package fsm

import (
	"context"

	"github.com/seed3893aba4/surestart/spec"
)

// A Lease keeps the resource open until it is released (G10), unless a release of the
// resource is forced. The zero value keeps nothing open. A Lease must not be copied (go vet
// reports a copy); Move passes it on. Resource, Context and Fail may be called concurrently.
// Release and Move must not be called concurrently with any method. No method blocks.
type Lease[R any] struct {
	_        noCopy
	a        *attempt[R]
	released bool
	context  *leaseContext // made by the first call of Context
}

// noCopy has the methods that go vet's copylocks check looks for.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

type leaseContext struct {
	context.Context
	cancel context.CancelFunc
	marker *marker
}

// Acquire admits a use of the resource, which stays open until the lease is released,
// unless a release is forced (G9). It returns ErrClosed if Shutdown or Close has been
// called; otherwise, if the resource is not open, ErrNotStarted. It never blocks. While
// Started it allocates nothing and takes no lock.
func (l *Lifecycle[R]) Acquire() (Lease[R], error) {
	a := l.opened.Load()
	if a != nil {
		if l.hook != nil {
			l.hook.Point(spec.UseAdd, a)
		}
		if a.gate.Add(1) > 0 {
			return Lease[R]{a: a}, nil
		}
		// The gate is closed for good: its count has no meaning any more.
	}
	return l.acquire()
}

// acquire decides by the state, under the lock, after the gate has refused. To refuse
// without the lock would be wrong: the Stop that closed the gate might not have taken effect
// yet, and a Start after the refusal could still return nil for the old opening.
func (l *Lifecycle[R]) acquire() (Lease[R], error) {
	l.mustBeMade()
	l.point(spec.UseSlow, nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tookLocked(spec.UseSlow, l.current)
	switch {
	case l.State() == spec.Started:
		l.current.gate.Add(1)
		return Lease[R]{a: l.current}, nil
	case l.closing:
		return Lease[R]{}, ErrClosed
	default:
		return Lease[R]{}, ErrNotStarted
	}
}

// Resource returns the resource, or the zero R for a zero lease.
func (x *Lease[R]) Resource() (r R) {
	if x.a != nil {
		r = x.a.resource
	}
	return r
}

// Context returns a context that ends when the lease is released, or earlier if a release
// of the resource is forced. A forced release gives it the cause ErrStopped, ErrClosed, or
// the cause given to Fail. It has the values of open's context. The context of a zero or
// released lease has already ended.
func (x *Lease[R]) Context() context.Context {
	if x.a == nil {
		return endedContext()
	}
	x.a.l.mu.Lock() // concurrent calls are allowed
	defer x.a.l.mu.Unlock()
	if x.context == nil {
		if x.released {
			return endedContext()
		}
		ctx, marker := x.a.l.mark(x.a.leasesLocked(), x.a.outer)
		ctx, cancel := context.WithCancel(ctx)
		x.context = &leaseContext{ctx, cancel, marker}
	}
	return x.context.Context
}

func endedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Release ends the use. Called again, or on a zero lease, it does nothing.
func (x *Lease[R]) Release() {
	if x.a == nil || x.released {
		return
	}
	x.released = true
	if x.context != nil {
		x.context.marker.over.Store(true)
		x.context.cancel()
	}
	if x.a.gate.Add(-1) < 0 {
		x.a.l.drop(x.a)
	}
}

// Move returns the lease and leaves x zero.
func (x *Lease[R]) Move() Lease[R] {
	a, released, context := x.a, x.released, x.context
	x.a, x.released, x.context = nil, false, nil
	return Lease[R]{a: a, released: released, context: context}
}

// Fail reports, as Scope.Fail does, that the resource of the lease has died (G13). The
// lease must still be released. On a zero lease Fail does nothing.
func (x *Lease[R]) Fail(cause error) {
	if x.a != nil {
		x.a.l.fail(x.a, x.a.tried, cause)
	}
}

// drop ends a use that was admitted before the gate was closed; the last use ends the drain.
func (l *Lifecycle[R]) drop(a *attempt[R]) {
	l.point(spec.UseDrop, a)
	l.mu.Lock()
	defer l.mu.Unlock()
	a.inUse--
	if a.inUse == 0 && !a.forced {
		close(a.drained)
	}
	l.tookLocked(spec.UseDrop, a)
}

// Use calls f with the resource, which stays open until f returns, unless a release is
// forced (G9, G10). It calls f in the caller's goroutine and returns when f returns. Use
// returns f's error, or, without calling f,
//
//   - ErrClosed or ErrNotStarted, as Acquire does;
//   - the cause of ctx if ctx has ended.
//
// f's context is derived from ctx. A forced release cancels it with the cause ErrStopped,
// ErrClosed or the cause given to Fail, and calls no method of ctx. A panic of f passes
// through to the caller of Use. A nil f panics.
func (l *Lifecycle[R]) Use(ctx context.Context, f func(context.Context, R) error) error {
	if f == nil {
		panic("fsm: Use: a nil function")
	}
	c := l.read(ctx, "Use")
	lease, err := l.Acquire()
	if err != nil {
		return err
	}
	defer lease.Release()
	if c.cause != nil {
		return c.cause
	}
	ctx, cancel, marker := l.newUseContext(c)
	a := lease.a
	l.mu.Lock()
	admitted := a.uses.addLocked(&cancel)
	l.mu.Unlock()
	if !admitted {
		cancel(a.uses.reason)
	}
	defer func() {
		l.mu.Lock()
		delete(a.uses.each, &cancel)
		l.mu.Unlock()
		marker.over.Store(true) // before cancel: a goroutine that cancel wakes is no longer within this use
		cancel(nil)
	}()
	return f(ctx, a.resource)
}

// useSet holds the contexts of an attempt's uses. It is under the lifecycle's lock.
type useSet struct {
	leases context.Context // the parent of the leases' contexts; nil until one is needed
	cancel context.CancelCauseFunc
	each   map[*context.CancelCauseFunc]struct{} // of the running Uses
	over   bool                                  // a release was forced: all contexts end
	reason error
}

// addLocked returns false if a release was forced: then the caller cancels its context.
func (s *useSet) addLocked(cancel *context.CancelCauseFunc) bool {
	if s.over {
		return false
	}
	if s.each == nil {
		s.each = make(map[*context.CancelCauseFunc]struct{})
	}
	s.each[cancel] = struct{}{}
	return true
}

// endLocked ends all contexts, also those that are made later. It is called once. There may
// be many running Uses: their contexts end when the caller, without the lock, calls end. It
// calls no method of a caller's context (see useContext).
func (s *useSet) endLocked(reason error) (end func()) {
	s.over, s.reason = true, reason
	if s.cancel != nil {
		s.cancel(reason)
	}
	running := make([]*context.CancelCauseFunc, 0, len(s.each))
	for cancel := range s.each {
		running = append(running, cancel)
	}
	return func() {
		for _, cancel := range running {
			(*cancel)(reason)
		}
	}
}

func (a *attempt[R]) leasesLocked() context.Context {
	s := &a.uses
	if s.leases == nil {
		s.leases, s.cancel = context.WithCancelCause(a.values)
		if s.over {
			s.cancel(s.reason)
		}
	}
	return s.leases
}
