// Package record lets a test observe the cores of a producer: it passes a function into a
// producer, without a build tag and without a name in package producer's public interface.
package record

import (
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
)

// A Hook is passed by a test to a producer.
type Hook struct {
	// Event, if not nil, is called with every accepted event of a core, and its outcome. The
	// calls for a partition are in order, under its lock. Those for events that use shared
	// state are in order over all partitions. Event must not call the producer.
	Event func(Event)
	// Limits are the limits of the producer's ids; zero means Kafka's.
	Limits core.Limits
}

// Into passes a hook to a *producer.Config. Package producer sets it when it is initialised.
var Into func(config any, h Hook)

// An Event is an event of a core. Fields that its kind does not use are zero.
type Event struct {
	Kind      core.Event
	Topic     string // "": an event of the producer, Start or NewID
	Partition int

	First   core.Message // Admit, Withdraw
	Values  []string     // Admit: the values of the messages
	N       int          // Take: the number of messages
	Request core.Request // Take, Send: the request that they returned
	Answer  core.Answer
	Records []int32 // Answer
	ID      int64   // NewID

	Decided []core.Decided // the verdicts that the event led to
	Changed bool           // as in core.Outcome
	State   core.State     // of the core after the event
}

// Led returns the event with its outcome.
func (e Event) Led(out core.Outcome) Event {
	e.Decided, e.Changed = slices.Clone(out.Decided), out.Changed
	return e
}

// Asked returns the event with the request that it returned.
func (e Event) Asked(r core.Request) Event {
	e.Request = r
	e.Request.Messages = slices.Clone(r.Messages)
	return e
}
