package scheduler

import (
	"context"
	"time"
)

// callContext is a caller's context: it ends when the scheduler says so, and
// starts no goroutine.
type callContext struct {
	done  chan struct{}
	ended bool
}

func newCallContext() *callContext { return &callContext{done: make(chan struct{})} }

func (c *callContext) end() {
	c.ended = true
	close(c.done)
}

func (c *callContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *callContext) Done() <-chan struct{}       { return c.done }
func (c *callContext) Value(any) any               { return nil }

func (c *callContext) Err() error {
	if c.ended {
		return context.Canceled
	}
	return nil
}
