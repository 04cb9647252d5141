package fsm

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// A Tracer sees what an observer sees and, between the transitions, each step of
// an attempt: which part was acquired when, and how long its release took. Logs,
// traces and metrics are made of it; package fsmlog is one.
type Tracer interface {
	Transition(Transition)
	Step(Step)
}

// WithTracer makes t see every transition and every step, in the order in which
// they took effect, with all that WithObserver promises. A nil t panics.
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

// A Step is what happened to an attempt between two transitions, as a Tracer sees it.
type Step struct {
	Kind    StepKind
	Attempt uint64
	Part    string        // as Scope.Part or Scope.Defer named it; empty in StepBegun, StepForced and StepTryAgain
	At      time.Time     // when it took effect
	Took    time.Duration // since the step of this attempt before; 0 in StepBegun
	CutOff  int           // StepForced: the admitted uses that were cut off
	Err     error         // StepReleased: what the release failed with; StepRetry: what open did
	Pause   time.Duration // StepRetry: until the next try
	// Context carries the values that open's context has (WithBaseContext,
	// WithCallerContext), and never ends. A Tracer that keeps it after the attempt has
	// ended keeps alive whatever those are.
	Context context.Context
}

// StepKind is what a Step says.
type StepKind uint8

const (
	// StepBegun: an attempt begins; the Transition that says so comes next.
	StepBegun StepKind = iota
	// StepAcquiring: open called Scope.Part.
	StepAcquiring
	// StepHeld: open called Scope.Defer: it holds the part.
	StepHeld
	// StepForced: the release does not wait for the uses in flight (G9).
	StepForced
	// StepReleasing: the release of a part begins. Took says, of the first, how long
	// the drain lasted, or an open that was cancelled took to return.
	StepReleasing
	// StepReleased: it has returned. Took is how long it ran.
	StepReleased
	// StepRetry: open failed with Err and is tried again once what it held is given
	// back and Pause has passed (WithRetry).
	StepRetry
	// StepTryAgain: it has passed, and the next try begins, which holds nothing yet. If
	// the attempt is cancelled before, there is none.
	StepTryAgain
)

// String returns begun, acquiring, held, forced, releasing, released, retry or try again.
func (k StepKind) String() string {
	names := [...]string{"begun", "acquiring", "held", "forced", "releasing", "released", "retry", "try again"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("StepKind(%d)", uint8(k))
}

// stepLocked notifies the tracers of a step. Without one it costs a test.
func (a *attempt[R]) stepLocked(kind StepKind, part string, cutOff int, err error) {
	if !a.l.steps || a.isFinished {
		return
	}
	now := time.Now()
	took := now.Sub(a.stepped)
	if kind == StepBegun {
		took = 0
	}
	a.stepped = now
	var pause time.Duration
	if kind == StepRetry {
		pause = max(a.pause, 0)
	}
	a.l.notifyLocked(notification{step: &Step{kind, a.number, part, now, took, cutOff, err, pause, a.values}})
}

// attr names the notification in a log.
func (n notification) attr() slog.Attr {
	if n.step != nil {
		return slog.Any("step", n.step.Kind)
	}
	return slog.Any("transition", n.Event)
}
