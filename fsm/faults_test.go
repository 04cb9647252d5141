package fsm_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/seed3893aba4/surestart/fsm"
)

// counting is a context that package context does not know, and counts the calls of
// its methods.
type counting struct {
	context.Context
	calls atomic.Int64
}

func (c *counting) Done() <-chan struct{} { c.calls.Add(1); return c.Context.Done() }
func (c *counting) Err() error            { c.calls.Add(1); return c.Context.Err() }
func (c *counting) Value(key any) any     { c.calls.Add(1); return c.Context.Value(key) }

// A forced release asks the context that a Use was given nothing: it might panic, or
// hang. TestG9ForcedReleaseAsksNoForeignContext has contexts that do; where one panics in
// a goroutine of package context's, that ends the process, and no test can say why.
func TestG9CutAsksNoContextOfAUse(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := fsm.New(nothing)
		wantNil(t, "Start", l.Start(background()))
		parent, cancel := context.WithCancel(background())
		defer cancel()
		c := &counting{Context: parent}
		use := begin(t, func() error {
			return l.Use(c, func(ctx context.Context, _ int) error { <-ctx.Done(); return context.Cause(ctx) })
		})
		use.mustPend("Use")
		before := c.calls.Load()
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		lease.Fail(errBoom)
		lease.Release()
		wantIs(t, "Use that was cut off", use.result(), errBoom)
		if n := c.calls.Load() - before; n != 0 {
			t.Errorf("G9 DrainFirst is broken: a forced release called methods of the context of a use %d times; want none", n)
		}
		wantNil(t, "Stop", l.Stop(background()))
	})
}
