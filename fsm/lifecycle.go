package fsm

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// A Lifecycle starts and stops one resource of type R. New makes one; the methods of a
// zero Lifecycle panic. All methods may be called concurrently. They panic on a nil
// context, except Start when already started. A Lifecycle must not be copied.
type Lifecycle[R any] struct {
	// Read without the lock, written with it. No operation outside the lock reads both, so
	// a critical section that writes both is atomic. They are the first fields because
	// loading the first fields takes shorter instructions.
	stateWord atomic.Uint32              // the State
	opened    atomic.Pointer[attempt[R]] // the attempt whose gate Acquire tries; nil: none

	config
	open func(context.Context, *Scope) (R, error)

	mu      sync.Mutex // not held during a call of foreign code
	machine machine
	closing bool          // Shutdown has been called
	runs    []*runCall[R] // calls of Run
	begun   uint64        // how many attempts have started
	current *attempt[R]   // the latest, until it has ended
	queued  *attempt[R]   // the next: Starts during a release, or while a restart is due, wait for it
	stopped bool          // a Stop or Shutdown has taken effect since the last attempt started
	cause   error         // see Status.Cause
	since   time.Time     // of the last transition

	supervisor *supervisor // nil without WithRestart
	holders    *holders    // nil: none

	watchers     []*watcher   // calls of Wait
	readyWaiters []chan error // calls of Ready
	logs         queue[logLine]
	done         chan struct{}
}

// New returns an idle lifecycle of the resource that open opens. New itself opens nothing.
//
// open acquires the resource part by part, and registers the release of each part with
// its Scope as soon as it holds the part. It should return soon after its context ends.
// The registered parts are released in reverse order if open returns an error, panics,
// calls runtime.Goexit, or was cancelled, whatever it returns then (G4).
//
// The context of open belongs to the resource. It has the values of WithBaseContext, and
// none of a Start's context, except those that WithCallerContext passes on. It ends when
// the attempt is cancelled, with the cause ErrStopped, ErrClosed, context.DeadlineExceeded
// (the start timeout), the cause given to Fail, or the cause of the last caller that left.
// Otherwise it ends when the release of the resource begins: after the drain, directly
// before the first part is released.
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
//   - nil if the resource was open, with all parts held, at an instant between call
//     and return (G3); if it was open already, Start runs nothing and returns at once (G2);
//   - ErrReentrant, without any effect, if ctx belongs to an open, release or use of
//     this lifecycle that has not ended (G15);
//   - ErrClosed if Shutdown or Close has been called (G11);
//   - the cause of ctx, without any effect, if ctx has ended already;
//   - a *LeaveError once ctx ends: only this caller leaves. The attempt continues for
//     the others, and is cancelled when the last of them has left (G6);
//   - a *StartError if the attempt failed: every part that it held has been released
//     (G4), and Start may be called again. Start does not join an attempt that is
//     already rolling back: it waits for the end of the rollback, and then for a new
//     attempt (G5). While a restart is due (WithRestart), Start waits for the restart;
//   - ErrStopped if a Stop took effect while Start was waiting (G8).
//
// The first of these that applies on entry, in this order, decides.
// Concurrent Starts of an idle lifecycle call open once, and all get its result (G1).
func (l *Lifecycle[R]) Start(ctx context.Context) error {
	// Not l.State(): with it Start would be too large for the compiler to inline.
	if l.stateWord.Load() == uint32(spec.Started) {
		return nil
	}
	return l.start(ctx)
}

func (l *Lifecycle[R]) start(ctx context.Context) error {
	l.point(spec.StartEnter, nil)
	return l.startFor(l.read(ctx, "Start"), nil, nil)
}

// startFor is a Start by c. The Run s or the Hold h calls it, or neither: then both are nil.
func (l *Lifecycle[R]) startFor(c caller, s *runCall[R], h *hold[R]) error {
	var values context.Context
	if c.cause == nil && !c.within { // otherwise the call starts no attempt
		values = l.valuesOf(c)
	}

	l.mu.Lock()
	a, refused := l.enterLocked(c, values)
	if s != nil && refused == nil {
		s.start = a
		l.runs = append(l.runs, s)
	}
	if h != nil && refused == nil {
		h.enterLocked(a)
	}
	l.tookLocked(spec.StartEnter, a)
	l.mu.Unlock()
	if a == nil {
		return refused
	}
	if c.done == nil && l.hook == nil {
		<-a.answered // ctx never ends: a plain receive takes less time and stack than a select
		return a.startErr
	}
	return l.await(c, a, h)
}

