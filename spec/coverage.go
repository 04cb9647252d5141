package spec

import (
	"fmt"
	"math/bits"
	"strings"
)

// What a set of schedules has covered of the model. That which exists is found by
// asking the same of every step of a Graph, so no denominator is made up.

// GuardSides is a set of answers of the named guards: "MayForce=false".
type GuardSides uint64

func side(g guard, says bool) GuardSides {
	bit := uint(g) * 2
	if says {
		bit++
	}
	return 1 << bit
}

// Len returns how many answers are in the set.
func (set GuardSides) Len() int { return bits.OnesCount64(uint64(set)) }

// Names lists the set in the order of the TLA+, each guard's false before its true.
func (set GuardSides) Names() []string {
	var names []string
	for rest := uint64(set); rest != 0; rest &= rest - 1 {
		bit := bits.TrailingZeros64(rest)
		names = append(names, fmt.Sprintf("%s=%t", guardNames[bit/2], bit%2 == 1))
	}
	return names
}

// Decided returns the guards' answers on which step st in s depends: each guard
// that was asked, with what it said, if the opposite answer would have made
// another successor, or would have let a step be taken that is refused, or refused
// one that is taken. A guard that is asked where the answer makes no difference
// was not tested there. Undo, and the sets StopTells, Queued and GivesUpFor, have
// no false to turn into a true: only their true can decide.
func (b Bound) Decided(s *Snapshot, st Step) GuardSides {
	var h hook
	b.hook = &h
	plain := *s
	took := b.take(&plain, st)
	asked, decided := h.asked, GuardSides(0)
	for g := guard(1); g < numGuards; g++ {
		for _, says := range []bool{false, true} {
			if asked&side(g, says) == 0 || (g == gMayBegin || g == gWaitsFor) && int(s.Gen) == MaxAttempts {
				continue // the latter: a Snapshot could not hold the attempt more
			}
			h = hook{altered: g, answer: !says}
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

// Class is a kind of step: what is taken, and in what circumstances. Callers and
// attempts have no names in it, and what there can be any number of is none, one
// or more. So the classes are finitely many, whatever the bound, and a step of
// eight callers can be of one that a graph of two callers has.
type Class struct {
	Action  Action
	St      State
	Closing bool
	Due     bool
	Again   bool
	Queued  Few // callers that wait for the next attempt
	Joined  Few // callers that wait for the attempt of this step to open
	Stops   Few // callers that wait for it to be released

	// The attempt of this step: an operation's own; of a caller the one that it
	// waits for or uses, or else the current one.
	Which    Which
	Op       Op
	Fate     Fate
	Held     Few // More: all the parts
	Reported bool
	Open     bool
	InUse    Few
	Forced   bool
	RelErr   bool

	// The caller of this step, if it is one's.
	PC    PC
	Ended bool
	Out   Out
}

// Few is a number, as far as a Class tells numbers apart.
type Few uint8

// The numbers.
const (
	Zero Few = iota
	One
	More
)

func few[N int | uint8](n N) Few { return Few(min(n, 2)) }

// Which attempt a step is about.
type Which uint8

// The attempts, as seen from the step.
const (
	WhichNone    Which = iota // there has been none
	WhichCurrent              // the one that was begun last
	WhichEarlier
	WhichNext // a caller waits for the one after; the circumstances are the current one's
)

var (
	fewNames   = []string{"0", "1", "2+"}
	whichNames = []string{"none", "current", "earlier", "next"}
)

func (v Few) String() string   { return nameOf(fewNames, uint8(v)) }
func (v Which) String() string { return nameOf(whichNames, uint8(v)) }

// Class returns the class of step st in s.
func (b Bound) Class(s *Snapshot, st Step) Class {
	k := Class{Action: st.Action, St: s.St, Closing: s.Closing, Due: s.Due, Again: s.Again, Queued: few(bits.OnesCount8(uint8(joined(s, s.Gen+1))))}
	g := st.Arg
	if st.Action.OfCaller() {
		v := &s.Callers[st.Arg]
		k.PC, k.Ended, k.Out = v.PC, v.Ended, v.Out
		g = v.On
	}
	switch {
	case g == s.Gen+1:
		k.Which, g = WhichNext, s.Gen
	case g == 0 && s.Gen == 0:
		return k
	case g == 0 || g == s.Gen:
		k.Which, g = WhichCurrent, s.Gen
	default:
		k.Which = WhichEarlier
	}
	if g == 0 {
		return k
	}
	k.Joined = few(bits.OnesCount8(uint8(joined(s, g))))
	k.Stops = few(bits.OnesCount8(uint8(stoppers(s, g))))
	a := s.Attempt(g)
	k.Reported = a.Reported
	k.Op, k.Fate, k.Open, k.InUse, k.Forced, k.RelErr = a.Op, a.Fate, a.Open, few(a.InUse), a.Forced, a.RelErr
	switch {
	case a.Held == 0:
	case int(a.Held) == b.Parts:
		k.Held = More
	default:
		k.Held = One
	}
	return k
}

// String reads "StopLeave in Stopping, op=drain inuse=1 stops=2+ pc=stopwait ended":
// what is zero is left out.
func (k Class) String() string {
	var t strings.Builder
	fmt.Fprintf(&t, "%v in %v,", k.Action, k.St)
	for _, f := range []struct {
		name string
		v    interface{ String() string }
		zero bool
	}{
		{"queued", k.Queued, k.Queued == 0}, {"joined", k.Joined, k.Joined == 0}, {"stops", k.Stops, k.Stops == 0},
		{"attempt", k.Which, k.Which <= WhichCurrent}, {"op", k.Op, k.Op == 0}, {"fate", k.Fate, k.Fate == 0},
		{"inuse", k.InUse, k.InUse == 0}, {"pc", k.PC, k.PC == 0}, {"out", k.Out, k.Out == 0},
	} {
		flag(&t, !f.zero, " "+f.name+"="+f.v.String())
	}
	t.WriteString(" held=" + []string{"none", "some", "all"}[k.Held])
	flag(&t, k.Closing, " closing")
	flag(&t, k.Due, " due")
	flag(&t, k.Again, " again")
	flag(&t, k.Reported, " reported")
	flag(&t, k.Open, " open")
	flag(&t, k.Forced, " forced")
	flag(&t, k.RelErr, " relerr")
	flag(&t, k.Ended, " ended")
	return t.String()
}
