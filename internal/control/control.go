// Package control lets a scheduler step the shipped code of fsm: it passes a hook into a
// Lifecycle, and reads the Lifecycle's own fields, without a build tag and without a name in
// fsm's public interface.
//
// A point precedes each critical section, atomic instruction and wait of fsm. It has the
// name of the action of tla/Algorithm.tla that follows it.
package control

import "github.com/seed3893aba4/surestart/spec"

// A Hook is implemented by a scheduler. A lifecycle without one only compares a field with
// nil.
type Hook interface {
	// Point returns when the calling goroutine may continue with the action. at is the
	// attempt that the action concerns; nil: the action finds it itself.
	Point(action spec.Action, at Attempt)
	// Wait precedes a select, or a receive, of the code on done and ended: a scheduler
	// returns when one of them is ready. action follows the branch of ended. A nil ended is
	// never ready; a nil done means that the code does not wait.
	Wait(action spec.Action, at Attempt, done, ended <-chan struct{})
	// Took is called at the end of the action's critical section, under the
	// lifecycle's lock: the order of the calls is that of the sections.
	Took(action spec.Action, at Attempt)
	// Go returns the function that the code's go statement runs instead of f; nil: the
	// scheduler runs f in a goroutine of its own.
	Go(f func()) func()
}

// Attempt is an attempt of a lifecycle, for a scheduler.
type Attempt interface {
	// Number returns the attempt's number, 0 while it is queued. Number and View may be
	// called only while every goroutine of the lifecycle is at a point, or from Took.
	Number() uint64
	// View reads the attempt's own fields.
	View(*View)
}

// View has the fields of an attempt.
type View struct {
	Number      uint64 // 0: queued, not started
	Op          spec.Op
	Held        int   // parts held
	Open        bool  // the gate admits uses
	InUse       int   // admitted uses that have not ended
	Forced      bool  // the drain was cut short
	RelErr      bool  // a release failed
	Reported    bool  // a failure of the present try was reported before open returned
	Waiters     int   // callers in Start without an answer
	Stoppers    int   // callers in Stop or Shutdown without an answer
	Answered    bool  // its Start callers have their result
	StartErr    error // that result
	Finished    bool  // its stoppers have their result
	StopErr     error // that result
	RollbackErr error // why it is rolled back; nil: it is not

	Acquiring string // the argument of the last Scope.Part of this try
}

// Machine has the fields of a lifecycle.
type Machine struct {
	StateWord spec.State // as State loads it
	State     spec.State // as looplab/fsm has it
	Closing   bool
	Begun     uint64  // how many attempts have started
	Current   Attempt // nil: none since the last one ended
	Queued    Attempt // nil: no Start waits for the next one
	Opened    Attempt // the attempt whose gate Acquire tries; nil: none

	Due      bool // a restart is due (fsm.WithRestart)
	Again    bool // the current attempt is a restart
	Restarts int  // the restarts in a row
}

// Restart has the fields of a lifecycle's supervisor (fsm.WithRestart).
type Restart struct {
	AwaitingDelay bool // Next of the Backoff is running
	DiedAgain     bool // another restart became due since it began
	Timer         bool // the timer of the restart is set
}

// Package fsm sets these when it is initialised. l is a *fsm.Lifecycle, and lease a
// *fsm.Lease, of any resource.
var (
	// WithHook returns an fsm.Option.
	WithHook func(Hook) any
	// Inspect reads a lifecycle's fields, as View does.
	Inspect func(l any) Machine
	// InspectRestart reads the fields of its supervisor, which must exist.
	InspectRestart func(l any) Restart
	// LeaseOf returns the attempt of a lease; nil for a zero lease.
	LeaseOf func(lease any) Attempt
	// Timeout runs the function of an attempt's start timer, at any time.
	Timeout func(a Attempt)
	// TimerOfRestart returns the function of the timer of the pending restart, which may
	// then run even after the restart was cancelled. Nil: none is pending.
	TimerOfRestart func(l any) func()
	// Fire passes the event to the lifecycle's state machine, without other effects, to show
	// that it refuses an event that the transition table lacks. It may be called only while
	// every goroutine of the lifecycle is at a point.
	Fire func(l any, e spec.Event) error
)