// mustBeMade panics on a zero Lifecycle, before any lock: a later failure would not show
// the reason.
func (l *Lifecycle[R]) mustBeMade() {
	if l.done == nil {
		panic("fsm: a zero Lifecycle: make one with New")
	}
}

// await waits for the answer to a Start, or to the Start of h.
func (l *Lifecycle[R]) await(c caller, a *attempt[R], h *hold[R]) error {
	if l.wait(spec.StartLeave, a, a.answered, c.done) {
		return a.startErr
	}
	l.point(spec.StartLeave, a)
	return l.leaveStart(c, a, h)
}

// enterLocked returns the attempt that the caller has to wait for, or nil and the
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
	return l.joinLocked(values, c.marker), nil
}

// joinLocked makes the caller a waiter of the attempt that is opening, of a new attempt,
// or of the queued one, which follows the running release or is the restart that is due.
// A new attempt gets values, and its marker is within outer.
func (l *Lifecycle[R]) joinLocked(values context.Context, outer *marker) *attempt[R] {
	var a *attempt[R]
	switch state := l.State(); {
	case state == spec.Starting:
		a = l.current
	case state == spec.Stopping || l.supervisor.isDueLocked():
		// The caller does not join an attempt that is rolling back: it must not get the
		// error of that attempt (G5).
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

// leaveStart removes a caller whose context has ended from the waiters of a, even if a
// method of that context panics or exits.
func (l *Lifecycle[R]) leaveStart(c caller, a *attempt[R], h *hold[R]) (err error) {
	left := &LeaveError{Err: errExited, ended: context.Canceled}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if h != nil {
			a.holds-- // in the same section: the attempt may open for others
		}
		err = l.leaveStartLocked(a, left)
	}()
	left.Err = c.why()
	if contain(c.ctx.Err) == context.DeadlineExceeded {
		left.ended = context.DeadlineExceeded
	}
	return nil
}

// leaveStartLocked takes a caller out of an attempt, which continues for the others (G6). The
// last one that leaves cancels the attempt, or unqueues it.
func (l *Lifecycle[R]) leaveStartLocked(a *attempt[R], left *LeaveError) error {
	if a.isAnswered {
		return a.startErr
	}
	left.Attempt, left.Part = a.number, a.acquiring
	cause := left.Err
	a.waiters--
	switch {
	case a.waiters > 0 || a.restart: // a restart continues without waiters
	case a == l.queued:
		l.queued = nil
	case a == l.current:
		// The table refuses the event if a is being rolled back already.
		if l.fireLocked(spec.EventAbandoned, cause) {
			a.left = left
			l.rollBackLocked(a, Cancelled, a.failure(cause), cause)
		}
	}
	l.tookLocked(spec.StartLeave, a)
	return left
}

// State returns the present state. It never blocks: it is one atomic load.
func (l *Lifecycle[R]) State() State {
	s := State(l.stateWord.Load())
	if s == spec.Idle {
		l.mustBeMade()
	}
	return s
}

// Done returns a channel that is closed when the lifecycle becomes Closed. Each call
// returns the same channel.
func (l *Lifecycle[R]) Done() <-chan struct{} {
	l.mustBeMade()
	return l.done
}

// fireLocked makes the transition of e if the table has it for the present state, and
// notifies Waits and observers. It reports whether it did.
func (l *Lifecycle[R]) fireLocked(e spec.Event, cause error) bool {
	from := l.State()
	to, err := l.machine.fire(e)
	if err != nil {
		return false
	}
	l.stateWord.Store(uint32(to)) // stored first, so that observers see the new state
	l.noteLocked(e, from, to, cause)
	return true
}

// mustFireLocked is fireLocked for an event that the present state allows.
func (l *Lifecycle[R]) mustFireLocked(e spec.Event, cause error) {
	if !l.fireLocked(e, cause) {
		panic("fsm: the transition table lacks " + e.String() + " in " + l.State().String())
	}
}

// point marks a place where a scheduler may pause the calling goroutine.
func (l *Lifecycle[R]) point(action spec.Action, a *attempt[R]) {
	if l.hook != nil {
		l.hook.Point(action, exposed(a))
	}
}

// tookLocked ends the critical section of the action: it answers the calls of Ready, and
// reports the action to a recorder. Reports have the order of the critical sections.
func (l *Lifecycle[R]) tookLocked(action spec.Action, a *attempt[R]) {
	if l.readyWaiters != nil {
		l.answerReadyLocked()
	}
	if l.hook != nil {
		l.hook.Took(action, exposed(a))
	}
}

// wait blocks until done or ended is closed. It reports whether done is closed.
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
