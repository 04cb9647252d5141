// Package scheduler steps the shipped code of fsm, one goroutine at a time, from
// one point to the next, and compares it with the executable model of spec after
// each step: what can happen next, and the value of every variable, read from the
// implementation's own fields.
//
// A World is one lifecycle with its callers and hooks. Each goroutine is a
// coroutine that stands at a point (see internal/control); a step lets one of
// them run to its next point. Nothing runs otherwise, so a schedule is a list of
// steps and running it again gives the same result.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// World is a lifecycle under control.
type World struct {
	bound    spec.Bound
	life     *fsm.Lifecycle[int]
	options  []fsm.Option // of every life that it has
	callers  []*caller
	ops      []*thread // the operations' goroutines
	fresh    []*thread // not yet at their first point
	attempts []*attempt

	supervisor *supervised // nil: the lifecycle has none

	threads *threads
	owns    bool    // threads ends with this world
	running *thread // nil: the scheduler itself
	step    spec.Step
	granted bool // step was chosen and its point not yet passed
	closing bool
	broken  bool // the code has panicked: nothing of it can be resumed any more

	panicked any // what the code panicked with when it was closed

	calls, fails uint8
	taken        uint32           // steps
	seen         []fsm.Transition // what the observer saw during the step
	released     []uint8          // the parts released during the step
	complaints   []string         // what a hook found wrong during the step

	views []control.View // scratch of Snapshot: the attempts', in order
}

// attempt is what the hooks of one attempt know, of its latest try.
type attempt struct {
	control.Attempt
	ctx   context.Context
	scope *fsm.Scope
	parts uint8 // registered so far
	tries int   // begun
}

func (a *attempt) view() (v control.View) {
	a.View(&v)
	return v
}

type pointKind uint8

const (
	atIdle    pointKind = iota // a caller between calls
	atPoint                    // before action
	atWait                     // before a select: done, or action for the context
	atDone                     // a caller that has its result
	atOpen                     // open, about to do something
	atRelease                  // a release, about to return
	atAsk                      // the Backoff of the restarts, about to answer
)

type point struct {
	kind        pointKind
	action      spec.Action
	attempt     control.Attempt
	done, ended <-chan struct{}
}

var discard = slog.New(slog.DiscardHandler)

// New returns a world at the model's Init. Close it.
func New(b spec.Bound) *World {
	w := newWorld(new(threads))
	w.owns = true
	w.begin(b)
	return w
}

// newWorld returns a world that has yet to begin. It takes its goroutines from
// threads, and gives them back on Close; then it may begin again.
func newWorld(threads *threads) *World {
	w := &World{threads: threads}
	w.options = []fsm.Option{
		control.WithHook(w).(fsm.Option),
		fsm.WithLogger(discard), // that hooks fail is the schedule's doing
		fsm.WithRetry(schedule{w}),
		fsm.WithObserver(func(t fsm.Transition) { w.seen = append(w.seen, t) }),
	}
	return w
}

// begin brings the world to the model's Init: a lifecycle that is new, callers
// that have not called. What it allocated before serves again.
func (w *World) begin(b spec.Bound) {
	if err := b.Check(); err != nil {
		panic(err)
	}
	clear(w.attempts)
	*w = World{
		bound: b, options: w.options, supervisor: w.supervisor.begin(), threads: w.threads, owns: w.owns,
		callers: w.callers, ops: w.ops[:0], fresh: w.fresh[:0], attempts: w.attempts[:0],
		seen: w.seen[:0], released: w.released[:0], complaints: w.complaints[:0], views: w.views,
	}
	w.life = fsm.New(w.open, w.options...)
	for len(w.callers) < b.Callers {
		c := &caller{w: w}
		c.loop = c.run
		w.callers = append(w.callers, c)
	}
	w.callers = w.callers[:b.Callers]
	for i, c := range w.callers {
		*c = caller{w: w, loop: c.loop, ctx: c.ctx}
		if w.isSupervisor(i) {
			c.thread = nobody
			continue
		}
		c.thread = w.threads.run(w, c.loop)
		w.resume(c.thread)
	}
}

// Close ends every goroutine of the world, wherever it stands: no point holds it
// any more, no wait waits, and the hooks return at once.
func (w *World) Close() {
	w.closing = true
	if w.broken {
		// What is left of its goroutines may stand behind a lock that nobody opens.
		w.threads.stops = nil
		return
	}
	defer func() {
		if w.panicked = recover(); w.panicked != nil {
			w.threads.stops = nil
		}
	}()
	for _, c := range w.callers {
		if c.thread != nobody {
			w.resume(c.thread)
		}
	}
	for _, t := range w.ops {
		w.resume(t)
	}
	if w.supervisor != nil {
		w.life.Stop(context.Background()) // for the timer's sake
	}
	if w.owns {
		w.threads.close()
	}
}

func (w *World) resume(t *thread) {
	outer := w.running
	w.running = t
	t.resume()
	w.running = outer
}

