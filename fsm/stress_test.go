package fsm_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// TestStress runs real goroutines on a lifecycle whose hooks fail, panic, exit and ignore their
// contexts. It asserts the guarantees in the hooks themselves and on every result. It takes about a
// second, or SURESTART_STRESS=30s of it.
func TestStress(t *testing.T) {
	d := time.Second
	if s := os.Getenv("SURESTART_STRESS"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SURESTART_STRESS=%s: %v", s, err)
		}
	}
	procs := []int{1, 2, 8}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	lifecycles, calls := 0, int64(0)
	for _, p := range procs {
		runtime.GOMAXPROCS(p)
		for end := time.Now().Add(d / time.Duration(len(procs))); time.Now().Before(end) && !t.Failed(); lifecycles++ {
			calls += stress(t, rand.Uint64())
		}
	}
	t.Logf("CHECKED fsm-stress lifecycles=%d calls=%d", lifecycles, calls)
}

// world is what one lifecycle's hooks know.
type world struct {
	t    *testing.T
	seed uint64
	l    *fsm.Lifecycle[*incarnation]

	mu       sync.Mutex
	rnd      *rand.Rand // the hooks'
	busy     string
	held     []string
	opens    int // opens that returned a resource
	isOpen   bool
	emptied  int // times that the last part was given back
	scope    *fsm.Scope
	received []fsm.Transition

	calls    atomic.Int64
	shutdown atomic.Uint64 // 1 + the attempts begun when a Shutdown had returned
}

// An incarnation is one attempt's resource.
type incarnation struct {
	uses  atomic.Int64
	ended atomic.Bool // a release of it began
}

func (w *world) errorf(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("seed %#x: "+format, append([]any{w.seed}, args...)...)
}

func (w *world) roll(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rnd.IntN(n)
}

// misbehave errs, panics, exits, or takes its time, heedless of ctx or not.
func (w *world) misbehave(ctx context.Context, odds int) error {
	switch w.roll(odds) {
	case 0:
		return errBoom
	case 1:
		panic(errBoom)
	case 2:
		runtime.Goexit()
	case 3, 4:
		dawdle(w.roll(20))
	case 5:
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(w.roll(50)) * time.Microsecond):
		}
	}
	return nil
}

func dawdle(n int) {
	for range n {
		runtime.Gosched()
	}
}

func (w *world) enter(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy != "" {
		w.errorf("G1 SingleFlight is broken: %s while %s runs", what, w.busy)
	}
	w.busy = what
}

func (w *world) exit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = ""
}

func (w *world) open(ctx context.Context, s *fsm.Scope) (*incarnation, error) {
	w.enter("open")
	defer w.exit()
	w.mu.Lock()
	if len(w.held) > 0 {
		w.errorf("G1 SingleFlight is broken: open while %v are held", w.held)
	}
	w.scope = s
	w.mu.Unlock()
	in := &incarnation{}
	for _, part := range []string{"a", "b", "c"} {
		s.Part(part)
		if err := w.misbehave(ctx, 30); err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.held = append(w.held, part)
		w.mu.Unlock()
		s.Defer(part, func(ctx context.Context) error { return w.giveUp(ctx, in, part) })
	}
	if w.roll(30) == 0 {
		s.Fail(errBoom)
	}
	if err := w.misbehave(ctx, 30); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opens, w.isOpen = w.opens+1, true
	return in, nil
}

func (w *world) giveUp(ctx context.Context, in *incarnation, part string) error {
	w.enter("release of " + part)
	defer w.exit()
	in.ended.Store(true)
	w.mu.Lock()
	w.isOpen = false
	n := len(w.held) - 1
	if n < 0 || w.held[n] != part {
		w.errorf("G4 Rollback is broken: release of %s while %v are held", part, w.held)
	}
	w.mu.Unlock()
	if n := in.uses.Load(); n > 0 && !fsm.Forced(ctx) {
		w.errorf("G10 UseOnlyStarted is broken: unforced release of %s under %d uses", part, n)
	}
	if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
		w.errorf("G4 Rollback is broken: the release's context: bounded %v, %v", ok, ctx.Err())
	}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held = w.held[:len(w.held)-1]
		if len(w.held) == 0 {
			w.emptied++
		}
	}()
	return w.misbehave(ctx, 30)
}

