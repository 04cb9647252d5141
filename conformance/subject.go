package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Lifecycle is what is tested. Its context-less calls ignore the context.
type Lifecycle interface {
	Start(context.Context) error
	Stop(context.Context) error
}

// A Shutdowner can be stopped for good, see Final.
type Shutdowner interface {
	Shutdown(context.Context) error
}

// A User lends its resource while f runs, see DrainsUses. f's context is one that
// ends if the resource is taken away.
type User interface {
	Use(ctx context.Context, f func(context.Context) error) error
}

// A Subject is a lifecycle to be tested, and what it offers.
type Subject struct {
	// New makes one that was never started, and calls no hook. It is called once for each schedule.
	New func(*Hooks) Lifecycle

	// Capabilities are what it offers. It is brought into no other situation; in those it has to keep the whole contract.
	Capabilities Capability

	// Parts is how many parts an attempt acquires, by OpenPart, one after the
	// other; zero is one. With more than one the rollback of some of them is tested (G4).
	Parts int

	// Schedules is how many are drawn; zero is 2,000, and 500 with -short. Each is of
	// some ten steps. It is rounded up to a multiple of -rapid.checks. Where a guarantee that is offered was not reached as many again are drawn.
	Schedules int

	// Patience is how long, in real time, it may be busy between two steps before it counts as one that never comes
	// to rest (G12); zero is 20 seconds. Nothing waits that long unless something spins.
	Patience time.Duration
}

// Capability is a set of things that a lifecycle may offer. One that is not
// declared takes situations out of what is asked; it never makes the contract
// weaker for the rest. A Stop that returns nil while something is held breaks G7 whatever is declared.
type Capability uint32

const (
	// Idempotent: Start of a started one, Stop of a stopped one and of one that was never started
	// return nil and run nothing (G2).
	Idempotent Capability = 1 << iota
	// ErrorsOnRepeat: such a call returns an error instead, and has no effect. With
	// neither of the two no call is repeated.
	ErrorsOnRepeat
	// JoinsStarts: Starts may come while another call is under way (G1; with Retries G5).
	JoinsStarts
	// JoinsStops: Stops may come while another one is under way.
	JoinsStops
	// Restarts: a Start after a Stop opens again.
	Restarts
	// Retries: a Start after one that failed opens again.
	Retries
	// StopsStarts: a Stop may come while it is opening, and then it does not come up (G8).
	StopsStarts
	// HeedsContext: a Start returns once its own context ends, and takes nobody with it (G6, G12).
	HeedsContext
	// HeedsStopContext: a Stop or Shutdown returns once its own context ends (G9, G12). What it has begun goes on; without
	// DrainsUses a Stop may also leave what is open as it was.
	HeedsStopContext
	// CancelsOpen: the context that Open is given ends when nobody wants the attempt any more, and not before (G6, G8).
	CancelsOpen
	// ContainsPanics: an Open that panics or exits is one that fails (G4).
	ContainsPanics
	// KeepsCause: a Start that fails because of Open returns an error that errors.Is what Open returned; a Stop of what
	// is open returns an error if a release did (G14).
	KeepsCause
	// DrainsUses: it is a User, and a release waits for uses (G9, G10).
	DrainsUses
	// Final: it is a Shutdowner, and after Shutdown nothing opens (G11).
	Final
	// HearsOfDeath: it gives the attempt's failure function to Hooks.OnDeath (G13).
	HearsOfDeath
	// RefusesReentry: Start and Stop with the context that a hook was given return an error at once (G15).
	RefusesReentry

	numCapabilities = iota
)

// Everything is all that can be offered: every capability but ErrorsOnRepeat.
const Everything = 1<<numCapabilities - 1 - ErrorsOnRepeat

var capabilityNames = [numCapabilities]string{"Idempotent", "ErrorsOnRepeat", "JoinsStarts", "JoinsStops", "Restarts", "Retries",
	"StopsStarts", "HeedsContext", "HeedsStopContext", "CancelsOpen", "ContainsPanics", "KeepsCause", "DrainsUses", "Final",
	"HearsOfDeath", "RefusesReentry"}

// String is the names, with bars between them.
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

// offered says what has to be declared for each guarantee to be asked as a whole; those that
// are not here are asked of every subject.
var offered = map[string]Capability{
	"G1": JoinsStarts, "G2": Idempotent, "G5": JoinsStarts | Retries, "G6": HeedsContext, "G8": StopsStarts,
	"G9": DrainsUses, "G10": DrainsUses, "G11": Final, "G13": HearsOfDeath, "G14": KeepsCause, "G15": RefusesReentry,
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

// Hooks is the resource. Its methods may be called from any goroutine; Open and
// Release block until the suite lets them go on.
type Hooks struct{ run *run }

// Open acquires the resource, the first part of it if it has several. ctx may be nil.
// If it returns nil, the resource is held until Release.
func (h *Hooks) Open(ctx context.Context) error { return h.run.open(ctx, 0) }

// Release gives it back, also where it returns an error. ctx may be nil.
func (h *Hooks) Release(ctx context.Context) error { return h.run.release(ctx, 0) }

// Parts is Subject.Parts, at least 1.
func (h *Hooks) Parts() int { return h.run.parts }

// OpenPart acquires part i, counted from 0; part 0 begins an attempt.
func (h *Hooks) OpenPart(ctx context.Context, i int) error { return h.run.open(ctx, i) }

// ReleasePart gives it back.
func (h *Hooks) ReleasePart(ctx context.Context, i int) error { return h.run.release(ctx, i) }

// OnDeath takes the function by which an attempt can be told that its resource
// has died. Call it before that attempt opens its last part. report is called in a goroutine of the suite's, also late.
func (h *Hooks) OnDeath(report func(error)) { h.run.onDeath(report) }
