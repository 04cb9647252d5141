package fsm_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A rig is a resource in parts. It knows what no lifecycle may ever do to it, and fails the test if
// that happens: two operations at once (G1); a release that is not of the last held part, not once,
// or without a fresh bounded context (G4); an unforced release under an admitted use (G9, G10).
type rig struct {
	t     testing.TB
	parts []string

	// Called when a part is about to be acquired ("" after the last), and when
	// one is about to be given up; nil: nothing.
	at      func(ctx context.Context, part string) error
	release func(ctx context.Context, part string) error

	mu     sync.Mutex
	busy   bool // an open or a release runs
	opened int
	held   []string
	uses   int
	log    []string // "open", "+part", "-part"
	scope  *fsm.Scope
	ctx    context.Context
}

func newRig(t testing.TB, parts ...string) *rig { return &rig{t: t, parts: parts} }

func (r *rig) new(opts ...fsm.Option) *fsm.Lifecycle[*rig] { return fsm.New(r.open, opts...) }

// draining returns a rig and its lifecycle, in which a Stop waits for the lease.
func draining(t testing.TB) (*rig, *fsm.Lifecycle[*rig], *fsm.Lease[*rig], *call) {
	r := newRig(t, "a")
	l := r.new()
	wantNil(t, "Start", l.Start(background()))
	lease, err := l.Acquire()
	wantNil(t, "Acquire", err)
	stop := begin(t, func() error { return l.Stop(background()) })
	stop.mustPend("Stop")
	return r, l, &lease, stop
}

func (r *rig) open(ctx context.Context, s *fsm.Scope) (*rig, error) {
	r.enter("open")
	defer r.exit()
	r.mu.Lock()
	r.opened++
	r.scope, r.ctx = s, ctx
	if len(r.held) > 0 {
		r.t.Errorf("G1 SingleFlight is broken: open called while %v are held", r.held)
	}
	r.mu.Unlock()
	for _, part := range r.parts {
		s.Part(part)
		if err := r.reach(ctx, part); err != nil {
			return nil, err
		}
		r.hold(s, part)
	}
	return r, r.reach(ctx, "")
}

// failLast is for at: open fails, holding all parts.
func failLast(_ context.Context, part string) error {
	if part == "" {
		return errBoom
	}
	return nil
}

func (r *rig) reach(ctx context.Context, part string) error {
	if r.at == nil {
		return nil
	}
	return r.at(ctx, part)
}

func (r *rig) hold(s *fsm.Scope, part string) {
	r.mu.Lock()
	r.held = append(r.held, part)
	r.log = append(r.log, "+"+part)
	r.mu.Unlock()
	s.Defer(part, func(ctx context.Context) error { return r.giveUp(ctx, part) })
}

func (r *rig) giveUp(ctx context.Context, part string) error {
	r.enter("-" + part)
	defer r.exit()
	r.mu.Lock()
	if n := len(r.held); n == 0 || r.held[n-1] != part {
		r.t.Errorf("G4 Rollback is broken: release of %s while %v are held, in this order", part, r.held)
	} else {
		defer func() { // held until its release has ended
			r.mu.Lock()
			defer r.mu.Unlock()
			r.held = r.held[:n-1]
		}()
	}
	if r.uses > 0 && !fsm.Forced(ctx) {
		r.t.Errorf("G9, G10: %s is released under %d uses, unforced", part, r.uses)
	}
	r.mu.Unlock()
	if _, bounded := ctx.Deadline(); !bounded || ctx.Err() != nil {
		r.t.Errorf("G4 Rollback is broken: the context of the release of %s: bounded %v, ended with %v; want a fresh bounded one", part, bounded, ctx.Err())
	}
	if r.release == nil {
		return nil
	}
	return r.release(ctx, part)
}

func (r *rig) enter(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		r.t.Errorf("G1 SingleFlight is broken: %s while another operation runs", what)
	}
	r.busy = true
	r.log = append(r.log, what)
}

func (r *rig) exit() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
}

// use is what a function that Use calls should do with the resource.
func (r *rig) use(f func()) {
	r.mu.Lock()
	r.uses++
	if len(r.held) != len(r.parts) {
		r.t.Errorf("G10 UseOnlyStarted is broken: a use began while %v are held; want all of %v", r.held, r.parts)
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.uses--
	}()
	f()
}