func (w *world) seen() (opens, emptied int, isOpen, empty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opens, w.emptied, w.isOpen, len(w.held) == 0
}

// use is one use of in, which ctx is the context of.
func (w *world) use(ctx context.Context, in *incarnation, d int) {
	in.uses.Add(1)
	defer in.uses.Add(-1)
	if in.ended.Load() && ctx.Err() == nil {
		w.errorf("G10 UseOnlyStarted is broken: a use of a resource that is being released, its context not cancelled")
	}
	dawdle(d)
	if in.ended.Load() && ctx.Err() == nil {
		w.errorf("G9 DrainFirst is broken: the release began, and a use's context is not cancelled")
	}
}

// stress runs one lifecycle's life, and returns how many calls it has seen.
func stress(t *testing.T, seed uint64) int64 {
	w := &world{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 0))}
	opts := []fsm.Option{
		fsm.WithLogger(slog.New(slog.DiscardHandler)),
		fsm.WithObserver(func(tr fsm.Transition) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.received = append(w.received, tr)
		}),
	}
	if seed%2 == 0 {
		opts = append(opts, fsm.WithStartTimeout(30*time.Microsecond))
	}
	w.l = fsm.New(w.open, opts...)
	var workers sync.WaitGroup
	for i := range uint64(8) {
		workers.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, i+1))
			var old []*fsm.Lease[*incarnation] // kept for late Fails and second Releases
			for range 40 {
				old = w.step(rnd, old)
			}
		})
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		workers.Wait()
		w.l.Shutdown(background())
		<-w.l.Done()
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute): // not a deadline: a hang's guard
		buf := make([]byte, 1<<20)
		t.Fatalf("seed %#x: G12 Progress is broken: still not closed after a minute: %+v\n%s", seed, w.l.Status(), buf[:runtime.Stack(buf, true)])
	}
	w.final()
	return w.calls.Load()
}

// final checks what must hold once closed.
func (w *world) final() {
	if s := w.l.Status(); s.State != spec.Closed || len(s.Held) > 0 || s.Waiters > 0 || len(w.held) > 0 {
		w.errorf("G7 NoLeak is broken: closed: %+v, held %v", s, w.held)
	}
	if n := w.shutdown.Load(); n > 0 && w.l.Status().Attempt != n-1 {
		w.errorf("G11 CloseIsFinal is broken: %d attempts had begun when Shutdown returned, now %d", n-1, w.l.Status().Attempt)
	}
	for guard := time.Now().Add(time.Minute); len(libraryGoroutines()) > 0; runtime.Gosched() {
		if time.Now().After(guard) {
			w.errorf("G7 NoLeak is broken: closed, and goroutines run: %v", libraryGoroutines())
			return
		}
	}
	// Its goroutine is gone: the observer has received everything.
	w.mu.Lock()
	defer w.mu.Unlock()
	last := spec.Idle
	for _, tr := range w.received {
		if to, ok := spec.Next(tr.Event, tr.From); tr.From != last || !ok || to != tr.To {
			w.errorf("transition %+v after %v", tr, last)
		}
		last = tr.To
	}
	if last != spec.Closed {
		w.errorf("the last transition received led to %v", last)
	}
}

