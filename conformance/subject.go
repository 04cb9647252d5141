package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Lifecycle is tested by the suite. An adapter of methods without a context ignores it.
type Lifecycle interface {
	Start(context.Context) error
	Stop(context.Context) error
}

// A Shutdowner can be stopped for good, see Final.
type Shutdowner interface {
	Shutdown(context.Context) error
}

// A User keeps its resource open while f runs, see DrainsUses. f's context ends if the
// resource is released during f.
type User interface {
	Use(ctx context.Context, f func(context.Context) error) error
}

// A Subject is a lifecycle to be tested, with its capabilities.
type Subject struct {
	// New returns a lifecycle that was never started. It calls no hook, and does not block.
	// It is called once for each schedule.
	New func(*Hooks) Lifecycle

	// Capabilities are those of the lifecycle. The suite brings it only into situations
	// that they allow; there it has to keep the whole contract.
	Capabilities Capability

	// Parts is the number of parts that an attempt acquires, by OpenPart, one after another: 0 to
	// 4, zero means one. With more than one the suite tests the rollback of some of them (G4).
	Parts int

	// Schedules is the number of schedules to draw; zero means 2,000, or 500 with -short. Each has
	// some ten steps. The number is rounded up to a multiple of -rapid.checks. If no schedule
	// reached a guarantee that is offered, as many are drawn again.
	Schedules int

	// Patience is how long, in real time, the lifecycle may be busy between two steps. After that
	// it counts as never quiet (G12). Zero means 20 seconds. Only a lifecycle that spins takes so
	// long.
	Patience time.Duration
}

// Capability is a set of capabilities of a lifecycle. A capability that is not declared excludes
// situations from the test; it does not weaken the contract in the others. A Stop that returns nil
// while a part is held breaks G7, whatever is declared.
type Capability uint32

const (
	// Idempotent: Start when started, and Stop when stopped or never started, return nil
	// and run nothing (G2).
	Idempotent Capability = 1 << iota
	// ErrorsOnRepeat: such a call returns an error instead, and has no effect. With
	// neither of the two no call is repeated.
	ErrorsOnRepeat
	// JoinsStarts: Start may be called during another call (G1; with Retries G5).
	JoinsStarts
	// JoinsStops: Stop may be called during another Stop.
	JoinsStops
	// Restarts: a Start after a Stop opens again.
	Restarts
	// Retries: a Start after a failed one opens again.
	Retries
	// StopsStarts: Stop may be called during a start. The start then does not succeed, unless it
	// has succeeded before the Stop takes effect; with CancelsOpen a Stop takes effect at once (G8).
	StopsStarts
	// HonoursContext: a Start returns once its own context ends, and cancels nothing for
	// other callers (G6, G12).
	HonoursContext
	// HonoursStopContext: a Stop or Shutdown returns once its own context ends (G9, G12). The
	// release goes on; without DrainsUses a Stop may also leave the resource open.
	HonoursStopContext
	// CancelsOpen: the context of Open ends when no caller wants the attempt any more, and
	// not before (G6, G8).
	CancelsOpen
	// ContainsPanics: an Open that panics or exits counts as one that fails (G4).
	ContainsPanics
	// KeepsCause: errors.Is matches the error of a Start that fails because of Open with
	// Open's error; a Stop of an open resource returns an error if a release did (G14).
	KeepsCause
	// DrainsUses: the lifecycle is a User, and a release waits for uses (G9, G10).
	DrainsUses
	// Final: the lifecycle is a Shutdowner, and after Shutdown nothing opens (G11).
	Final
	// ReportsFailure: the lifecycle gives Hooks.OnDeath the function that reports the death
	// of an attempt's resource (G13).
	ReportsFailure
	// RefusesReentry: Start and Stop with the context of a hook return an error at once (G15).
	RefusesReentry

	numCapabilities = iota
)

// Everything has every capability except ErrorsOnRepeat.
const Everything = 1<<numCapabilities - 1 - ErrorsOnRepeat

var capabilityNames = [numCapabilities]string{"Idempotent", "ErrorsOnRepeat", "JoinsStarts", "JoinsStops", "Restarts", "Retries",
	"StopsStarts", "HonoursContext", "HonoursStopContext", "CancelsOpen", "ContainsPanics", "KeepsCause", "DrainsUses", "Final",
	"ReportsFailure", "RefusesReentry"}

// String returns the names, separated by "|".
func (c Capability) String() string {
	var names []string
	for i, name := range capabilityNames {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

func (c Capability) has(all Capability) bool { return c&all == all }

// offered has the capabilities that each guarantee needs to be tested as a whole. The
// guarantees that are not here are tested with every subject.
var offered = map[string]Capability{
	"G1": JoinsStarts, "G2": Idempotent, "G5": JoinsStarts | Retries, "G6": HonoursContext, "G8": StopsStarts,
	"G9": DrainsUses, "G10": DrainsUses, "G11": Final, "G13": ReportsFailure, "G14": KeepsCause, "G15": RefusesReentry,
}

func (s *Subject) check() error {
	switch {
	case s.New == nil:
		return errors.New("Subject.New is nil; want a function that makes a lifecycle around the hooks that it is given")
	case s.Capabilities.has(Idempotent | ErrorsOnRepeat):
		return errors.New("Subject.Capabilities: Idempotent and ErrorsOnRepeat exclude each other; want the one that says what a repeated call returns")
	case s.Capabilities>>numCapabilities != 0:
		return fmt.Errorf("Subject.Capabilities: %#x is unknown; want the constants of this package", uint32(s.Capabilities>>numCapabilities<<numCapabilities))
	case s.Parts < 0 || s.Parts > 4:
		return fmt.Errorf("Subject.Parts is %d; want 0 to 4", s.Parts)
	case s.Schedules < 0:
		return fmt.Errorf("Subject.Schedules is %d; want 0 or more", s.Schedules)
	case s.Patience < 0:
		return fmt.Errorf("Subject.Patience is %v; want 0 or more", s.Patience)
	}
	s.Parts = max(s.Parts, 1)
	if s.Patience == 0 {
		s.Patience = 20 * time.Second
	}
	return nil
}

// Hooks is the resource. Its methods may be called concurrently. Open, OpenPart, Release
// and ReleasePart block until the suite lets them return.
type Hooks struct{ run *run }

// Open acquires the resource, or its first part if it has several. ctx may be nil. If Open
// returns nil, the resource is held until Release.
func (h *Hooks) Open(ctx context.Context) error { return h.run.open(ctx, 0) }

// Release releases the resource, even if it returns an error. ctx may be nil.
func (h *Hooks) Release(ctx context.Context) error { return h.run.release(ctx, 0) }

// Parts returns Subject.Parts, at least 1.
func (h *Hooks) Parts() int { return h.run.parts }

// OpenPart acquires part i, counted from 0; part 0 begins an attempt.
func (h *Hooks) OpenPart(ctx context.Context, i int) error { return h.run.open(ctx, i) }

// ReleasePart releases part i, even if it returns an error. ctx may be nil.
func (h *Hooks) ReleasePart(ctx context.Context, i int) error { return h.run.release(ctx, i) }

// OnDeath sets the function that reports to an attempt that its resource has died. Call
// OnDeath before that attempt opens its last part. The suite calls report in a goroutine
// of its own, perhaps after the attempt has ended. A nil report is a fatal error.
func (h *Hooks) OnDeath(report func(error)) { h.run.onDeath(report) }
