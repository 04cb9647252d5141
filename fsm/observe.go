package fsm

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

func (a *attempt[R]) inUseLocked() int {
	if n := a.gate.Load(); n >= 0 {
		return int(n)
	}
	return a.inUse
}

// A Transition is a change of state, as observers see it.
type Transition struct {
	From, To State
	Event    spec.Event
	Attempt  uint64        // the latest attempt begun
	At       time.Time     // when it took effect
	Took     time.Duration // how long the state From had lasted
	Cause    error         // why, where there is a reason: a failure, a cancellation, a Stop
}

// noteLocked tells whoever waits for a state, and the observers.
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
			w.seen <- to // has room for one
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
	l.announceLocked(news{Transition: Transition{from, to, e, l.begun, now, took, cause}})
}

// news is what observers are told: a transition, or a step.
type news struct {
	Transition
	step *Step // nil: it is a transition
}

func (l *Lifecycle[R]) announceLocked(n news) {
	l.untold = append(l.untold, n)
	if !l.telling {
		l.telling = true
		l.spawn(l.tell)
	}
}

// tell calls the observers for what they have not seen, then ends. An observer
// that calls runtime.Goexit takes this goroutine with it: another one goes on.
func (l *Lifecycle[R]) tell() {
	over := false
	defer func() {
		if !over {
			l.spawn(l.tell)
		}
	}()
	for {
		l.mu.Lock()
		if l.told == len(l.observers) {
			l.untold, l.told = slices.Delete(l.untold, 0, 1), 0
		}
		if len(l.untold) == 0 {
			l.telling, over = false, true
			l.mu.Unlock()
			return
		}
		n, observe := l.untold[0], l.observers[l.told]
		l.told++
		l.mu.Unlock()
		if err := contain(func() error { observe(n); return nil }); err != nil {
			l.log().Error("surestart: an observer panicked", n.attr(), "error", err)
		}
	}
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

// Wait returns the first of the states that the lifecycle is in or enters: one
// that it only passes through counts. It returns ErrClosed, with Closed, once
// the lifecycle is Closed and Closed was not asked for; the cause of ctx, with
// the present state, once ctx ends; and an error if no state is named. It takes no
// part in the detection of ErrReentrant: a wait from within an open, release or
// use of its own may wait for itself.
func (l *Lifecycle[R]) Wait(ctx context.Context, states ...State) (State, error) {
	if len(states) == 0 {
		return l.State(), errNoStates
	}
	needContext(ctx, "Wait")
	w := &watcher{states: states, seen: make(chan State, 1)}
	l.mu.Lock()
	if s := l.State(); w.wants(s) || s == spec.Closed {
		w.seen <- s
	} else {
		l.watchers = append(l.watchers, w)
	}
	l.mu.Unlock()
	select {
	case s := <-w.seen:
		return w.result(s)
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case s := <-w.seen: // it came first
		return w.result(s)
	default:
	}
	l.watchers = slices.DeleteFunc(l.watchers, func(other *watcher) bool { return other == w })
	return l.State(), context.Cause(ctx)
}

func (w *watcher) result(s State) (State, error) {
	if !w.wants(s) {
		return s, ErrClosed
	}
	return s, nil
}