// Point implements control.Hook.
func (w *World) Point(action spec.Action, at control.Attempt) {
	if w.running == nil || w.closing { // or the scheduler calls Fail or Timeout itself
		w.granted = false
		return
	}
	if !w.granted || w.step.Action != action {
		w.running.pause(point{kind: atPoint, action: action, attempt: at})
	}
	w.granted = false
}

// Wait implements control.Hook.
func (w *World) Wait(action spec.Action, at control.Attempt, done, ended <-chan struct{}) bool {
	if !w.closing {
		w.running.pause(point{kind: atWait, action: action, attempt: at, done: done, ended: ended})
	}
	switch {
	case w.closing:
		return action != spec.TryAgain || closed(done)
	case w.step.Action == spec.Return, w.step.Action == spec.Finish:
		return true // the point that follows takes the grant
	}
	w.granted = false
	return action == spec.DrainEnd
}

// Took implements control.Hook: the section that ran is that of the step.
func (w *World) Took(action spec.Action, _ control.Attempt) {
	if action != w.step.Action && !w.closing {
		w.complaints = append(w.complaints, fmt.Sprintf("%v was chosen and the code ran %v", w.step, action))
	}
}

// Go implements control.Hook.
func (w *World) Go(f func()) {
	if !w.closing {
		w.fresh = append(w.fresh, w.threads.run(w, f))
	}
}

// caller is a goroutine that makes calls.
type caller struct {
	w               *World
	thread          *thread
	loop            func()       // run
	ctx             *callContext // of the call, or of one before
	calling         bool
	lease           fsm.Lease[int]
	err             error // the result, at atDone
	using, shutting bool
}

func (c *caller) run() {
	w := c.w
	for {
		c.thread.pause(point{kind: atIdle})
		if w.closing {
			return
		}
		w.granted = false
		w.calls++
		c.calling = true
		if c.ctx == nil || c.ctx.ended { // a context may serve for several calls
			c.ctx = newCallContext()
		}
		switch w.step.Action {
		case spec.InvokeStart:
			w.Point(spec.StartFast, nil)
			c.err = w.life.Start(c.ctx)
		case spec.InvokeStop:
			c.err = w.life.Stop(c.ctx)
		case spec.InvokeShutdown:
			c.shutting = true
			c.err = w.life.Shutdown(c.ctx)
			c.shutting = false
		case spec.InvokeUse:
			w.Point(spec.UseLoad, nil)
			c.use()
		}
		if !w.granted || w.step.Action != spec.Return {
			c.thread.pause(point{kind: atDone})
		}
		w.granted = false
		c.calling, c.err = false, nil
	}
}

func (c *caller) use() {
	if c.lease, c.err = c.w.life.Acquire(); c.err != nil {
		return
	}
	c.using = true
	c.w.Point(spec.UseEnd, control.LeaseOf(&c.lease))
	c.using = false
	c.lease.Release()
}

var partNames = func() (names [1 << 8]string) {
	for i := range names {
		names[i] = fmt.Sprintf("p%d", i)
	}
	return names
}()

// open is the hook: what it does next is the scheduler's choice.
func (w *World) open(ctx context.Context, scope *fsm.Scope) (int, error) {
	a := w.attemptOf(control.Inspect(w.life).Current)
	if a.tries > 0 && w.step.Action != spec.TryAgain && !w.closing {
		w.complaints = append(w.complaints, fmt.Sprintf("open was called again in %v", w.step))
	}
	a.ctx, a.scope, a.parts = ctx, scope, 0
	a.tries++
	self := w.running
	for {
		self.pause(point{kind: atOpen, attempt: a.Attempt})
		if w.closing {
			return 0, errBad
		}
		switch w.step.Action {
		case spec.OpenPart:
			a.parts++
			n := a.parts
			scope.Part(partNames[n])
			scope.Defer(partNames[n], func(ctx context.Context) error { return w.release(ctx, a, n) })
		case spec.OpenOk:
			return int(a.parts), nil
		case spec.OpenRetry:
			return 0, errBad
		default:
			return 0, w.misfortune()
		}
	}
}

// attemptOf returns what is known of the attempt that opens.
func (w *World) attemptOf(current control.Attempt) *attempt {
	if n := len(w.attempts); n > 0 && w.attempts[n-1].Attempt == current {
		return w.attempts[n-1]
	}
	a := &attempt{Attempt: current}
	w.attempts = append(w.attempts, a)
	return a
}

// schedule is the Backoff: whether open is tried again is the scheduler's choice.
type schedule struct{ w *World }

func (s schedule) Next(int, error) (wait time.Duration, again bool) {
	return 0, s.w.step.Action == spec.OpenRetry && !s.w.closing
}

// release is the hook of part n.
func (w *World) release(ctx context.Context, a *attempt, n uint8) error {
	if w.closing {
		return nil
	}
	w.running.pause(point{kind: atRelease, attempt: a.Attempt})
	w.released = append(w.released, n)
	if err := ctx.Err(); err != nil {
		w.complaints = append(w.complaints, fmt.Sprintf("the release of part %d was given a context that has ended: %v", n, err))
	}
	if forced := a.view().Forced; fsm.Forced(ctx) != forced {
		w.complaints = append(w.complaints, fmt.Sprintf("the release of part %d was told forced=%v, want %v", n, !forced, forced))
	}
	if w.step.Action == spec.ReleaseOk || w.closing {
		return nil
	}
	return w.misfortune()
}

