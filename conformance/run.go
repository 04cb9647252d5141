package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// run is one schedule, on one lifecycle. The controller takes a step when all is quiet.
// Calls and hooks run in goroutines of their own, and log their events.
type run struct {
	caps  Capability
	parts int
	lc    Lifecycle
	log   func(history.Event) // under mu
	// invalid reports why the subject is invalid, and exits.
	invalid func(why string)

	mu       sync.Mutex
	calls    [callers]*inCall
	hooks    []*hook // the running ones
	inside   *inside
	contexts []error // the cause of each, from 1
	attempt  int
	opening  bool // from the first part to the last, or to a failure
	held     []int
	deaths   map[int]func(error)

	up, failed, stopped, shut bool // a Start has returned nil; an attempt has failed; a Stop, a Shutdown was called
	odd                       bool // the latest open ended by a panic or exit
	unsure                    bool // a Stop's own context has ended: the resource may still be open
}

type inCall struct {
	kind   abstract.Call
	ctx    context.Context
	number int // of ctx
	cancel context.CancelCauseFunc
	ended  bool
	odd    bool          // an open ended by a panic or exit during the call
	open   bool          // a Stop: every part was held, and no hook ran
	use    chan struct{} // the use ends when it is closed
}

type hook struct {
	opens  bool
	ctx    context.Context
	resume chan act
}

type inside struct {
	done chan struct{}
	err  error
}

// openError is the error of an open, releaseError that of a release.
type openError struct {
	attempt int
	cause   error
}

func (e *openError) Error() string { return fmt.Sprintf("open of attempt %d failed", e.attempt) }
func (e *openError) Unwrap() error { return e.cause }

type releaseError struct{}

func (*releaseError) Error() string { return "release failed" }

func (r *run) open(ctx context.Context, part int) error {
	r.checkPart("OpenPart", part)
	r.mu.Lock()
	if part == 0 || !r.opening {
		r.attempt++
		r.opening, r.failed, r.stopped, r.odd = true, false, r.stopped && !r.caps.has(Restarts), false
		r.log(history.Event{Kind: history.OpenBegun, Attempt: r.attempt})
		r.held = nil // parts that are still held have been reported
	}
	attempt := r.attempt
	h := r.enter(ctx, true)
	r.mu.Unlock()
	end := <-h.resume
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(h)
	if end == openReturns {
		r.held = append(r.held, part)
		if part+1 >= r.parts {
			r.opened(false)
		} else {
			r.log(history.Event{Kind: history.PartHeld, Attempt: attempt, Part: part + 1})
		}
		return nil
	}
	r.failed, r.odd = true, end != openFails
	for _, c := range r.calls {
		if c != nil && r.odd {
			c.odd = true
		}
	}
	r.opened(true)
	err := &openError{attempt: attempt}
	if ctx != nil {
		err.cause = context.Cause(ctx)
	}
	switch end {
	case openPanics:
		panic(err)
	case openExits:
		runtime.Goexit()
	}
	return err
}

// opened logs the end of the attempt's open.
func (r *run) opened(bad bool) {
	r.opening = false
	r.log(history.Event{Kind: history.OpenReturns, Attempt: r.attempt, Part: len(r.held), Bad: bad, Panicked: r.odd})
}

// checkPart refuses the number of a part that does not exist.
func (r *run) checkPart(hook string, part int) {
	if part < 0 || part >= r.parts {
		r.invalid(fmt.Sprintf("Hooks.%s is called with part %d; want 0 to %d, as Subject.Parts is %d", hook, part, r.parts-1, r.parts))
	}
}

func (r *run) release(ctx context.Context, part int) error {
	r.checkPart("ReleasePart", part)
	r.mu.Lock()
	running := 0
	for _, h := range r.hooks {
		if h.opens {
			running++
		}
	}
	if r.opening && running == 0 { // the attempt was cancelled between two parts
		r.failed = true
		r.opened(true)
	}
	ended := ctx != nil && ctx.Err() != nil && r.caps.has(HonoursContext)
	r.log(history.Event{Kind: history.ReleaseBegun, Attempt: r.attempt, Part: part + 1, Ended: ended})
	h := r.enter(ctx, false)
	r.mu.Unlock()
	end := <-h.resume
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(h)
	if n := len(r.held); n > 0 {
		r.held = r.held[:n-1]
	}
	r.log(history.Event{Kind: history.ReleaseReturns, Attempt: r.attempt, Part: part + 1, Bad: end == releaseFails})
	if end == releaseFails {
		return &releaseError{}
	}
	return nil
}

