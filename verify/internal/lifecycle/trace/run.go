package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/control"
	"github.com/seed3893aba4/surestart/internal/goroutine"
	"github.com/seed3893aba4/surestart/spec"
)

// Run draws the program of a seed, runs it on a fresh lifecycle, and returns the trace. It returns
// a *Stuck if the run does not end: then some goroutine waits for ever.
func Run(seed uint64) (*Trace, error) { return draw(seed).run() }

// stuckAfter bounds a run of some microseconds, on a machine that may be busy.
const stuckAfter = 20 * time.Second

// world is a run of a program.
type world struct {
	*program
	recorder
	life   *fsm.Lifecycle[int]
	others sync.WaitGroup // the threads but the first
	opened atomic.Int32
	scopes []atomic.Pointer[fsm.Scope]
	ctx    [][]context.Context // of each caller's calls
	end    [][]context.CancelCauseFunc
}

var discard = slog.New(slog.DiscardHandler)

func (p *program) run() (*Trace, error) {
	var running sync.WaitGroup
	w := &world{program: p, scopes: make([]atomic.Pointer[fsm.Scope], len(p.opens))}
	w.recorder = recorder{threads: make(map[uint64]*thread), running: &running, restless: p.restless,
		panicked: make(chan *Panicked, 1)}
	opts := []fsm.Option{control.WithHook(&w.recorder).(fsm.Option), fsm.WithLogger(discard),
		fsm.WithStartTimeout(time.Duration(p.timeout) * time.Microsecond), fsm.WithRetry(w)}
	if p.bound.Restarts > 0 {
		opts = append(opts, fsm.WithRestart(restarts{p}))
	}
	w.life = fsm.New(w.open, opts...)
	w.recorder.life = w.life
	w.contexts()
	threads := w.begin()

	ended := make(chan struct{})
	go func() {
		running.Wait()
		close(ended)
	}()
	stuck := time.NewTimer(stuckAfter)
	defer stuck.Stop()
	select {
	case <-ended:
	case p := <-w.panicked:
		return nil, p
	case <-stuck.C:
		stacks := make([]byte, 1<<16)
		return nil, &Stuck{p.seed, string(stacks[:runtime.Stack(stacks, true)])}
	}
	t := &Trace{Bound: p.bound, Patience: p.patience, Seed: p.seed, Procs: runtime.GOMAXPROCS(0), Sections: w.sections}
	for _, one := range threads {
		t.Threads = append(t.Threads, one.events)
	}
	t.mark()
	return t, nil
}

// begin starts the threads, all at once.
func (w *world) begin() []*thread {
	threads := make([]*thread, len(w.acts))
	var ready sync.WaitGroup
	var registering sync.Mutex
	all := make(chan struct{})
	for i := range threads {
		t := &thread{index: i}
		threads[i] = t
		ended := func() {}
		if i > 0 {
			w.others.Add(1)
			ended = w.others.Done
		}
		ready.Add(1)
		w.running.Add(1)
		go func() {
			defer w.running.Done()
			defer ended()
			defer w.contain()
			registering.Lock()
			w.threads[goroutine.Number()] = t
			registering.Unlock()
			ready.Done()
			<-all
			for _, a := range w.acts[i] {
				w.do(t, a)
			}
		}()
	}
	ready.Wait()
	close(all)
	return threads
}

// mark finds the steps that depend on the end of a context.
func (t *Trace) mark() {
	for _, events := range t.Threads {
		for i := range events {
			e := &events[i]
			e.Left = e.Kind == Locked && (e.Action == spec.StartLeave || e.Action == spec.StopLeave ||
				e.Action == spec.StartEnter && i+1 < len(events) && events[i+1].Out == spec.OutCtx)
		}
	}
}

// contexts makes the contexts of all calls, so that one can end before its call begins.
func (w *world) contexts() {
	w.ctx = make([][]context.Context, w.bound.Callers)
	w.end = make([][]context.CancelCauseFunc, w.bound.Callers)
	for c := range w.bound.Callers {
		for _, a := range w.acts[c] {
			if a.kind <= doUse {
				w.ctx[c] = append(w.ctx[c], context.Background())
				w.end[c] = append(w.end[c], nil)
			}
		}
	}
	for _, acts := range w.acts {
		for _, a := range acts {
			if a.kind == doCancel {
				w.ctx[a.who][a.call], w.end[a.who][a.call] = context.WithCancelCause(context.Background())
			}
		}
	}
}

func yield(n uint8) {
	for range n {
		runtime.Gosched()
	}
}

// pause takes some time; with restarts, enough for other goroutines to proceed.
func (w *world) pause(n uint8) {
	if w.bound.Restarts > 0 {
		time.Sleep(time.Duration(n) * 20 * time.Microsecond)
	} else {
		yield(n)
	}
}

func (w *world) do(t *thread, a act) {
	switch a.kind {
	case doCancel:
		t.events = append(t.events, Event{Kind: Cancels, Saw: a.who, Call: a.call})
		w.end[a.who][a.call](errLeft)
	case doFail:
		if scope := w.scope(a.call); scope != nil {
			scope.Fail(errBad)
		}
	case doLook:
		t.events = append(t.events, Event{Kind: Looked, Saw: uint8(w.life.State())})
	case doPause:
		w.pause(a.call)
	case doOpened:
		for range 10 {
			if w.opened.Load() < int32(a.call) {
				w.pause(1)
			}
		}
	case doAwait:
		w.others.Wait()
	default:
		w.call(t, a)
	}
}

