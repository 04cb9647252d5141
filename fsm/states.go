package fsm

import "github.com/seed3893aba4/surestart/spec"

// State is the state of a Lifecycle: Idle (the zero value), Starting, Started, Stopping or
// Closed. String returns the name.
type State = spec.State

// The states. The package comment has their diagram.
const (
	Idle     = spec.Idle
	Starting = spec.Starting
	Started  = spec.Started
	Stopping = spec.Stopping // releasing the parts; no Start joins
	Closed   = spec.Closed   // final
)

// Event is the event of a Transition. String returns the name.
type Event = spec.Event

// The events. The package comment has their diagram.
const (
	EventStart     = spec.EventStart     // an attempt begins: a Start when Idle or after a release, or a restart
	EventOpened    = spec.EventOpened    // open has returned, all parts are held
	EventFailed    = spec.EventFailed    // open returned an error, panicked or called runtime.Goexit
	EventAbandoned = spec.EventAbandoned // the last caller left
	EventTimeout   = spec.EventTimeout   // the start timeout has passed
	EventStop      = spec.EventStop      // Stop
	EventShutdown  = spec.EventShutdown  // Shutdown or Close
	EventDied      = spec.EventDied      // a failure was reported: Scope.Fail, Lease.Fail
	EventReleased  = spec.EventReleased  // everything is released
	EventClosed    = spec.EventClosed    // everything is released, for good
)
