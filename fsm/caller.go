package fsm

import (
	"context"
	"fmt"
)

// The contexts of callers are foreign: their methods may panic, block or lie. They are
// read in the caller's goroutine, before the call takes effect. After that they are read
// only where no other goroutine waits. Use reads its context once more after it has
// been admitted: that is a part of the use.

// A caller is what a call reads of its context.
type caller struct {
	ctx    context.Context
	done   <-chan struct{}
	cause  error  // why it had ended when the call began; nil: it had not
	handed *token // its innermost live token
	within bool   // it is of an open, release or use of this lifecycle that had not ended (G15)
}

func (l *Lifecycle[R]) read(ctx context.Context, method string) caller {
	l.mustBeMade()
	if ctx == nil {
		panic("fsm: " + method + "(nil): want a context")
	}
	c := caller{ctx: ctx, done: ctx.Done(), handed: handed(ctx)}
	c.within = l.reentrant(c.handed)
	select {
	case <-c.done:
		c.cause = noNil(context.Cause(ctx))
	default:
		c.cause = context.Cause(ctx)
	}
	return c
}

// why returns why c's context, whose Done is closed, has ended. It contains a panic of
// the context's methods.
func (c caller) why() error {
	return noNil(contain(func() error { return context.Cause(c.ctx) }))
}

var errNoErr = fmt.Errorf("fsm: the context's Done is closed, but its Err is nil: %w", context.Canceled)

// noNil replaces what a context says that lies: nil would be taken for success.
func noNil(cause error) error {
	if cause == nil {
		return errNoErr
	}
	return cause
}

// valuesOf returns where the attempt that c begins takes its values from; it never ends.
func (l *Lifecycle[R]) valuesOf(c caller) context.Context {
	if l.callerContext == nil {
		return l.base
	}
	ctx := l.callerContext(c.ctx)
	if ctx == nil {
		return l.base
	}
	return layered{l.base, context.WithoutCancel(ctx)}
}

// layered has the values of over and, where that has none, those of the base.
type layered struct {
	context.Context
	over context.Context
}

func (c layered) Value(key any) any {
	if v := c.over.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// A useContext is the parent of a use's context: the caller's context, wrapped so that
// ending the use's context calls none of its methods. For that, package context asks
// the parent for Done and for the value of cancelKey: both are read in advance.
type useContext struct {
	context.Context
	done   <-chan struct{}
	cancel any // the value of cancelKey
	token  token
}

// newUseContext returns the context of a use by c, what ends it, and its token.
func (l *Lifecycle[R]) newUseContext(c caller) (context.Context, context.CancelCauseFunc, *token) {
	u := &useContext{Context: c.ctx, done: c.done, cancel: c.ctx.Value(cancelKey)}
	u.token.by, u.token.outer = l.done, c.handed
	ctx, cancel := context.WithCancelCause(u)
	return ctx, cancel, &u.token
}

func (u *useContext) Done() <-chan struct{} { return u.done }

// Err is called once done is closed, perhaps in a goroutine of package context's: there
// a panic would end the process, as nil would.
func (u *useContext) Err() error { return noNil(contain(u.Context.Err)) }

func (u *useContext) Value(key any) any {
	switch key {
	case handedKey{}:
		return &u.token
	case cancelKey:
		return u.cancel
	}
	return u.Context.Value(key)
}

// cancelKey is the key under which package context finds the nearest context that it can
// cancel itself.
var cancelKey = func() any {
	var p probe
	context.Cause(&p)
	return p.asked
}()

// A probe notes for which key it is asked.
type probe struct {
	context.Context
	asked any
}

func (p *probe) Value(key any) any { p.asked = key; return nil }
func (p *probe) Err() error        { return context.Canceled }