// wantLog compares what the hooks did since the last call, and forgets it.
func (r *rig) wantLog(want string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.log, " "); got != want {
		r.t.Errorf("the hooks did %q; want %q", got, want)
	}
	r.log = nil
}

// bubble runs f as a subtest in a synctest bubble: time is virtual, and a
// goroutine that is left behind fails the test.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// A call runs on its own.
type call struct {
	t    testing.TB
	done chan struct{}
	err  error
}

func begin(t testing.TB, f func() error) *call {
	c := &call{t: t, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = f()
	}()
	return c
}

// pending reports whether the call still waits, once nothing else can go on.
func (c *call) pending() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func (c *call) mustPend(what string) {
	c.t.Helper()
	if !c.pending() {
		c.t.Fatalf("%s returned %v; want it to wait", what, c.err)
	}
}

// result waits for the call to end.
func (c *call) result() error {
	<-c.done
	return c.err
}

func wantNil(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v; want nil", what, err)
	}
}

func wantIs(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%s: %v; want %v", what, err, target)
	}
}

func wantState[R any](t testing.TB, l *fsm.Lifecycle[R], want fsm.State) {
	t.Helper()
	if got := l.State(); got != want {
		t.Fatalf("the state is %v; want %v", got, want)
	}
}

// startError returns err as the error that a failed attempt gives its callers.
func startError(t testing.TB, err error) *fsm.StartError {
	t.Helper()
	e, ok := err.(*fsm.StartError)
	if !ok {
		t.Fatalf("Start: %v (%T); want a *StartError", err, err)
	}
	return e
}

func stopError(t testing.TB, err error) *fsm.StopError {
	t.Helper()
	e, ok := err.(*fsm.StopError)
	if !ok {
		t.Fatalf("Stop: %v (%T); want a *StopError", err, err)
	}
	return e
}

// libraryGoroutines returns the stacks of the goroutines that package fsm runs:
// those that it has made, and those of its timers.
func libraryGoroutines() []string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var own []string
	for _, stack := range strings.Split(string(buf), "\n\n") {
		const made = "created by github.com/seed3893aba4/surestart/fsm."
		const timeout, restart = "surestart/fsm.(*Lifecycle[...]).timeout", "surestart/fsm.(*Lifecycle[...]).startAgain"
		if strings.Contains(stack, made) || strings.Contains(stack, timeout) || strings.Contains(stack, restart) {
			own = append(own, stack)
		}
	}
	return own
}

// bubbleGoroutines are those of this test's bubble: what an earlier test outside a
// bubble has left on its way out is not among them.
func bubbleGoroutines() []string {
	return slices.DeleteFunc(libraryGoroutines(), func(stack string) bool {
		header, _, _ := strings.Cut(stack, "\n")
		return !strings.Contains(header, "synctest bubble")
	})
}

// quiet fails the test if a goroutine of the library runs once nothing can go on (G7).
func quiet(t testing.TB) {
	t.Helper()
	synctest.Wait()
	if own := bubbleGoroutines(); len(own) > 0 {
		t.Errorf("G7 NoLeak is broken: %d goroutines of the library run:\n%s", len(own), strings.Join(own, "\n\n"))
	}
}

// A logBuffer is where a lifecycle logs to, from any goroutine.
type logBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was logged, once no more lines follow, because the logger runs on a goroutine
// of its own. In a bubble only.
func (b *logBuffer) String() string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) option() fsm.Option { return fsm.WithLogger(slog.New(slog.NewTextHandler(b, nil))) }

var errBoom = errors.New("boom")

func background() context.Context { return context.Background() }

// itself is for WithCallerContext: all that the caller's context has.
func itself(caller context.Context) context.Context { return caller }

// leaveError returns err as the error of a caller whose own context has ended.
func leaveError(t testing.TB, err error) *fsm.LeaveError {
	t.Helper()
	e, ok := err.(*fsm.LeaveError)
	if !ok {
		t.Fatalf("Start: %v (%T); want a *LeaveError", err, err)
	}
	return e
}

// failingRig is a rig with one part whose open fails once it holds it, and is
// rolled back for a second.
func failingRig(t testing.TB) *rig {
	t.Helper()
	r := newRig(t, "a")
	r.at = failLast
	r.release = func(context.Context, string) error { time.Sleep(time.Second); return nil }
	return r
}

// keepsNothing fails the test if 100,000 calls leave the heap more than 4 MiB larger.
func keepsNothing(t *testing.T, call func()) {
	t.Helper()
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range 100_000 {
		call()
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}
