package fsm

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// State is where a Lifecycle is: Idle (0), Starting, Started, Stopping or
// Closed. String returns the name.
type State = spec.State

// The states, see the package's picture. Wait takes them.
const (
	Idle     = spec.Idle
	Starting = spec.Starting
	Started  = spec.Started
	Stopping = spec.Stopping // giving back what is held; nobody may join
	Closed   = spec.Closed   // for good
)

// A Lifecycle starts and stops one resource of type R. Make one with New; its
// methods may be called concurrently. A nil context panics, but in a Start of what is
// started. It must not be copied.
type Lifecycle[R any] struct {
	// Read without the lock, written with it. No operation outside the lock
	// reads both: that is what makes a critical section that writes both atomic.
	// They come first: near the beginning a load is half as long to encode.
	word atomic.Uint32              // the State
	gate atomic.Pointer[attempt[R]] // the attempt that Acquire tries

	config
	open func(context.Context, *Scope) (R, error)

	mu      sync.Mutex // never held across anything foreign
	machine machine
	closing bool        // Shutdown has been called
	begun   uint64      // attempts begun
	current *attempt[R] // the latest, until it has ended
	queued  *attempt[R] // whoever came during a release waits for it; begun when the release ends
	cause   error       // see Status.Cause
	since   time.Time   // of the last transition

	supervisor *supervisor // nil without WithRestart

	watchers []*watcher // Wait
	untold   []news     // to the observers
	told     int        // how many of them know the first of these
	telling  bool       // a goroutine is telling them
	done     chan struct{}
}

// New returns an idle lifecycle of what open opens; it opens nothing.
//
// open acquires the resource part by part and registers the release of each with
// its Scope as soon as it holds it; it should return soon after its context
// ends. Its context carries the values of the first caller of Start (or of
// WithBaseContext), not their cancellation. It belongs to the resource: it ends
// when the attempt is cancelled (its cause says why: ErrStopped, ErrClosed,
// context.DeadlineExceeded for the start timeout, a caller's cause when the last
// one left) or when the resource's release begins: after the drain, just before the
// first part is released. If open returns an error,
// panics, calls runtime.Goexit or was cancelled, whatever it then returns, all
// that it has registered is released in reverse order (G4).
//
// New panics if open or an option is nil.
func New[R any](open func(context.Context, *Scope) (R, error), opts ...Option) *Lifecycle[R] {
	if open == nil {
		panic("fsm: New(nil): want a function that opens the resource")
	}
	l := &Lifecycle[R]{
		config:  newConfig(opts),
		open:    open,
		machine: newMachine(),
		since:   time.Now(),
		done:    make(chan struct{}),
	}
	if l.restart != nil {
		l.supervisor = new(supervisor)
	}
	return l
}

// Start opens the resource, or joins the attempt that is opening it, and waits
// for the outcome. It returns
//
//   - nil if the resource is open, all parts held, at an instant between call
//     and return (G3); if it was open already, at once and having run nothing (G2);
//   - ErrReentrant, without any effect, if ctx is one that this lifecycle handed
//     to an open, release or use that has not ended (G15);
//   - ErrClosed if Shutdown or Close has been called (G11);
//   - the cause of ctx once ctx ends: this caller leaves alone, the attempt goes
//     on for the others and is cancelled only when the last one has left (G6). If
//     ctx has ended already, nothing is opened;
//   - a *StartError if the attempt failed: every part it held has been released
//     by then (G4), and Start works again. An attempt that had begun to roll back
//     when Start was called is not joined: Start waits for it to end and makes an
//     attempt of its own (G5);
//   - ErrStopped if a Stop took effect while it was waiting (G8).
//
// The first of these that applies, in this order, is decided on entry.
// Concurrent Starts of an idle lifecycle run open once and all get its result (G1).
func (l *Lifecycle[R]) Start(ctx context.Context) error {
	// Not l.State(): so Start is just cheap enough to be inlined where it is called.
	if l.word.Load() == uint32(spec.Started) {
		return nil
	}
	return l.start(ctx)
}

func (l *Lifecycle[R]) start(ctx context.Context) error {
	needContext(ctx, "Start")
	l.point(spec.StartEnter, nil)
	// The caller's context is foreign: it is read before the lock is taken.
	reentrant, cause := l.reentrant(ctx), context.Cause(ctx)

	l.mu.Lock()
	a, refused := l.enterLocked(ctx, reentrant, cause)
	l.tookLocked(spec.StartEnter, a)
	l.mu.Unlock()
	if a == nil {
		return refused
	}
	return l.await(ctx, a)
}

