package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// call begins a call, in a goroutine of its own.
func (r *run) call(caller int, kind abstract.Call, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cause := fmt.Errorf("context x%d has ended", len(r.contexts)+1)
	r.contexts = append(r.contexts, cause)
	c := &inCall{kind: kind, number: len(r.contexts), ended: ended}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	if ended {
		r.log(history.Event{Kind: history.ContextMayEnd, Context: uint8(c.number)})
		c.cancel(cause)
	}
	r.calls[caller] = c
	switch kind {
	case abstract.InStop, abstract.InShut:
		c.open = len(r.held) == r.parts && len(r.hooks) == 0
		r.up, r.stopped, r.shut = false, true, r.shut || kind == abstract.InShut
	case abstract.InStart:
		r.failed = r.failed || ended
	}
	r.log(history.Event{Kind: history.Call, Caller: uint8(caller), Call: kind, Context: uint8(c.number), Ended: ended})
	go r.perform(caller, c)
}

// perform makes the call and logs its end, also if that is a panic or runtime.Goexit.
func (r *run) perform(caller int, c *inCall) {
	var (
		err      error
		returned bool
		ran      bool
	)
	defer func() {
		v := recover()
		r.mu.Lock()
		defer r.mu.Unlock()
		e := history.Event{Kind: history.Return, Caller: uint8(caller)}
		switch {
		case returned:
			r.result(&e, c, err, ran)
			if err != nil {
				e.Said = err.Error()
			}
		case v != nil:
			e.Out.Out, e.Panicked, e.Said = history.Foreign, true, fmt.Sprintf("panic: %v", v)
		default:
			e.Out.Out, e.Panicked, e.Said = history.Foreign, true, "its goroutine exited"
		}
		if c.kind == abstract.InStart && e.Out.Out == abstract.Ok && !r.stopped {
			r.up = true
		}
		r.unsure = r.unsure || e.Unbegun
		r.calls[caller] = nil
		r.log(e)
	}()
	switch c.kind {
	case abstract.InStart:
		err = r.lc.Start(c.ctx)
	case abstract.InStop:
		err = r.lc.Stop(c.ctx)
	case abstract.InShut:
		err = r.lc.(Shutdowner).Shutdown(c.ctx)
	case abstract.InUse:
		err = r.lc.(User).Use(c.ctx, func(ctx context.Context) error {
			ran = true
			r.use(caller, c, ctx)
			return nil
		})
	}
	returned = true
}

// use is the body of an admitted use.
func (r *run) use(caller int, c *inCall, ctx context.Context) {
	r.mu.Lock()
	attempt := r.attempt
	c.use = make(chan struct{})
	end := c.use
	r.log(history.Event{Kind: history.Admitted, Caller: uint8(caller), Attempt: attempt})
	r.mu.Unlock()
	<-end
	r.mu.Lock()
	defer r.mu.Unlock()
	c.use = nil
	e := history.Event{Kind: history.NotCut, Caller: uint8(caller), Attempt: attempt}
	if ctx != nil && ctx.Err() != nil {
		e.Kind = history.WasCut
	}
	r.log(e)
	r.log(history.Event{Kind: history.UseMayEnd, Caller: uint8(caller)})
}

// result sets which results of the contract err may be.
func (r *run) result(e *history.Event, c *inCall, err error, ran bool) {
	if c.kind == abstract.InUse {
		switch {
		case ran:
			e.Out.Out = abstract.Ok
		case err == nil:
			e.Out.Out = history.Foreign
		default:
			e.Out.Out, e.May = history.Foreign, history.OutsOf(abstract.Closed, abstract.NotStarted)
		}
		return
	}
	if err == nil {
		e.Out.Out = abstract.Ok
		if c.kind != abstract.InStart && !(c.open && r.caps.has(KeepsCause)) {
			e.May = history.OutsOf(abstract.Ok, abstract.RelErr) // another caller may have the release's error
		}
		return
	}
	own := c.ended && (errors.Is(err, r.contexts[c.number-1]) || errors.Is(err, context.Canceled))
	e.Out.Out, e.Refusable = history.Foreign, r.caps.has(ErrorsOnRepeat)
	if c.kind == abstract.InStart {
		r.startResult(e, c, err, own)
		return
	}
	switch {
	case errors.As(err, new(*releaseError)):
		e.May = history.OutsOf(abstract.RelErr)
		if own {
			e.May |= history.OutsOf(abstract.Ctx, abstract.CutOff)
		}
	case own:
		e.May, e.Unbegun = history.OutsOf(abstract.Ctx, abstract.CutOff), !r.caps.has(DrainsUses)
	default:
		e.May = history.OutsOf(abstract.RelErr, abstract.Ctx, abstract.CutOff)
	}
}

func (r *run) startResult(e *history.Event, c *inCall, err error, own bool) {
	var opens *openError
	foreign := false
	for i, cause := range r.contexts {
		foreign = foreign || i != c.number-1 && errors.Is(err, cause)
	}
	switch {
	case foreign: // no May: no call may return the cause of another caller's context (G6)
	case errors.As(err, &opens) && own:
		e.Attempt, e.May = opens.attempt, history.OutsOf(abstract.Failed, abstract.Ctx, abstract.Stopped, abstract.Closed)
	case opens != nil: // open may have failed because of a Stop
		e.Attempt, e.Out.Out, e.May = opens.attempt, abstract.Failed, history.OutsOf(abstract.Failed, abstract.Stopped, abstract.Closed)
	case own: // or a Stop or Shutdown came first
		e.Out.Out, e.May = abstract.Ctx, history.OutsOf(abstract.Ctx, abstract.Stopped, abstract.Closed)
	case errors.Is(err, errDeath):
		e.May = history.OutsOf(abstract.Failed, abstract.Stopped, abstract.Closed)
	case errors.Is(err, context.Canceled):
		e.May = history.OutsOf(abstract.Stopped, abstract.Closed)
	default:
		e.May = history.OutsOf(abstract.Stopped, abstract.Closed)
		e.Lost = r.caps.has(KeepsCause) && !c.odd
		if !e.Lost {
			e.May |= history.OutsOf(abstract.Failed)
		}
	}
}
