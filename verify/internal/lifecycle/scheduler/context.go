package scheduler

import (
	"context"
	"fmt"
	"time"
)

// callContext is the context of a caller. The scheduler ends it, with a cause of that caller's. It
// carries a value of that caller's.
type callContext struct {
	context.Context
	cancel context.CancelCauseFunc
	caller int
	ended  bool
}

func newCallContext(caller int) *callContext {
	c := &callContext{caller: caller}
	c.Context, c.cancel = context.WithCancelCause(context.WithValue(context.Background(), callerKey{}, caller))
	return c
}

func (c *callContext) end() {
	c.ended = true
	c.cancel(left(c.caller))
}

// left is the cause of a caller's context.
type left int

func (c left) Error() string { return fmt.Sprintf("c%d left", int(c)+1) }

// Is makes the cause count as cancelled, as the error of a context does.
func (left) Is(target error) bool { return target == context.Canceled }

type (
	callerKey struct{} // whose the context is
	baseKey   struct{} // of WithBaseContext
)

// base is the base context of the lifecycles. It derives from over, a context that has ended.
var (
	base = context.WithValue(over, baseKey{}, true)
	over = func() context.Context {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx
	}()
)

// forEver is longer than any walk takes.
const forEver = 10_000 * time.Hour
