package fsm

import (
	"context"
	"fmt"
)

// The contexts of callers are foreign: their methods may panic, block or lie. A call reads
// its context in the caller's goroutine, before the call takes effect, and later only where
// no other goroutine waits. Use reads its context again once it is admitted: by then the use
// is running.

// A caller is what a call has read from its context.
type caller struct {
	ctx    context.Context
	done   <-chan struct{}
	cause  error   // why ctx had ended when the call was made; nil: it had not
	marker *marker // the innermost live marker of ctx
	within bool    // ctx belongs to an open, release or use of this lifecycle that has not ended (G15)
}

func (l *Lifecycle[R]) read(ctx context.Context, method string) caller {
	l.mustBeMade()
	if ctx == nil {
		panic("fsm: " + method + "(nil): want a context")
	}
	c := caller{ctx: ctx, done: ctx.Done(), marker: liveMarker(ctx)}
	c.within = l.reentrant(c.marker)
	select {
	case <-c.done:
		c.cause = noNil(context.Cause(ctx))
	default:
		c.cause = context.Cause(ctx)
	}
	return c
}

// why returns the cause of c's context, whose Done is closed. It contains a panic of the
// context's methods.
func (c caller) why() error {
	return noNil(contain(func() error { return context.Cause(c.ctx) }))
}

var errNoErr = fmt.Errorf("fsm: the context's Done is closed, but its Err is nil: %w", context.Canceled)

// noNil replaces the nil cause of an ended context: to return nil would mean success.
func noNil(cause error) error {
	if cause == nil {
		return errNoErr
	}
	return cause
}

// valuesOf returns a context with the values for an attempt that c starts. It never ends.
func (l *Lifecycle[R]) valuesOf(c caller) context.Context {
	if l.callerContext == nil {
		return l.base
	}
	ctx := l.callerContext(c.ctx)
	if ctx == nil {
		return l.base
	}
	return overlaid{l.base, context.WithoutCancel(ctx)}
}

// overlaid has the values of over and, for a key without a value there, those of Context.
type overlaid struct {
	context.Context
	over context.Context
}

func (c overlaid) Value(key any) any {
	if v := c.over.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// A useContext wraps the caller's context, and is the parent of the use's context. Ending
// the use's context calls no method of the caller's context: package context needs only Done
// and the value of cancelKey from the parent, and useContext has read both in advance.
type useContext struct {
	context.Context
	done   <-chan struct{}
	cancel any // the value of cancelKey
	marker marker
}

// newUseContext returns the context of a use by c, its cancel function and its marker.
func (l *Lifecycle[R]) newUseContext(c caller) (context.Context, context.CancelCauseFunc, *marker) {
	u := &useContext{Context: c.ctx, done: c.done, cancel: c.ctx.Value(cancelKey)}
	u.marker.by, u.marker.outer = l.done, c.marker
	ctx, cancel := context.WithCancelCause(u)
	return ctx, cancel, &u.marker
}

func (u *useContext) Done() <-chan struct{} { return u.done }

// Err is called once done is closed, perhaps in a goroutine of package context. A panic or a
// nil result there would end the process.
func (u *useContext) Err() error { return noNil(contain(u.Context.Err)) }

func (u *useContext) Value(key any) any {
	switch key {
	case markerKey{}:
		return &u.marker
	case cancelKey:
		return u.cancel
	}
	return u.Context.Value(key)
}

// cancelKey is the key by which package context finds the nearest context that it can
// cancel itself.
var cancelKey = func() any {
	var p probe
	context.Cause(&p)
	return p.key
}()

// A probe records the key that its Value is called with.
type probe struct {
	context.Context
	key any
}

func (p *probe) Value(key any) any { p.key = key; return nil }
func (p *probe) Err() error        { return context.Canceled }
