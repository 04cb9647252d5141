package fsm

import "github.com/seed3893aba4/surestart/spec"

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

// Event is why a Lifecycle changes its state, see Transition. String returns the name.
type Event = spec.Event

// The events, see the package's picture.
const (
	EventStart     = spec.EventStart     // a Start finds it Idle, or had waited for the end of a release
	EventOpened    = spec.EventOpened    // open has returned, all parts are held
	EventFailed    = spec.EventFailed    // open returned an error, panicked or called runtime.Goexit
	EventAbandoned = spec.EventAbandoned // the last caller left
	EventTimeout   = spec.EventTimeout   // the start timeout has passed
	EventStop      = spec.EventStop      // Stop
	EventShutdown  = spec.EventShutdown  // Shutdown or Close
	EventDied      = spec.EventDied      // a failure was reported: Scope.Fail, Lease.Fail
	EventReleased  = spec.EventReleased  // everything is given back
	EventClosed    = spec.EventClosed    // everything is given back, for good
)
