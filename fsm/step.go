package fsm

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// A Tracer receives the transitions and, between them, the steps of an attempt: when each
// part was acquired, and how long its release took. Logs, traces and metrics can be made from
// them, as package fsmlog does. WithTracer says when the methods are called.
type Tracer interface {
	Transition(Transition)
	Step(Step)
}

// WithTracer makes the lifecycle call t for every transition and every step, in the order
// in which they took effect, as WithObserver describes. A nil t panics.
func WithTracer(t Tracer) Option {
	if t == nil {
		panic("fsm: WithTracer(nil): want a Tracer")
	}
	return func(c *config) {
		c.steps = true
		c.observers = append(c.observers, &observer{steps: true, receive: func(n notification) {
			if n.step != nil {
				t.Step(*n.step)
			} else {
				t.Transition(n.Transition)
			}
		}})
	}
}

// A Step is an event of an attempt between two transitions. Tracers receive it.
type Step struct {
	Kind    StepKind
	Attempt uint64        // counted from 1
	Part    string        // as given to Scope.Part or Scope.Defer; empty in StepBegun, StepForced, StepTryAgain and StepGaveUp
	At      time.Time     // when the step took effect
	Took    time.Duration // since the previous step of this attempt; 0 in StepBegun and StepGaveUp
	CutOff  int           // StepForced: the admitted uses that were cut off
	Err     error         // StepReleased: the release's error; StepRetry: open's error; StepGaveUp: the cause of death, or the last restart's error
	Pause   time.Duration // StepRetry: until the next try
	// Context has the values of open's context (WithBaseContext, WithCallerContext), and
	// never ends. A Tracer that keeps it after the attempt has ended keeps those values in
	// memory.
	Context context.Context
}

// StepKind is the kind of a Step.
type StepKind uint8

const (
	// StepBegun: an attempt starts. The Transition of EventStart follows.
	StepBegun StepKind = iota
	// StepAcquiring: open called Scope.Part.
	StepAcquiring
	// StepHeld: open called Scope.Defer: it holds the part.
	StepHeld
	// StepForced: the release does not wait for the uses in flight (G9).
	StepForced
	// StepReleasing: the release of a part is called. For the first part, Took is the time of
	// the drain, or the time that a cancelled open took to return.
	StepReleasing
	// StepReleased: the release has returned. Took is how long it ran.
	StepReleased
	// StepRetry: open failed with Err. The next try begins once the parts are released and
	// Pause has passed (WithRetry).
	StepRetry
	// StepTryAgain: the next try starts, and holds nothing yet. It is absent if the attempt
	// is cancelled before.
	StepTryAgain
	// StepGaveUp: the Backoff of WithRestart gave up. The resource stays closed until the
	// next attempt of a Start. Attempt is the latest one, which has ended.
	StepGaveUp
)

// String returns begun, acquiring, held, forced, releasing, released, retry, try again or gave up.
func (k StepKind) String() string {
	names := [...]string{"begun", "acquiring", "held", "forced", "releasing", "released", "retry", "try again", "gave up"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("StepKind(%d)", uint8(k))
}

// stepLocked notifies the tracers of a step. Without a tracer it costs one comparison.
func (a *attempt[R]) stepLocked(kind StepKind, part string, cutOff int, err error) {
	if !a.l.steps || a.isFinished {
		return
	}
	now := time.Now()
	took := now.Sub(a.lastStep)
	if kind == StepBegun {
		took = 0
	}
	a.lastStep = now
	var pause time.Duration
	if kind == StepRetry {
		pause = max(a.pause, 0)
	}
	a.l.notifyLocked(notification{step: &Step{kind, a.number, part, now, took, cutOff, err, pause, a.values}})
}

// stepGaveUpLocked notifies the tracers that no restart follows.
func (l *Lifecycle[R]) stepGaveUpLocked(cause error) {
	if l.steps {
		l.notifyLocked(notification{step: &Step{Kind: StepGaveUp, Attempt: l.begun, At: time.Now(), Err: cause, Context: l.supervisor.values}})
	}
}

// attr returns the log attribute for the notification.
func (n notification) attr() slog.Attr {
	if n.step != nil {
		return slog.Any("step", n.step.Kind)
	}
	return slog.Any("transition", n.Event)
}
