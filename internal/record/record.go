// Package record is how a test gets to know what the cores of a producer do: it carries a
// function into a producer, without a build tag and without a name in package producer's public
// interface.
package record

import (
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
)

// Hook is what a test gives to a producer.
type Hook struct {
	// Event, if not nil, is called with every event of a core that is not refused, and what it
	// led to. The calls for a partition come in their order, under its lock; those for events
	// that use what the partitions share come in their order over all partitions. Event must
	// not call the producer.
	Event func(Event)
	// Limits are those of the producer's ids; zero: Kafka's.
	Limits core.Limits
}

// Into gives a hook to a *producer.Config. Package producer sets it when it is initialised.
var Into func(config any, h Hook)

// Event is an event of a core. Fields that its kind does not have are zero.
type Event struct {
	Kind      core.Event
	Topic     string // "": of the producer, Start and NewID
	Partition int

	First   core.Message // of Admit, Withdraw
	Values  []string     // of Admit: those of the messages
	N       int          // of Take: how many messages
	Request core.Request // that Take and Send returned
	Answer  core.Answer
	Records []int32 // of Answer
	ID      int64   // of NewID

	Decided []core.Decided // that the event led to
	Changed bool           // the same
	State   core.State     // of the core after it
}

// Led returns the event with what it led to.
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
