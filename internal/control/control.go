// Package control is how the shipped code of fsm is stepped by a scheduler: it
// carries the hook into a Lifecycle and the Lifecycle's own fields out of it,
// without a build tag and without a name in fsm's public interface.
//
// A point stands before each critical section, atomic instruction and wait of
// fsm, under the name of the action of tla/Algorithm.tla that follows it.
package control

import "github.com/seed3893aba4/surestart/spec"

// Hook is what a scheduler implements. A lifecycle without one never calls it:
// all that it pays is the test of a nil field.
type Hook interface {
	// Point returns when the calling goroutine may go on to the action. at is
	// the attempt that the action concerns, nil where the action finds it itself.
	Point(action spec.Action, at Attempt)
	// Wait stands before a select, or a receive, of done and ended, which is the
	// code's own: a scheduler returns when one of them is ready. action is what
	// follows the branch of ended. A nil ended is never ready; a nil done is where
	// there is nothing to wait for.
	Wait(action spec.Action, at Attempt, done, ended <-chan struct{})
	// Took is called at the end of the action's critical section, under the
	// lifecycle's lock: the order of the calls is that of the sections.
	Took(action spec.Action, at Attempt)
	// Go returns what the code's own go statement runs in the place of f; nil: the
	// scheduler has a goroutine for it.
	Go(f func()) func()
}

// Attempt is an attempt of a lifecycle, seen from outside.
type Attempt interface {
	// Number is the attempt's, 0 while it is queued. It, and View, only while
	// every goroutine of the lifecycle stands at a point, or from Took.
	Number() uint64
	// View reads the attempt's own fields.
	View(*View)
}

// View is what an attempt's fields say.
type View struct {
	Number   uint64 // 0: queued, not begun
	Op       spec.Op
	Held     int   // parts held
	Open     bool  // the gate admits uses
	InUse    int   // admitted uses that have not ended
	Forced   bool  // the drain was cut short
	RelErr   bool  // a release failed
	Reported bool  // a failure of the present try was reported before open returned
	Waiters  int   // callers in Start that were not answered
	Stoppers int   // callers in Stop or Shutdown that were not answered
	Answered bool  // its Start callers have their result
	StartErr error // that result
	Finished bool  // its stoppers have their result
	StopErr  error // that result
	Fate     error // why it is rolled back; nil: it is not

	Acquiring string // the part that open said last, in this try
}

// Machine is what a lifecycle's fields say.
type Machine struct {
	Word    spec.State // what State loads
	State   spec.State // what looplab/fsm says
	Closing bool
	Begun   uint64  // attempts begun
	Current Attempt // nil: none since the last one ended
	Queued  Attempt // nil: nobody waits for the next one
	Gate    Attempt // the attempt whose gate Acquire tries; nil: none

	Due      bool // a restart is to be made (fsm.WithRestart)
	Again    bool // the current attempt is one
	Restarts int  // made in a row
}

// Restart is what a lifecycle's fields say of its supervisor (fsm.WithRestart).
type Restart struct {
	Asking  bool // the Backoff is being asked when
	Renewed bool // and what is due is no longer what it was asked about
	Timer   bool // it has said when
}

// These are set by package fsm when it is initialised. l is a *fsm.Lifecycle,
// lease a *fsm.Lease, of any resource.
var (
	// WithHook returns an fsm.Option.
	WithHook func(Hook) any
	// Inspect reads a lifecycle's fields, as View does.
	Inspect func(l any) Machine
	// InspectRestart reads those of its supervisor, which it has to have.
	InspectRestart func(l any) Restart
	// LeaseOf returns the attempt that a lease is of; nil of a zero one.
	LeaseOf func(lease any) Attempt
	// Timeout is what the start timeout's timer of an attempt runs, however late.
	Timeout func(a Attempt)
	// TimerOfRestart returns what the timer of the restart that is pending runs: to
	// run it also when it has been called off. Nil: none is pending.
	TimerOfRestart func(l any) func()
	// Fire gives the event to a lifecycle's state machine, and nothing else: to
	// see it refused where the transition table does not allow it. Only while every
	// goroutine of the lifecycle stands at a point.
	Fire func(l any, e spec.Event) error
)