// needContext panics, before anything is done, in words that help more than a nil pointer's.
func needContext(ctx context.Context, method string) {
	if ctx == nil {
		panic("fsm: " + method + "(nil): want a context")
	}
}

// await waits for the answer to a Start.
func (l *Lifecycle[R]) await(ctx context.Context, a *attempt[R]) error {
	if l.wait(spec.StartLeave, a, a.answered, ctx.Done()) {
		return a.startErr
	}
	return l.leaveStart(ctx, a)
}

// enterLocked returns the attempt that the caller is to wait for, or nil and the
// result of the call.
func (l *Lifecycle[R]) enterLocked(ctx context.Context, reentrant bool, cause error) (*attempt[R], error) {
	switch {
	case l.State() == spec.Started:
		return nil, nil
	case reentrant:
		return nil, ErrReentrant
	case l.closing:
		return nil, ErrClosed
	case cause != nil:
		return nil, cause
	}
	return l.joinLocked(ctx), nil
}

// joinLocked makes the caller a waiter of the attempt that is opening, of a new
// one, or of the one after the release that is under way.
func (l *Lifecycle[R]) joinLocked(ctx context.Context) *attempt[R] {
	var a *attempt[R]
	switch l.State() {
	case spec.Starting:
		a = l.current
	case spec.Stopping:
		// The attempt that is being rolled back is not joined, not even to
		// share its error: that is G5.
		if l.queued == nil {
			l.queued = l.newAttempt(ctx)
		}
		a = l.queued
	default:
		a = l.newAttempt(ctx)
		l.beginLocked(a)
		l.spawn(func() { l.operate(a) })
	}
	a.waiters++
	return a
}

// leaveStart takes a caller whose context has ended out of the attempt.
func (l *Lifecycle[R]) leaveStart(ctx context.Context, a *attempt[R]) error {
	cause := context.Cause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.isAnswered {
		return a.startErr
	}
	a.waiters--
	switch {
	case a.waiters > 0:
	case a == l.queued:
		l.queued = nil
	case a == l.current:
		// Refused if it is being rolled back already.
		if l.fireLocked(spec.EventAbandoned, cause) {
			l.rollBackLocked(a, a.failure(cause), cause)
		}
	}
	l.tookLocked(spec.StartLeave, a)
	return cause
}

// Stop releases the resource and waits until everything is given back; then the
// lifecycle is Idle and may be started again. It waits for the uses in flight
// first (G9). A Stop during a start cancels the attempt and waits for its
// rollback; the Starts get ErrStopped (G8). Concurrent Stops join. It returns
//
//   - nil if nothing was held at an instant after it was called; of an idle or
//     closed lifecycle at once, having run nothing (G2);
//   - ErrReentrant, without any effect, if ctx is one that this lifecycle handed
//     to an open, release or use that has not ended (G15);
//   - a *StopError with the releases' errors joined, if any failed; every part
//     has been released all the same;
//   - a *StopError with the cause of ctx once ctx ends. If no other Stop or
//     Shutdown waits and uses are in flight, the drain is then cut short: the
//     uses' contexts are cancelled before Stop returns, CutOff is their number,
//     and the release follows without waiting for them. Otherwise CutOff is 0 and
//     the release goes on without this caller.
//
// A Stop whose ctx has ended already takes effect all the same.
func (l *Lifecycle[R]) Stop(ctx context.Context) error { return l.stop(ctx, false) }

// Shutdown is Stop for good: from its call on no attempt begins, ever, and Start,
// Use and Acquire get ErrClosed; after it returned nil nothing is open (G11). The
// end of its context cuts the drain short whoever else waits (G9). Of a closed
// lifecycle it returns nil.
func (l *Lifecycle[R]) Shutdown(ctx context.Context) error { return l.stop(ctx, true) }

// Close is Shutdown bounded by WithStopTimeout, 30 seconds by default. It takes
// no part in the detection of ErrReentrant: a Close from within an open, release
// or use of its own waits for as long as that bound.
func (l *Lifecycle[R]) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.stopTimeout)
	defer cancel()
	return l.Shutdown(ctx)
}

