package spec

import (
	"fmt"
	"math/bits"
	"strings"
)

// How much of the model a set of schedules covers. The total is measured in the same way
// on every step of a Graph.

// GuardSides is a set of values of the named guards, for example "MayForce=false".
type GuardSides uint64

func side(g guard, says bool) GuardSides {
	bit := uint(g) * 2
	if says {
		bit++
	}
	return 1 << bit
}

// Len returns the number of values in the set.
func (set GuardSides) Len() int { return bits.OnesCount64(uint64(set)) }

// Names returns the set in the order of the TLA+, each guard's false before its true.
func (set GuardSides) Names() []string {
	var names []string
	for rest := uint64(set); rest != 0; rest &= rest - 1 {
		bit := bits.TrailingZeros64(rest)
		names = append(names, fmt.Sprintf("%s=%t", guardNames[bit/2], bit%2 == 1))
	}
	return names
}

// Decided returns the values of the guards that step st in s depends on. A guard's value
// is included if the guard was evaluated and its opposite value would change the successor,
// enable a disabled step or disable an enabled one. Otherwise the step does not test the
// guard. Undo, and the sets StopTells, Queued and GivesUpFor, have no false that could turn
// into true: only their true can decide.
func (b Bound) Decided(s *Snapshot, st Step) GuardSides {
	var h hook
	b.hook = &h
	plain := *s
	took := b.take(&plain, st)
	evaluated, decided := h.evaluated, GuardSides(0)
	for g := guard(1); g < numGuards; g++ {
		for _, says := range []bool{false, true} {
			if evaluated&side(g, says) == 0 || (g == gMayBegin || g == gWaitsFor) && int(s.Gen) == MaxAttempts {
				continue // a Snapshot has no room for another attempt
			}
			h = hook{altered: g, value: !says}
			other := *s
			if b.take(&other, st) != took || other != plain {
				decided |= side(g, says)
			}
		}
	}
	return decided
}

// Candidates appends to buf every step that the bound knows, enabled or not.
func (b Bound) Candidates(buf []Step) []Step {
	for a := range Action(numActions) {
		if a.OfCaller() {
			for c := range uint8(b.Callers) {
				buf = append(buf, Step{a, c})
			}
			continue
		}
		for g := range uint8(b.Attempts()) {
			buf = append(buf, Step{a, g + 1})
		}
	}
	return buf
}

// Class is a class of steps: the action and its circumstances. It does not identify callers or
// attempts, and it counts them only as none, one or more. The number of classes is therefore
// finite for any bound, and a step of a model with eight callers can have the same class as a
// step of a graph with two callers. Equal classes are ==.
type Class struct {
	Action  Action
	st      State
	closing bool
	due     bool
	again   bool
	queued  few // callers that wait for the next attempt
	joined  few // callers that wait for the attempt of this step to open
	stops   few // callers that wait for it to be released

	// The attempt of this step: the operation's own; for a caller's step the attempt
	// that it waits for or uses, otherwise the current one.
	which    which
	op       Op
	fate     Fate
	held     few // more: all the parts
	reported bool
	open     bool
	inUse    few
	forced   bool
	relErr   bool

	// The caller of this step, if it is a caller's.
	pc    PC
	ended bool
	out   Out
}

// few is a number in a Class: zero, one or more.
type few uint8

const (
	one  few = 1
	more few = 2
)

func fewOf[N int | uint8](n N) few { return few(min(n, 2)) }

// which says which attempt a step concerns.
type which uint8

const (
	whichNone    which = iota // no attempt has begun
	whichCurrent              // the attempt that began last
	whichEarlier
	whichNext // a caller waits for the one after; the circumstances are the current one's
)

var (
	fewNames   = []string{"0", "1", "2+"}
	whichNames = []string{"none", "current", "earlier", "next"}
)

func (v few) String() string   { return nameOf(fewNames, uint8(v)) }
func (v which) String() string { return nameOf(whichNames, uint8(v)) }

// Class returns the class of step st in s.
func (b Bound) Class(s *Snapshot, st Step) Class {
	k := Class{Action: st.Action, st: s.St, closing: s.Closing, due: s.Due, again: s.Again, queued: fewOf(bits.OnesCount8(uint8(joined(s, s.Gen+1))))}
	g := st.Arg
	if st.Action.OfCaller() {
		v := &s.Callers[st.Arg]
		k.pc, k.ended, k.out = v.PC, v.Ended, v.Out
		g = v.On
	}
	switch {
	case g == s.Gen+1:
		k.which, g = whichNext, s.Gen
	case g == 0 && s.Gen == 0:
		return k
	case g == 0 || g == s.Gen:
		k.which, g = whichCurrent, s.Gen
	default:
		k.which = whichEarlier
	}
	if g == 0 {
		return k
	}
	k.joined = fewOf(bits.OnesCount8(uint8(joined(s, g))))
	k.stops = fewOf(bits.OnesCount8(uint8(stoppers(s, g))))
	a := s.Attempt(g)
	k.reported = a.Reported
	k.op, k.fate, k.open, k.inUse, k.forced, k.relErr = a.Op, a.Fate, a.Open, fewOf(a.InUse), a.Forced, a.RelErr
	switch {
	case a.Held == 0:
	case int(a.Held) == b.Parts:
		k.held = more
	default:
		k.held = one
	}
	return k
}

// String returns, for example, "StopLeave in Stopping, op=drain inuse=1 stops=2+
// pc=stopwait ended". It leaves out zero values.
func (k Class) String() string {
	var t strings.Builder
	fmt.Fprintf(&t, "%v in %v,", k.Action, k.st)
	for _, f := range []struct {
		name string
		v    interface{ String() string }
		zero bool
	}{
		{"queued", k.queued, k.queued == 0}, {"joined", k.joined, k.joined == 0}, {"stops", k.stops, k.stops == 0},
		{"attempt", k.which, k.which <= whichCurrent}, {"op", k.op, k.op == 0}, {"fate", k.fate, k.fate == 0},
		{"inuse", k.inUse, k.inUse == 0}, {"pc", k.pc, k.pc == 0}, {"out", k.out, k.out == 0},
	} {
		flag(&t, !f.zero, " "+f.name+"="+f.v.String())
	}
	t.WriteString(" held=" + []string{"none", "some", "all"}[k.held])
	flag(&t, k.closing, " closing")
	flag(&t, k.due, " due")
	flag(&t, k.again, " again")
	flag(&t, k.reported, " reported")
	flag(&t, k.open, " open")
	flag(&t, k.forced, " forced")
	flag(&t, k.relErr, " relerr")
	flag(&t, k.ended, " ended")
	return t.String()
}