func (r *run) enter(ctx context.Context, opens bool) *hook {
	h := &hook{opens, ctx, make(chan act)}
	r.hooks = append(r.hooks, h)
	return h
}

func (r *run) leave(h *hook) {
	r.hooks = slices.DeleteFunc(r.hooks, func(other *hook) bool { return h == other })
}

func (r *run) onDeath(report func(error)) {
	if report == nil {
		r.invalid("Hooks.OnDeath is called with nil; want the function that reports to the attempt that its resource has died")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	attempt := r.attempt
	if !r.opening {
		attempt++
	}
	r.deaths[attempt] = report
}

// do takes an enabled step.
func (r *run) do(m move) {
	r.mu.Lock()
	c, hooks := r.calls[m.Caller], slices.Clone(r.hooks)
	r.mu.Unlock()
	switch m.Do {
	case callStart, callStartEnded:
		r.call(m.Caller, abstract.InStart, m.Do == callStartEnded)
	case callStop, callStopEnded:
		r.call(m.Caller, abstract.InStop, m.Do == callStopEnded)
	case callShutdown:
		r.call(m.Caller, abstract.InShut, false)
	case callUse:
		r.call(m.Caller, abstract.InUse, false)
	case endContext:
		r.end(c)
	case endUse:
		close(c.use)
	case dies:
		r.report(r.attempt)
	case diedOld:
		r.report(r.attempt - 1)
	case insideStart, insideStop:
		r.callInside(m.Do, hooks[0].ctx)
	default:
		for _, h := range hooks {
			if h.opens == (m.Do <= openExits) {
				h.resume <- m.Do
				return
			}
		}
	}
}

func (r *run) end(c *inCall) {
	r.mu.Lock()
	c.ended = true
	if c.kind == abstract.InStart {
		r.failed = true
	}
	r.log(history.Event{Kind: history.ContextMayEnd, Context: uint8(c.number)})
	r.mu.Unlock()
	c.cancel(r.contexts[c.number-1])
}

var errDeath = errors.New("the resource died")

func (r *run) report(attempt int) {
	r.mu.Lock()
	r.log(history.Event{Kind: history.FailCalled, Attempt: attempt})
	if attempt == r.attempt {
		r.failed, r.up = true, false
	}
	report := r.deaths[attempt]
	r.mu.Unlock()
	go func() {
		report(errDeath)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.log(history.Event{Kind: history.FailReturned, Attempt: attempt})
	}()
}

func (r *run) callInside(do act, ctx context.Context) {
	in := &inside{done: make(chan struct{})}
	r.inside = in // used by the controller only
	go func() {
		defer close(in.done)
		if do == insideStart {
			in.err = r.lc.Start(ctx)
		} else {
			in.err = r.lc.Stop(ctx)
		}
	}()
}

// rest logs that all is quiet, with what else is known. It returns false if the schedule
// cannot continue.
func (r *run) rest() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if in := r.inside; in != nil {
		r.inside = nil
		select {
		case <-in.done:
			r.log(history.Event{Kind: history.Inside, Bad: in.err == nil})
		default:
			r.log(history.Event{Kind: history.Inside, Bad: true})
			return false
		}
	}
	if r.unsure {
		r.unsure, r.up = false, r.up || len(r.held) == r.parts && len(r.hooks) == 0
	}
	q := history.Rest{
		Running:  len(r.hooks) > 0,
		Leaves:   r.caps.has(HonoursContext),
		StopsEnd: r.caps.has(HonoursStopContext),
	}
	for _, c := range r.calls {
		q.Running = q.Running || c != nil && c.use != nil
	}
	for _, h := range r.hooks {
		if h.opens && r.caps.has(CancelsOpen) {
			q.Cancels, q.Ended = true, h.ctx != nil && h.ctx.Err() != nil
		}
	}
	r.log(history.Event{Kind: history.Quiet, Rest: q})
	return true
}