func (l *Lifecycle[R]) stop(ctx context.Context, final bool) error {
	action, reason, method := spec.StopEnter, ErrStopped, "Stop"
	if final {
		action, reason, method = spec.ShutdownEnter, ErrClosed, "Shutdown"
	}
	needContext(ctx, method)
	l.point(action, nil)
	if l.reentrant(ctx) {
		return ErrReentrant
	}

	l.mu.Lock()
	a := l.beginStopLocked(final, reason)
	l.tookLocked(action, a)
	if a == nil {
		l.mu.Unlock()
		return nil
	}
	a.stoppers++
	if a.finished == nil {
		a.finished = make(chan struct{})
	}
	finished := a.finished
	l.mu.Unlock()

	if l.wait(spec.StopLeave, a, finished, ctx.Done()) {
		return a.stopErr
	}
	return l.leaveStop(ctx, a, final)
}

// beginStopLocked returns the attempt whose end the caller is to wait for, nil
// if there is nothing to stop.
func (l *Lifecycle[R]) beginStopLocked(final bool, reason error) *attempt[R] {
	event := spec.EventStop
	if final {
		event, l.closing = spec.EventShutdown, true
	}
	l.supervisor.stopLocked()
	a := l.current // nil in Idle and in Closed
	switch l.State() {
	case spec.Idle:
		if final {
			l.mustFireLocked(event, reason)
		}
	case spec.Starting:
		l.mustFireLocked(event, reason)
		l.rollBackLocked(a, reason, reason)
	case spec.Started:
		l.releaseLocked(a, event, reason)
	case spec.Stopping:
		// Whoever waits for this release to end was waiting when the Stop took effect.
		if q := l.queued; q != nil {
			l.queued = nil
			q.answerLocked(reason)
		}
	}
	return a
}

// leaveStop takes a caller whose context has ended out of the release, and cuts
// the drain short if it is his to cut (G9).
func (l *Lifecycle[R]) leaveStop(ctx context.Context, a *attempt[R], final bool) error {
	cause := context.Cause(ctx)
	l.mu.Lock()
	if a.isFinished {
		l.mu.Unlock()
		return a.stopErr
	}
	a.stoppers--
	cutOff, cut := 0, func() {}
	if a.op == spec.OpDrain && !a.forced && a.inUse > 0 && (final || a.stoppers == 0) {
		cutOff, cut = a.inUse, a.forceLocked()
	}
	l.tookLocked(spec.StopLeave, a)
	l.mu.Unlock()
	cut()
	return &StopError{CutOff: cutOff, Err: cause}
}

// State returns the state; one atomic load. It never blocks.
func (l *Lifecycle[R]) State() State { return State(l.word.Load()) }

// Done returns a channel that is closed on entering Closed.
func (l *Lifecycle[R]) Done() <-chan struct{} { return l.done }

// fireLocked moves the machine by e if the table allows it here, and tells
// whoever watches.
func (l *Lifecycle[R]) fireLocked(e spec.Event, cause error) bool {
	from := l.State()
	to, err := l.machine.fire(e)
	if err != nil {
		return false
	}
	l.word.Store(uint32(to)) // before anybody is told: who is finds it so
	l.noteLocked(e, from, to, cause)
	return true
}

// mustFireLocked is fireLocked where the state has been looked at already.
func (l *Lifecycle[R]) mustFireLocked(e spec.Event, cause error) {
	if !l.fireLocked(e, cause) {
		panic("fsm: the transition table lacks " + e.String() + " in " + l.State().String())
	}
}

// point is where a scheduler may hold the calling goroutine.
func (l *Lifecycle[R]) point(action spec.Action, a *attempt[R]) {
	if l.hook != nil {
		l.hook.Point(action, exposed(a))
	}
}

// tookLocked is where a recorder learns that the critical section of the action
// ran; the order of these calls is the order of the sections.
func (l *Lifecycle[R]) tookLocked(action spec.Action, a *attempt[R]) {
	if l.hook != nil {
		l.hook.Took(action, exposed(a))
	}
}

// wait returns true when done is closed, false when ended is; true if both are.
func (l *Lifecycle[R]) wait(action spec.Action, a *attempt[R], done, ended <-chan struct{}) bool {
	if l.hook != nil {
		return l.hook.Wait(action, a, done, ended)
	}
	if ended == nil { // a context that cannot end: a herd of such callers waits cheaper so
		<-done
		return true
	}
	select {
	case <-done:
		return true
	case <-ended:
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

// spawn runs f in a goroutine of its own.
func (l *Lifecycle[R]) spawn(f func()) {
	if l.hook != nil {
		l.hook.Go(f)
		return
	}
	go f()
}
