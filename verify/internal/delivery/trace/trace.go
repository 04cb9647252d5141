// Package trace runs the shipped producer, records every event of its cores with its outcome, and
// reads the log back. It decides whether all of that is a behaviour of the model of package
// spec/delivery: of the producer, and of the leaders of its partitions.
//
// The events of the cores are the steps of the model's producer. Steps of the network and the
// leaders are not observed: a request is written whole, a leader appends or refuses, a request
// without a waiting sender arrives late. These steps are inferred. A trace is accepted if the model
// has a behaviour with these events, in their order, each with the recorded outcome. At its end the
// logs must be those that were read back, and the verdicts those that the callers got.
//
// A State holds the messages of a whole trace only with the build tag traces: see
// spec/delivery/capacity.go.
//
// Files:
//   - trace.go: what is recorded
//   - check.go, hidden.go, compare.go: how it is decided
//   - tla.go: how TLC decides it
//   - corrupt.go: what must be refused
//   - run.go, scenarios.go: what is run
//   - tally.go: what the traces show
package trace

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// Trace is what one producer did to the partitions of one topic, over all of its starts.
type Trace struct {
	Name   string // of what made it
	Mode   Mode
	Leader Leader
	Limits core.Limits
	Moves  int // how often a leader was changed

	Events []record.Event
	Logs   [][]Entry               // of each partition, at the end
	Told   map[string]core.Verdict // what callers got, by value; a call refused as a whole gets NotSent
}

// Mode is a mode of the producer: the values of Config.Acks and Config.Idempotence.
type Mode struct {
	Name       string
	Acks       model.Acks
	Idempotent bool
}

// The modes.
var (
	Idempotent = Mode{"idempotent", model.AcksAll, true}
	All        = Mode{"all", model.AcksAll, false}
	One        = Mode{"one", model.AcksOne, false}
	None       = Mode{"none", model.AcksNone, false}

	Modes = []Mode{Idempotent, All, One, None}
)

// Leader describes the leaders of the partitions: see tla/PartitionOnKafka.tla.
type Leader struct {
	ZeroFirst  bool
	EpochPerID bool
	Loses      bool // the next leader may lack what one has appended
}

// The leaders of the brokers that traces are made on. The embedded cluster has one log for all its
// brokers, and one broker of Apache Kafka has no replicas. Neither loses what it has appended.
var (
	Kfake    = Leader{ZeroFirst: true, EpochPerID: true}
	Kafka    = Leader{}
	Replicas = Leader{Loses: true}
)

// Entry is a record of a log.
type Entry struct {
	Value string
	ID    int64
	Epoch int16
}

// Recorder records the events of a producer. Its Event is the function of a record.Hook.
type Recorder struct {
	mu     sync.Mutex
	events []record.Event
}

// Event records an event.
func (r *Recorder) Event(e record.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Events returns what was recorded.
func (r *Recorder) Events() []record.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Clone copies a trace deeply enough that the lists of the copy can be altered.
func (t *Trace) Clone() *Trace {
	c := *t
	c.Events = slices.Clone(t.Events)
	c.Logs = slices.Clone(t.Logs)
	for i := range c.Logs {
		c.Logs[i] = slices.Clone(c.Logs[i])
	}
	c.Told = maps.Clone(t.Told)
	return &c
}

// bound returns the bound of the model that the trace is checked against.
func (t *Trace) bound() model.Bound {
	const far = 1000 // beyond what a trace comes to
	return model.Bound{
		Partitions: len(t.Logs), Acks: t.Mode.Acks, Idempotent: t.Mode.Idempotent,
		MaxBatch: model.Capacity, MaxMessages: model.Capacity, MaxIDs: model.CapacityIDs,
		MaxSequence: int(min(t.Limits.MaxSequence, far)), EpochLimit: int(min(t.Limits.EpochLimit, far)), MaxEpoch: int(min(t.Limits.MaxEpoch, far)),
		MaxStarts: far, MaxFrees: far, MaxMoves: far, MaxLog: model.Capacity,
		Codes: model.AllCodes, ZeroFirst: t.Leader.ZeroFirst, EpochPerID: t.Leader.EpochPerID,
	}
}

// show returns the event on one line.
func show(e record.Event) string {
	s := fmt.Sprint(e.Kind)
	if e.Topic != "" {
		s = fmt.Sprintf("p%d %s", e.Partition+1, s)
	}
	switch e.Kind {
	case core.EventAdmit:
		s += fmt.Sprintf(" %q as %d", e.Values, e.First)
	case core.EventWithdraw:
		s += fmt.Sprintf(" %d", e.First)
	case core.EventTake, core.EventSend:
		r := e.Request
		s += fmt.Sprintf(" %v@%d.%d.%d", r.Messages, r.ID, r.Epoch, r.Sequence)
		if r.Again {
			s += " again"
		}
	case core.EventAnswer:
		s += " " + e.Answer.String()
		if e.Records != nil {
			s += fmt.Sprint(e.Records)
		}
	case core.EventNewID:
		s += fmt.Sprintf(" %d", e.ID)
	}
	for _, d := range e.Decided {
		s += fmt.Sprintf(" %d-%d:%v", d.First, d.Last, d.Verdict)
	}
	return s
}
