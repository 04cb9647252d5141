package producer

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A foreign is a caller's context. Its methods may panic, block or lie. Package context calls
// them in goroutines of its own and in the middle of a call, where a panic would end the process,
// or leave messages or room without an owner. A foreign therefore reads the values that package
// context needs before the call takes effect, and its Err is never nil once Done is closed.
type foreign struct {
	context.Context
	done   <-chan struct{}
	cancel any // the value of cancelKey
}

// guarded returns ctx for use in a call that takes effect.
func guarded(ctx context.Context) context.Context {
	if ctx == nil {
		return nil // ended panics, and names the reason
	}
	done := ctx.Done()
	if done == nil { // it never ends
		return ctx
	}
	cancel := ctx.Value(cancelKey)
	if c, ok := cancel.(context.Context); !ok || c.Done() != done { // then context.Cause returns Err
		cancel = nil
	}
	return &foreign{ctx, done, cancel}
}

func (f *foreign) Done() <-chan struct{} { return f.done }

func (f *foreign) Err() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &fsm.PanicError{Value: v, Stack: debug.Stack()}
		}
		if err == nil {
			select {
			case <-f.done:
				err = errNoErr
			default:
			}
		}
	}()
	return f.Context.Err()
}

func (f *foreign) Value(key any) any {
	if key == cancelKey {
		return f.cancel
	}
	return f.Context.Value(key)
}

var errNoErr = fmt.Errorf("producer: the context's Done is closed, but its Err is nil: %w", context.Canceled)

// cancelKey is the key by which package context finds the nearest context that it can
// cancel itself.
var cancelKey = func() any {
	var p probe
	context.Cause(&p)
	return p.key
}()

// A probe records the key that its Value is called with.
type probe struct{ key any }

func (p *probe) Deadline() (time.Time, bool) { return time.Time{}, false }
func (p *probe) Done() <-chan struct{}       { return nil }
func (p *probe) Value(key any) any           { p.key = key; return nil }
func (p *probe) Err() error                  { return context.Canceled }
