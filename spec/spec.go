// Package spec is a Go rendering of the TLA+ specification of a lifecycle (tla/): its states and events, the
// transition table that the code runs, an executable model of the algorithm, and the
// guarantees. Tests compare the code with the model.
//
// The table is generated from the state graph that TLC, the model checker, dumps (go
// generate ./spec). Tests check that the model and that graph have the same states and the
// same labelled edges. A difference between an implementation and this package is therefore a
// difference between the implementation and the TLA+.
//
// Programs that use package fsm do not need this package. It is for tools that draw, check
// or compare lifecycles.
//
// Files:
//   - spec.go: states, events, the table's rows; table_gen.go: the table and
//     the recorded numbers of states and edges, generated
//   - snapshot.go: the value of every variable of tla/Algorithm.tla
//   - algorithm.go: the actions and steps of tla/Algorithm.tla; guards.go, actions.go, actions_op.go:
//     one function for each guard and action of Algorithm.tla, under the same name and in
//     the same order
//   - graph.go: all states and steps within a bound; pins.go: access to the
//     recorded numbers of states and edges
//   - coverage.go: the guards and the classes of steps that a schedule covers
//   - guarantees.go: G1 to G15, and which of them a difference from the model breaks
package spec

import "fmt"

//go:generate ../check table

// State is the state of a lifecycle. The zero value is Idle.
type State uint8

// The states, with the names of tla/Algorithm.tla.
const (
	// Idle: no part is held. A Start begins an attempt.
	Idle State = iota
	// Starting: one attempt is opening. Starts join it.
	Starting
	// Started: all parts are held. Uses are admitted.
	Started
	// Stopping: parts are being released, in a rollback or a release. No Start joins.
	Stopping
	// Closed: no part is held, and nothing is opened again.
	Closed

	numStates = iota
)

var stateNames = [numStates]string{"Idle", "Starting", "Started", "Stopping", "Closed"}

// States lists every state, in order.
func States() []State { return []State{Idle, Starting, Started, Stopping, Closed} }

// String returns the state's name in the specification.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText writes the state's name. It returns an error for a value that is no state.
func (s State) MarshalText() ([]byte, error) {
	if int(s) >= len(stateNames) {
		return nil, fmt.Errorf("spec: no such state: %d", uint8(s))
	}
	return []byte(stateNames[s]), nil
}

// UnmarshalText reads a state's name exactly as String writes it, otherwise it returns an error.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("spec: no such state: %q", text)
}

// Event is the event of a transition. The zero value is EventStart.
type Event uint8

// The events. An event and a source state have at most one destination.
const (
	EventStart     Event = iota // an attempt begins: a Start when Idle or after a release, or a restart
	EventOpened                 // open returned, all parts held
	EventFailed                 // open returned an error, panicked, exited
	EventAbandoned              // the last waiter left
	EventTimeout                // the start timeout fired
	EventStop                   // Stop
	EventShutdown               // Shutdown, Close
	EventDied                   // a failure was reported: Scope.Fail, Lease.Fail
	EventReleased               // everything is released
	EventClosed                 // everything is released, for good

	numEvents = iota
)

var eventNames = [numEvents]string{
	"start", "opened", "failed", "abandoned", "timeout", "stop", "shutdown", "died", "released", "closed",
}

// Events lists every event, in order.
func Events() []Event {
	all := make([]Event, numEvents)
	for i := range all {
		all[i] = Event(i)
	}
	return all
}

// String returns the event's bare name, as the table and looplab/fsm use it.
func (e Event) String() string {
	if int(e) < len(eventNames) {
		return eventNames[e]
	}
	return fmt.Sprintf("Event(%d)", uint8(e))
}

// MarshalText writes the event's name. It returns an error for a value that is no event.
func (e Event) MarshalText() ([]byte, error) {
	if int(e) >= len(eventNames) {
		return nil, fmt.Errorf("spec: no such event: %d", uint8(e))
	}
	return []byte(eventNames[e]), nil
}

// UnmarshalText reads an event's name exactly as String writes it, otherwise it returns an error.
func (e *Event) UnmarshalText(text []byte) error {
	for i, name := range eventNames {
		if name == string(text) {
			*e = Event(i)
			return nil
		}
	}
	return fmt.Errorf("spec: no such event: %q", text)
}

// Row is one transition of the table: in state From, Event leads to To.
type Row struct {
	Event    Event
	From, To State
}

// String returns, for example, "start: Idle -> Starting".
func (r Row) String() string { return fmt.Sprintf("%v: %v -> %v", r.Event, r.From, r.To) }

// Table returns a copy of the transition table, sorted by event, then by source.
// It is complete: an event in a source state without a row must be refused.
func Table() []Row { return append([]Row(nil), table[:]...) }

// Next returns the state to which event leads from state from, or false if the table has no
// such row.
func Next(event Event, from State) (State, bool) {
	for _, r := range table {
		if r.Event == event && r.From == from {
			return r.To, true
		}
	}
	return 0, false
}
