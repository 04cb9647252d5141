package fsm

import (
	"context"

	"github.com/seed3893aba4/surestart/spec"
)

// A Lease holds the resource open until it is released (G10). The zero value
// holds nothing. It must not be copied, go vet reports a copy; Move hands it on.
// Resource, Context and Fail may be called concurrently; Release and Move not, nor
// along with them.
type Lease[R any] struct {
	_        noCopy
	a        *attempt[R]
	released bool
	context  *leaseContext // made when it is asked for
}

// noCopy is what go vet's copylocks check looks for.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

type leaseContext struct {
	context.Context
	cancel context.CancelFunc
	handed *token
}

// Acquire admits a use of the resource: it stays open until the lease is
// released, unless a release is forced (G9). It never blocks. It returns
// ErrClosed after Shutdown or Close was called, else ErrNotStarted unless the
// resource is open. It allocates nothing and takes no lock while Started.
func (l *Lifecycle[R]) Acquire() (Lease[R], error) {
	a := l.gate.Load()
	if a != nil {
		if l.hook != nil {
			l.hook.Point(spec.UseAdd, a)
		}
		if a.gate.Add(1) > 0 {
			return Lease[R]{a: a}, nil
		}
		// The gate is closed for good: what was added to it means nothing.
	}
	return l.acquire()
}

// acquire is Acquire once the gate has refused: the state decides, under the
// lock. The tempting shortcut, to refuse without it, would let a caller be
// refused before the Stop that closed the gate has taken effect for a Start.
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

// Resource returns the resource; the zero R of a zero lease.
func (x *Lease[R]) Resource() (r R) {
	if x.a != nil {
		r = x.a.resource
	}
	return r
}

// Context returns a context that ends when the lease is released, or before,
// when the release of the resource is forced: then its cause is why (ErrStopped,
// ErrClosed, or what Fail was given). It carries the values of open's. Of a
// lease that is zero or released it has ended.
func (x *Lease[R]) Context() context.Context {
	if x.a == nil {
		return endedContext()
	}
	x.a.l.mu.Lock() // several may use one lease
	defer x.a.l.mu.Unlock()
	if x.context == nil {
		if x.released {
			return endedContext()
		}
		ctx, handed := x.a.l.hand(x.a.leasesLocked(), x.a.outer)
		ctx, cancel := context.WithCancel(ctx)
		x.context = &leaseContext{ctx, cancel, handed}
	}
	return x.context.Context
}

func endedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Release ends the use. Called again, or of a zero lease, it does nothing.
func (x *Lease[R]) Release() {
	if x.a == nil || x.released {
		return
	}
	x.released = true
	if x.context != nil {
		x.context.handed.over.Store(true)
		x.context.cancel()
	}
	if x.a.gate.Add(-1) < 0 {
		x.a.l.drop(x.a)
	}
}

// Move returns the lease for another variable to hold, and leaves x zero.
func (x *Lease[R]) Move() Lease[R] {
	a, released, context := x.a, x.released, x.context
	x.a, x.released, x.context = nil, false, nil
	return Lease[R]{a: a, released: released, context: context}
}

// Fail reports that the resource died, as Scope.Fail does, of the attempt that
// the lease is of (G13). The lease remains to be released. Of a zero lease it
// does nothing.
func (x *Lease[R]) Fail(cause error) {
	if x.a != nil {
		x.a.l.fail(x.a, x.a.tried, cause)
	}
}

// drop ends a use that outlived the closing of its gate; the last ends the drain.
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

// Use calls f with the resource, which stays open until f returns, unless a
// release is forced (G9, G10). f's context is derived from ctx, and is cancelled
// when a release is forced, with ErrStopped, ErrClosed or what Fail was given as
// its cause; no method of ctx is called for that. Use returns f's error; ErrClosed or ErrNotStarted as Acquire does;
// the cause of ctx, without calling f, if ctx has ended. It runs f in the caller's
// goroutine and returns when f does; a panic of f passes through. A nil f panics.
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
	ctx, cancel, token := l.newUseContext(c)
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
		token.over.Store(true) // before the end: what it wakes is not within this use any more
		cancel(nil)
	}()
	return f(ctx, a.resource)
}

// useSet is the contexts of an attempt's uses; under the lifecycle's lock.
type useSet struct {
	leases context.Context // the parent of the leases' contexts; nil until one is asked for
	cancel context.CancelCauseFunc
	each   map[*context.CancelCauseFunc]struct{} // of the Uses that run
	over   bool
	reason error
}

// addLocked returns false if they have ended already: then this one has to.
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

// endLocked ends them all, those that are yet to come too; it is called once. The
// contexts of Uses, of which there may be many, end when the caller, without the lock,
// calls end. That calls no method of their callers' contexts (see useContext).
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
