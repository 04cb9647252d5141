package fsm

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// A Lifecycle starts and stops one resource of type R. Make one with New: the methods
// of a zero one panic. They may be called concurrently. They panic on a nil context,
// except Start when already started. A Lifecycle must not be copied.
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
	staying []*stay[R]  // Runs
	begun   uint64      // attempts begun
	current *attempt[R] // the latest, until it has ended
	queued  *attempt[R] // what Starts wait for that came during a release, or while a restart is due
	stopped bool        // a Stop or Shutdown has taken effect since an attempt began last
	cause   error       // see Status.Cause
	since   time.Time   // of the last transition

	supervisor *supervisor // nil without WithRestart

	watchers []*watcher   // Wait
	readies  []chan error // Ready
	logs     queue[logLine]
	done     chan struct{}
}

// New returns an idle lifecycle of what open opens; it opens nothing.
//
// open acquires the resource part by part and registers the release of each with
// its Scope as soon as it holds it; it should return soon after its context
// ends. Its context carries nothing of the context of a Start, unless
// WithCallerContext says what; WithBaseContext gives it values. It belongs to the resource: it ends
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
//   - the cause of ctx, without any effect, if ctx has ended already;
//   - a *LeaveError once ctx ends: this caller leaves alone, the attempt goes on for
//     the others and is cancelled only when the last one has left (G6);
//   - a *StartError if the attempt failed: every part it held has been released
//     by then (G4), and Start works again. An attempt that had begun to roll back
//     when Start was called is not joined: Start waits for it to end and makes an
//     attempt of its own (G5). While a restart is due (WithRestart) it waits for that;
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
	l.point(spec.StartEnter, nil)
	return l.startFor(l.read(ctx, "Start"), nil)
}

// startFor is a Start of c, that of a Run if s is not nil.
func (l *Lifecycle[R]) startFor(c caller, s *stay[R]) error {
	var values context.Context
	if c.cause == nil && !c.within { // else it begins nothing
		values = l.valuesOf(c)
	}

	l.mu.Lock()
	a, refused := l.enterLocked(c, values)
	if s != nil && refused == nil {
		s.start = a
		l.staying = append(l.staying, s)
	}
	l.tookLocked(spec.StartEnter, a)
	l.mu.Unlock()
	if a == nil {
		return refused
	}
	if c.done == nil && l.hook == nil {
		<-a.answered // a context that cannot end: no select, and less stack for each of thousands
		return a.startErr
	}
	return l.await(c, a)
}

// mustBeMade panics on a zero Lifecycle, before any lock: it could only hang, or fail
// where nothing shows why.
func (l *Lifecycle[R]) mustBeMade() {
	if l.done == nil {
		panic("fsm: a zero Lifecycle: make one with New")
	}
}

// await waits for the answer to a Start.
func (l *Lifecycle[R]) await(c caller, a *attempt[R]) error {
	if l.wait(spec.StartLeave, a, a.answered, c.done) {
		return a.startErr
	}
	l.point(spec.StartLeave, a)
	return l.leaveStart(c, a)
}

// enterLocked returns the attempt that the caller is to wait for, or nil and the
// result of the call.
func (l *Lifecycle[R]) enterLocked(c caller, values context.Context) (*attempt[R], error) {
	switch {
	case l.State() == spec.Started:
		return nil, nil
	case c.within:
		return nil, ErrReentrant
	case l.closing:
		return nil, ErrClosed
	case c.cause != nil:
		return nil, c.cause
	}
	return l.joinLocked(values, c.handed), nil
}

// joinLocked makes the caller a waiter of the attempt that is opening, of a new
// one, or of the next: the one after the release that is under way, or the restart
// that is due. A new one takes its values from values, and is within outer.
func (l *Lifecycle[R]) joinLocked(values context.Context, outer *token) *attempt[R] {
	var a *attempt[R]
	switch state := l.State(); {
	case state == spec.Starting:
		a = l.current
	case state == spec.Stopping || l.supervisor.isDueLocked():
		// The attempt that is being rolled back is not joined, not even to
		// share its error: that is G5.
		if l.queued == nil {
			l.queued = l.newAttempt(values, outer)
		}
		a = l.queued
	default:
		a = l.newAttempt(values, outer)
		l.beginNextLocked(a)
	}
	a.waiters++
	return a
}

// leaveStart takes a caller whose context has ended out of the attempt, whatever
// happens when the context is asked why.
func (l *Lifecycle[R]) leaveStart(c caller, a *attempt[R]) (err error) {
	left := &LeaveError{Err: errExited, ended: context.Canceled}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		err = l.leaveStartLocked(a, left)
	}()
	left.Err = c.why()
	if contain(c.ctx.Err) == context.DeadlineExceeded {
		left.ended = context.DeadlineExceeded
	}
	return nil
}

func (l *Lifecycle[R]) leaveStartLocked(a *attempt[R], left *LeaveError) error {
	if a.isAnswered {
		return a.startErr
	}
	left.Attempt, left.Part = a.number, a.acquiring
	cause := left.Err
	a.waiters--
	switch {
	case a.waiters > 0 || a.restart: // the lifecycle itself wants a restart
	case a == l.queued:
		l.queued = nil
	case a == l.current:
		// Refused if it is being rolled back already.
		if l.fireLocked(spec.EventAbandoned, cause) {
			l.rollBackLocked(a, Cancelled, a.failure(cause), cause)
		}
	}
	l.tookLocked(spec.StartLeave, a)
	return left
}

// State returns the state; one atomic load. It never blocks.
func (l *Lifecycle[R]) State() State {
	s := State(l.word.Load())
	if s == spec.Idle {
		l.mustBeMade()
	}
	return s
}

// Done returns a channel that is closed on entering Closed.
func (l *Lifecycle[R]) Done() <-chan struct{} {
	l.mustBeMade()
	return l.done
}

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

// tookLocked ends the critical section of the action. A recorder learns that it ran:
// the order of these calls is the order of the sections.
func (l *Lifecycle[R]) tookLocked(action spec.Action, a *attempt[R]) {
	if l.readies != nil {
		l.answerReadiesLocked()
	}
	if l.hook != nil {
		l.hook.Took(action, exposed(a))
	}
}

// wait returns true when done is closed, false when ended is; true if both are.
func (l *Lifecycle[R]) wait(action spec.Action, a *attempt[R], done, ended <-chan struct{}) bool {
	if l.hook != nil {
		l.hook.Wait(action, a, done, ended)
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
		if f = l.hook.Go(f); f == nil {
			return
		}
	}
	go f()
}