// scope returns the scope of the open whose failure is reported, or nil if that has not run yet.
// Any open may be chosen; with restarts, rather the latest.
func (w *world) scope(which uint8) *fsm.Scope {
	n := int(which) % len(w.scopes)
	if w.bound.Restarts > 0 {
		n = int(w.opened.Load()) - 1 - int(which)/4
	}
	if n < 0 || n >= len(w.scopes) {
		return nil
	}
	return w.scopes[n].Load()
}

var errBad = errors.New("bad luck")

func (w *world) call(t *thread, a act) {
	t.passed, t.tried = nothingPassed, false
	ctx := w.ctx[t.index][0]
	w.ctx[t.index] = w.ctx[t.index][1:]
	var err error
	switch a.kind {
	case doStart:
		t.did(spec.InvokeStart, 0)
		w.giveWay()
		if err = w.life.Start(ctx); t.passed == nothingPassed {
			t.did(spec.StartFast, 1)
		}
	case doStop:
		t.did(spec.InvokeStop, 0)
		err = w.life.Stop(ctx)
	case doShutdown:
		t.did(spec.InvokeShutdown, 0)
		err = w.life.Shutdown(ctx)
	case doAcquire:
		t.did(spec.InvokeUse, 0)
		w.giveWay()
		var lease fsm.Lease[int]
		if lease, err = w.life.Acquire(); err == nil {
			t.admitted()
			yield(a.call)
			if a.fails {
				lease.Fail(errBad)
			}
			lease.Release()
			t.usedUp()
		}
	case doUse:
		t.did(spec.InvokeUse, 0)
		used := false
		err = w.life.Use(ctx, func(context.Context, int) error {
			t.admitted()
			used = true
			yield(a.call)
			return nil
		})
		if used {
			t.usedUp()
		}
	}
	out, n := outOf(err)
	t.events = append(t.events, Event{Action: spec.Return, Out: out, N: n})
}

// admitted records the admission as soon as Acquire has returned a lease.
func (t *thread) admitted() {
	if t.passed == spec.UseAdd {
		t.did(spec.UseAdd, 1)
	}
	t.passed = nothingPassed
}

func (t *thread) usedUp() {
	if t.passed != spec.UseDrop {
		t.did(spec.UseEnd, 1)
	}
}

// Next implements fsm.Backoff.
func (w *world) Next(try int, _ error) (wait time.Duration, again bool) {
	n := int(w.opened.Load()) - 1
	return time.Duration(try*20) * time.Microsecond, n < len(w.opens) && w.opens[n].again
}

// restarts is the Backoff of WithRestart.
type restarts struct{ *program }

// Next implements fsm.Backoff.
func (p restarts) Next(try int, _ error) (wait time.Duration, again bool) {
	if try <= int(p.patience) {
		return time.Duration(try*p.wait) * time.Microsecond, true
	}
	_ = misfortune(p.givesUp)
	return 0, false
}

// open is the hook of every attempt.
func (w *world) open(ctx context.Context, scope *fsm.Scope) (int, error) {
	n := int(w.opened.Add(1)) - 1
	if n >= len(w.opens) {
		return 0, errBad // more tries than were drawn, or more attempts than calls: the trace will show it
	}
	plan := &w.opens[n]
	w.scopes[n].Store(scope)
	for i := range plan.parts {
		yield(plan.pause & 1)
		scope.Defer("part", func(context.Context) error { return misfortune(plan.releases[i]) })
	}
	w.pause(plan.pause)
	if plan.reports {
		scope.Fail(errBad)
	}
	if plan.dies {
		go w.recorder.Go(func() {
			w.pause(plan.pause)
			scope.Fail(errBad)
		})()
	}
	if plan.waits {
		<-ctx.Done()
	}
	switch plan.outcome {
	case panics:
		panic(errBad)
	case exits:
		runtime.Goexit()
	case errs:
		return 0, errBad
	}
	return n, nil
}

func misfortune(how uint8) error {
	switch how {
	case 1:
		return errBad
	case 2:
		panic(errBad)
	case 3:
		runtime.Goexit()
	}
	return nil
}

// Stuck is the error of a run that did not end.
type Stuck struct {
	Seed   uint64
	Stacks string
}

// Error names the guarantee.
func (s *Stuck) Error() string {
	return "G12 Progress is broken: a run whose hooks have all returned does not end\n" + s.Stacks
}

// Panicked is the error of a run in which the code panicked. Panics of hooks are contained.
type Panicked struct {
	Value any
	Stack string
}

// Error names the guarantee.
func (p *Panicked) Error() string {
	return fmt.Sprintf("G12 Progress is broken: the code panics, and no call returns any more: %v\n%s", p.Value, p.Stack)
}

// Clone returns a copy that can be altered.
func (t *Trace) Clone() *Trace {
	c := *t
	c.Sections = slices.Clone(t.Sections)
	for i := range c.Sections {
		c.Sections[i].Views = slices.Clone(c.Sections[i].Views)
	}
	c.Threads = slices.Clone(t.Threads)
	for i := range c.Threads {
		c.Threads[i] = slices.Clone(c.Threads[i])
	}
	return &c
}
