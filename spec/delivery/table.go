package delivery

import (
	"fmt"
	"slices"
)

// Core is where the core of a partition is: what of a Partition decides which events
// can come next. After an attempt that may have been appended it is in doubt.
type Core uint8

// Where a core is.
const (
	Empty        Core = iota // no batch is under way
	Waiting                  // the batch waits for its first or next attempt
	Writing                  // a request with it is being written
	Awaiting                 // it is written whole, and an answer may be on its way
	DoubtWaiting             // the same three, of a batch that an earlier request may have appended
	DoubtWriting
	DoubtAwaiting
	Closed // the producer is stopped; a start makes another core

	numCores = iota
)

var coreNames = [numCores]string{
	"Empty", "Waiting", "Writing", "Awaiting", "DoubtWaiting", "DoubtWriting", "DoubtAwaiting", "Closed",
}

func (c Core) String() string { return nameOf(coreNames[:], uint8(c)) }

// Core returns where the core of partition p is, counted from 0.
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

// OfCore reports whether the action is an event of a partition's core. The others are
// of the producer alone, or of leaders: they change no core.
func (a Action) OfCore() bool { return a <= Free && a != Stop }

// Row is one thing that an event can do to a core: from From it may lead to To.
type Row struct {
	Event    Action
	From, To Core
}

// String reads "Take: Empty -> Waiting".
func (r Row) String() string { return fmt.Sprintf("%v: %v -> %v", r.Event, r.From, r.To) }

// Table returns a copy of the table of a core, sorted by event, then by source, then
// by target. It is complete: an event in a source without a row must be refused. It is
// a relation: an event may have several targets in one source, and that which leads
// nowhere else has a row, too.
func Table() []Row { return slices.Clone(table[:]) }
