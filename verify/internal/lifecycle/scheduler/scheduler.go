// Package scheduler steps the shipped code of fsm, one goroutine at a time, from one point to the
// next. After each step it compares the code with the executable model of package spec: what can
// happen next, and the value of every variable, read from the implementation's own fields.
//
// A World is one lifecycle with its callers and hooks. Each goroutine is a coroutine that stands at
// a point (see internal/control). A step lets one of them run to its next point, and nothing else
// runs. So a schedule is a list of steps, and running it again gives the same result.
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"unsafe"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/spec"
)

// World is a lifecycle that the scheduler controls.
type World struct {
	bound    spec.Bound
	life     *fsm.Lifecycle[int]
	options  []fsm.Option // of every life that it has
	callers  []*caller
	ops      []*thread // the operations' goroutines
	fresh    []*thread // not yet at their first point
	attempts []*attempt

	awaitingDelay *thread // the operation that asks the Backoff of the restarts; nil: none does
	again         bool    // the answer
	timer         func()  // what the latest timer of a restart runs

	threads *threads
	owns    bool     // threads ends with this world
	section *section // nil: critical sections are not split
	running *thread  // nil: the scheduler itself
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
	unkept       []unkept         // the promises found broken
	chose        []unkept         // and those by a wait

	cause account // what Status.Cause has to say

	// Scratch.
	views    []control.View   // of Snapshot: the attempts', in order
	view     control.View     // of one
	pointers []unsafe.Pointer // of hidden
}

// attempt is what the hooks of one attempt know.
type attempt struct {
	control.Attempt
	parts   uint8 // registered so far, in the latest try
	tries   []try // begun
	account       // what was promised of it
}

// try is what one call of open received.
type try struct {
	ctx   context.Context
	scope *fsm.Scope
	err   error // why it was given up and tried again; nil: it was not
}

func (a *attempt) latest() *try { return &a.tries[len(a.tries)-1] }

func (a *attempt) view() (v control.View) {
	a.View(&v)
	return v
}

type pointKind uint8

const (
	atIdle    pointKind = iota // a caller between calls
	atPoint                    // before action
	atWait                     // before a select: done, or action for the context
	atLeft                     // after it, before the section of action
	atDone                     // a caller that has its result
	atOpen                     // open, about to do something
	atRelease                  // a release, about to return
	atAsk                      // the Backoff of the restarts, about to answer
	atWrite                    // in a section, between two writes: see split.go
)

type point struct {
	kind        pointKind
	action      spec.Action
	attempt     control.Attempt
	done, ended <-chan struct{}
}

var discard = slog.New(slog.DiscardHandler)

// New returns a world in the model's Init. Close it.
func New(b spec.Bound) *World {
	w := newWorld(new(threads))
	w.owns = true
	w.begin(b)
	return w
}

// newWorld returns a world that has not begun. It takes its goroutines from threads, and gives them
// back on Close. Then it may begin again.
func newWorld(threads *threads) *World {
	w := &World{threads: threads}
	w.options = []fsm.Option{
		control.WithHook(w).(fsm.Option),
		fsm.WithLogger(discard), // that hooks fail is the schedule's doing
		fsm.WithStartTimeout(forEver),
		fsm.WithBaseContext(base),
		fsm.WithObserver(func(t fsm.Transition) { w.seen = append(w.seen, t) }),
	}
	return w
}

// begin brings the world to the model's Init: a new lifecycle, and callers that have not called. It
// reuses earlier allocations.
func (w *World) begin(b spec.Bound) {
	if err := b.Check(); err != nil {
		panic(err)
	}
	clear(w.attempts)
	*w = World{
		bound: b, options: w.options, threads: w.threads, owns: w.owns, section: w.section,
		callers: w.callers, ops: w.ops[:0], fresh: w.fresh[:0], attempts: w.attempts[:0],
		seen: w.seen[:0], released: w.released[:0], complaints: w.complaints[:0], unkept: w.unkept[:0],
		views: w.views, pointers: w.pointers,
	}
	options := w.options
	if b.Retries {
		options = append(slices.Clip(options), fsm.WithRetry(schedule{w}))
	}
	if b.Restarts > 0 {
		options = append(slices.Clip(options), fsm.WithRestart(restarts{w}))
	}
	w.life = fsm.New(w.open, options...)
	for len(w.callers) < b.Callers {
		c := &caller{w: w, index: len(w.callers)}
		c.loop = c.run
		w.callers = append(w.callers, c)
	}
	w.callers = w.callers[:b.Callers]
	for i, c := range w.callers {
		*c = caller{w: w, index: i, loop: c.loop, ctx: c.ctx}
		c.thread = w.threads.run(w, c.loop)
		w.resume(c.thread)
	}
}

