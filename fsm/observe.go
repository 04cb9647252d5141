package fsm

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// A Transition is a change of state. Observers receive it (WithObserver, WithTracer).
type Transition struct {
	From, To State
	Event    Event
	Attempt  uint64        // the latest attempt that has started, counted from 1; 0: none
	At       time.Time     // when the transition took effect
	Took     time.Duration // how long the state From lasted
	Cause    error         // the cause of a failure, a cancellation or a Stop; otherwise nil
}

// noteLocked answers the Waits for the new state, and notifies the observers.
func (l *Lifecycle[R]) noteLocked(e spec.Event, from, to State, cause error) {
	now := time.Now()
	took := now.Sub(l.since)
	l.since = now
	if to == spec.Closed {
		close(l.done)
	}
	waiting := l.watchers[:0]
	for _, w := range l.watchers {
		if w.wants(to) || to == spec.Closed {
			w.seen <- to // has a buffer of one
		} else {
			waiting = append(waiting, w)
		}
	}
	clear(l.watchers[len(waiting):])
	l.watchers = waiting
	if len(l.observers) == 0 {
		return
	}
	if e == spec.EventStart {
		l.current.stepLocked(StepBegun, "", 0, nil)
	}
	l.notifyLocked(notification{Transition: Transition{from, to, e, l.begun, now, took, cause}})
}

// A notification is a transition or a step, for the observers.
type notification struct {
	Transition
	step *Step // nil: it is a transition
}

// An observer is a function of WithObserver or WithTracer, with its pending notifications.
type observer struct {
	receive func(notification)
	steps   bool // it also receives steps
	queue[notification]
}

func (l *Lifecycle[R]) notifyLocked(n notification) {
	for _, o := range l.observers {
		if (n.step == nil || o.steps) && o.push(n) {
			l.spawn(func() { o.drain(l.spawn, func(n notification) { l.notify(o, n) }) })
		}
	}
}

// notify calls an observer. An observer that hangs delays only its own queue.
func (l *Lifecycle[R]) notify(o *observer, n notification) {
	if err := contain(func() error { o.receive(n); return nil }); err != nil {
		l.log().Error("surestart: an observer panicked", n.attr(), "error", err)
	}
}

// undeliveredLocked is Status.Undelivered.
func (l *Lifecycle[R]) undeliveredLocked() (n int) {
	for _, o := range l.observers {
		n = max(n, o.len())
	}
	return n
}

// FlushObservers blocks until every observer and tracer has returned from every transition
// and step that took effect before the call. Then it returns nil, even if ctx has ended.
// If ctx ends before, it returns the cause of ctx. It does not wait for later transitions
// and steps, nor for the lines that the lifecycle itself logs (WithLogger). It waits for
// fsmlog, which is a tracer.
//
// It may be called concurrently, and in every state. It blocks until ctx ends if an
// observer hangs. An observer that calls it waits for its own return, so that call also
// blocks until ctx ends. The other observers continue.
func (l *Lifecycle[R]) FlushObservers(ctx context.Context) error {
	c := l.read(ctx, "FlushObservers")
	// Under the lock: State and Done show a transition a moment before it is queued.
	l.mu.Lock()
	all := make([]<-chan struct{}, 0, len(l.observers))
	for _, o := range l.observers {
		if flushed := o.flushed(); flushed != nil {
			all = append(all, flushed)
		}
	}
	l.mu.Unlock()
	for _, flushed := range all {
		select {
		case <-flushed:
		case <-c.done:
			select {
			case <-flushed:
			default:
				return c.why()
			}
		}
	}
	return nil
}

// A watcher waits for one of a set of states.
type watcher struct {
	states []State
	seen   chan State
}

func (w *watcher) wants(s State) bool {
	for _, want := range w.states {
		if s == want {
			return true
		}
	}
	return false
}

var errNoStates = errors.New("fsm: Wait: want at least one state to wait for")

// Wait blocks until the lifecycle is in one of the states, and returns that state. A state
// that lasts only a moment counts. It returns
//
//   - ErrClosed, with Closed, once the lifecycle is Closed and Closed is not among states;
//   - the cause of ctx, with the present state, once ctx ends;
//   - an error, at once, if states is empty.
//
// Wait never returns ErrReentrant: within an open, release or use of its own lifecycle it
// may wait for itself until ctx ends.
func (l *Lifecycle[R]) Wait(ctx context.Context, states ...State) (State, error) {
	c := l.read(ctx, "Wait")
	if len(states) == 0 {
		return l.State(), errNoStates
	}
	w := &watcher{states: states, seen: make(chan State, 1)}
	l.mu.Lock()
	if s := l.State(); w.wants(s) || s == spec.Closed {
		w.seen <- s
	} else {
		l.watchers = append(l.watchers, w)
	}
	l.mu.Unlock()
	var now State
	s, seen := receive(&l.mu, c, w.seen, func() {
		l.watchers = slices.DeleteFunc(l.watchers, func(other *watcher) bool { return other == w })
		now = l.State()
	})
	switch {
	case !seen:
		return now, c.why()
	case !w.wants(s):
		return s, ErrClosed
	}
	return s, nil
}