var errBad = errors.New("bad luck")

// misfortune is an error or, once in 64, a panic (which is dear).
func (w *World) misfortune() error {
	if w.taken*2654435761>>26 == 0 {
		panic(errBad)
	}
	return errBad
}

// Enabled appends the steps that the code can take, found without the model.
func (w *World) Enabled(buf []spec.Step) []spec.Step {
	for i, c := range w.callers {
		arg, at := uint8(i), &c.thread.at
		if w.isSupervisor(i) {
			if at.kind == atWait && closed(at.done) {
				buf = append(buf, spec.Step{Action: spec.Return, Arg: arg})
			}
			continue
		}
		add := func(actions ...spec.Action) {
			for _, a := range actions {
				buf = append(buf, spec.Step{Action: a, Arg: arg})
			}
		}
		switch at.kind {
		case atIdle:
			if int(w.calls) < w.bound.Calls {
				add(spec.InvokeStart, spec.InvokeStop, spec.InvokeShutdown, spec.InvokeUse)
			}
			continue
		case atPoint:
			add(at.action)
		case atDone:
			add(spec.Return)
			continue
		case atWait:
			if closed(at.done) {
				add(spec.Return)
				continue
			}
			if closed(at.ended) {
				add(at.action)
			}
		}
		if !c.ctx.ended && !c.inUse() {
			add(spec.ContextEnds)
		}
	}
	for _, t := range w.ops {
		arg := uint8(t.at.attempt.Number())
		add := func(a spec.Action) { buf = append(buf, spec.Step{Action: a, Arg: arg}) }
		switch t.at.kind {
		case atPoint:
			add(t.at.action)
		case atWait:
			ended := t.at.done == nil || closed(t.at.done)
			switch {
			case t.at.action == spec.TryAgain && ended:
				add(spec.Finish)
			case t.at.action == spec.TryAgain, ended:
				add(t.at.action)
			}
		case atOpen:
			if parts := w.attempts[arg-1].parts; int(parts) < w.bound.Parts {
				add(spec.OpenPart)
			} else {
				add(spec.OpenOk)
			}
			add(spec.OpenErr)
			add(spec.OpenRetry)
		case atRelease:
			add(spec.ReleaseOk)
			add(spec.ReleaseErr)
		}
	}
	m := control.Inspect(w.life)
	if m.State == spec.Starting {
		buf = append(buf, spec.Step{Action: spec.Timeout, Arg: uint8(m.Begun)})
	}
	if int(w.fails) < w.bound.Fails {
		for g := range w.attempts {
			buf = append(buf, spec.Step{Action: spec.Fail, Arg: uint8(g + 1)})
		}
	}
	return buf
}

// inUse: a use's context plays no part in the protocol.
func (c *caller) inUse() bool {
	switch c.thread.at.action {
	case spec.UseLoad, spec.UseAdd, spec.UseSlow, spec.UseEnd, spec.UseDrop:
		return true
	}
	return false
}

// Do takes a step that is enabled.
func (w *World) Do(st spec.Step) {
	w.begins(st)
	switch {
	case st.Action == spec.ContextEnds:
		w.callers[st.Arg].ctx.end()
		w.granted = false
	case st.Action == spec.Fail:
		w.fails++
		w.reportFailure(st.Arg)
	case st.Action == spec.Timeout:
		control.Timeout(w.life)
	case st.Action.OfCaller():
		c := w.callers[st.Arg]
		w.resume(c.thread)
		if c.thread.over {
			c.thread = nobody
		}
	default:
		for _, t := range w.ops {
			if t.at.attempt.Number() == uint64(st.Arg) {
				w.resume(t)
				break
			}
		}
		w.sweep()
	}
	w.ends()
}

// begins makes st the step that is taken.
func (w *World) begins(st spec.Step) {
	w.seen, w.released, w.complaints = w.seen[:0], w.released[:0], w.complaints[:0]
	w.step, w.granted = st, true
	w.taken++
}

// ends brings who is new to his first point.
func (w *World) ends() {
	if w.granted {
		w.complaints = append(w.complaints, fmt.Sprintf("%v was chosen and the code did not come by its point", w.step))
		w.granted = false
	}
	for i := 0; i < len(w.fresh); i++ { // which may bring more
		t := w.fresh[i]
		w.resume(t)
		if !t.over {
			w.ops = append(w.ops, t)
		}
	}
	w.fresh = w.fresh[:0]
}

// sweep forgets the operations that are over.
func (w *World) sweep() {
	w.ops = slices.DeleteFunc(w.ops, func(t *thread) bool { return t.over })
}

// reportFailure uses a lease of the attempt if a caller has one, else its scope.
func (w *World) reportFailure(g uint8) {
	for _, c := range w.callers {
		if a := control.LeaseOf(&c.lease); c.using && a != nil && a.Number() == uint64(g) {
			c.lease.Fail(errBad)
			return
		}
	}
	w.attempts[g-1].scope.Fail(errBad)
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