// Close ends every goroutine of the world, wherever it stands. No point holds it any more, every
// caller's context has ended, and the hooks return at once.
func (w *World) Close() {
	w.closing = true
	if w.broken {
		// Its remaining goroutines may wait for a lock that is never unlocked.
		w.threads.stops = nil
		return
	}
	defer func() {
		if w.panicked = recover(); w.panicked != nil {
			w.threads.stops = nil
		}
	}()
	for _, c := range w.callers {
		if c.calling && !c.ctx.ended {
			c.ctx.end()
		}
	}
	left := true
	for goesOn := true; goesOn; {
		goesOn, left = false, false
		w.ends()
		for _, c := range w.callers {
			switch {
			case c.thread.over:
			case c.thread.at.ready():
				w.resume(c.thread)
				goesOn = true
			default:
				left = true
			}
		}
		for _, t := range slices.Clone(w.ops) {
			if t.at.ready() {
				w.resume(t)
				w.sweep() // before its thread serves again
				goesOn = true
			} else {
				left = true
			}
		}
	}
	if left { // they wait for ever, which the walk has said
		w.threads.stops = nil
	}
	if w.bound.Restarts > 0 {
		w.life.Stop(over) // for the timer's sake
	}
	if w.owns {
		w.threads.close()
	}
}

// ready reports whether the goroutine that stands there can go on when the world is closed.
func (p *point) ready() bool {
	return p.kind != atWait || p.done == nil || p.action == spec.TryAgain || closed(p.done) || closed(p.ended)
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
	if !w.granted || w.step != (spec.Step{Action: action, Arg: w.step.Arg &^ marked}) {
		p := point{kind: atPoint, action: action, attempt: at}
		switch action {
		case spec.StartLeave, spec.StopLeave, spec.TryAgain:
			if p.kind, p.done = atLeft, w.running.at.done; closed(p.done) {
				w.chose = append(w.chose, unkept{waitKeeps[action], fmt.Sprintf("what was waited for had come, and the wait chose %v", action)})
			}
			w.granted = false
		}
		w.running.pause(p)
		if w.step.Action != action && p.kind == atLeft {
			return // what it left for has come: the point that follows takes the grant
		}
	}
	w.granted = false
}

// waitKeeps is the guarantee that rests on a wait's preference for the event that it waits for.
var waitKeeps = map[spec.Action]string{
	spec.StartLeave: "NoForeignCancellation", spec.StopLeave: "DrainFirst", spec.TryAgain: "StopWins",
}

// Wait implements control.Hook. It returns when the following step is chosen. The code's own
// select, or receive, then decides.
func (w *World) Wait(action spec.Action, at control.Attempt, done, ended <-chan struct{}) {
	p := point{kind: atWait, action: action, attempt: at, done: done, ended: ended}
	switch {
	case w.running != nil:
	case w.closing: // see Close
		return
	default:
		panic(unkept{"NoSelfDeadlock", fmt.Sprintf("a call from within a hook or use comes to wait before %v", action)})
	}
	w.running.pause(p)
	for w.closing && !p.ready() {
		w.running.stand(p)
	}
	if action == spec.DrainEnd { // no point follows
		w.granted = false
	}
}

// Took implements control.Hook: it checks that the section that ran is the step's.
func (w *World) Took(action spec.Action, _ control.Attempt) {
	if action != w.step.Action && !w.closing {
		w.complaints = append(w.complaints, fmt.Sprintf("%v was chosen and the code ran %v", w.step, action))
	}
}

// Go implements control.Hook: f runs on a thread of the scheduler.
func (w *World) Go(f func()) func() {
	w.fresh = append(w.fresh, w.threads.run(w, f))
	return nil
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