// step makes one random call, and checks its result.
func (w *world) step(rnd *rand.Rand, old []*fsm.Lease[*incarnation]) []*fsm.Lease[*incarnation] {
	w.calls.Add(1)
	ctx, cancel := randomContext(rnd)
	defer cancel()
	opens, emptied, wasOpen, wasEmpty := w.seen()
	switch n := rnd.IntN(100); {
	case n < 40:
		err := w.l.Start(ctx)
		var failed *fsm.StartError
		switch {
		case err == nil:
			if after, _, _, _ := w.seen(); !wasOpen && after == opens {
				w.errorf("G3 StartedIsOpen is broken: Start returned nil, and it was open at no instant since the call")
			}
		case errors.Is(err, errLeft) || errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &failed):
			if ctx.Err() == nil {
				w.errorf("G6 NoForeignCancellation is broken: Start: %v, and the caller's context has not ended", err)
			}
		case err == fsm.ErrStopped, err == fsm.ErrClosed:
		case !errors.As(err, &failed):
			w.errorf("Start: %v", err)
		}
	case n < 52:
		err := w.l.Stop(ctx)
		w.checkStop(ctx, err, emptied, wasEmpty)
	case n < 53:
		err := w.l.Shutdown(ctx)
		w.shutdown.Store(1 + w.l.Status().Attempt)
		w.checkStop(ctx, err, emptied, wasEmpty)
	case n < 75:
		err := w.l.Use(ctx, func(use context.Context, in *incarnation) error {
			w.use(use, in, rnd.IntN(10))
			if rnd.IntN(4) == 0 {
				if err := w.l.Stop(use); err != fsm.ErrReentrant {
					w.errorf("G15 NoSelfDeadlock is broken: Stop in a use: %v", err)
				}
			}
			return nil
		})
		if err != nil && err != fsm.ErrNotStarted && err != fsm.ErrClosed && ctx.Err() == nil {
			w.errorf("Use: %v", err)
		}
	case n < 92:
		lease, err := w.l.Acquire()
		if err != nil && err != fsm.ErrNotStarted && err != fsm.ErrClosed {
			w.errorf("Acquire: %v", err)
		}
		if err == nil {
			w.use(lease.Context(), lease.Resource(), rnd.IntN(10))
			lease.Release()
			old = append(old, &lease)
		}
	case n < 94:
		w.mu.Lock()
		scope := w.scope
		w.mu.Unlock()
		if scope != nil {
			scope.Fail(errBoom)
		}
	case n < 96 && len(old) > 0:
		lease := old[rnd.IntN(len(old))]
		lease.Release()
		lease.Fail(errBoom)
	default: // it may never start again
		ctx, cancel := context.WithTimeout(ctx, 100*time.Microsecond)
		defer cancel()
		s, err := w.l.Wait(ctx, spec.Started, spec.Stopping)
		if err == nil && !slices.Contains([]fsm.State{spec.Started, spec.Stopping}, s) {
			w.errorf("Wait: %v", s)
		}
		w.l.Status()
	}
	return old
}

func (w *world) checkStop(ctx context.Context, err error, emptied int, wasEmpty bool) {
	var stop *fsm.StopError
	switch {
	case err == nil:
		if _, after, _, _ := w.seen(); !wasEmpty && after == emptied {
			w.errorf("G8 StopWins is broken: Stop returned nil, and something was held at every instant since the call")
		}
	case !errors.As(err, &stop):
		w.errorf("Stop: %v", err)
	case stop.Part == "" && ctx.Err() == nil:
		w.errorf("Stop: %v, and the caller's context has not ended", err)
	}
}

var errLeft = errors.New("left")

// randomContext never ends, has ended, or soon will.
func randomContext(rnd *rand.Rand) (context.Context, context.CancelFunc) {
	switch n := rnd.IntN(10); {
	case n < 4:
		return context.WithCancel(background())
	case n < 5:
		ctx, cancel := context.WithCancelCause(background())
		cancel(errLeft)
		return ctx, func() {}
	case n < 7:
		return context.WithTimeout(background(), time.Duration(rnd.IntN(100))*time.Microsecond)
	default:
		ctx, cancel := context.WithCancelCause(background())
		spins := rnd.IntN(30)
		go func() { dawdle(spins); cancel(errLeft) }()
		return ctx, func() { cancel(nil) }
	}
}
