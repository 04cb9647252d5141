package delivery

import (
	"fmt"
	"slices"
)

// Core is the state of the core of a partition, as far as it decides which events can come
// next. After an attempt that may have been appended, the core is in doubt.
type Core uint8

// The states of a core.
const (
	Empty        Core = iota // no batch is under way
	Waiting                  // the batch waits for its first or next attempt
	Writing                  // a request with it is being written
	Awaiting                 // it is written whole, and an answer may be on its way
	DoubtWaiting             // from here on: an earlier request may have appended the batch
	DoubtWriting
	DoubtAwaiting
	Closed // the producer is stopped; a start makes another core

	numCores = iota
)

var coreNames = [numCores]string{
	"Empty", "Waiting", "Writing", "Awaiting", "DoubtWaiting", "DoubtWriting", "DoubtAwaiting", "Closed",
}

func (c Core) String() string { return nameOf(coreNames[:], uint8(c)) }

// Core returns the state of the core of partition p, counted from 0.
func (s *State) Core(p int) Core {
	pt := &s.Partitions[p]
	var c Core
	switch {
	case s.Run == RunStopped:
		return Closed
	case !pt.HasBatch():
		return Empty
	case pt.Wire == WireIdle:
		c = Waiting
	case pt.Wire == WireWriting:
		c = Writing
	default:
		c = Awaiting
	}
	if pt.Batch.Maybe {
		c += DoubtWaiting - Waiting
	}
	return c
}

// OfCore reports whether the action is an event of a partition's core. The other actions,
// of the producer alone or of leaders, change no core.
func (a Action) OfCore() bool { return a <= Free && a != Stop }

// Row is one transition of a core: in state From, Event may lead to To.
type Row struct {
	Event    Action
	From, To Core
}

// String returns, for example, "Take: Empty -> Waiting".
func (r Row) String() string { return fmt.Sprintf("%v: %v -> %v", r.Event, r.From, r.To) }

// Table returns a copy of the table of a core, sorted by event, then by source, then by target. It
// is complete: an event in a source without a row must be refused. It is a relation: an event may
// have several targets in one source, and an event that does not change the state has a row, too.
func Table() []Row { return slices.Clone(table[:]) }
