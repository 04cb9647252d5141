package spec

import (
	"fmt"
	"strconv"
	"strings"
)

// The capacity of a Snapshot. It is fixed, so that a Snapshot is comparable, a
// map key, and copied without allocating.
const (
	MaxCallers  = 8  // callers of a lifecycle
	MaxAttempts = 16 // attempts of a lifecycle, see Bound.Attempts
)

// PC is where a caller is in its call: pc in tla/Algorithm.tla.
type PC uint8

// Where a caller is. The names are those of the TLA+, with the prefix PC.
const (
	PCIdle     PC = iota // between calls
	PCStart              // in Start, before the fast path's load
	PCEnter              // in Start, before the critical section
	PCStop               // in Stop, before the critical section
	PCShut               // in Shutdown, before the critical section
	PCUse                // in Acquire, before the load of the current attempt
	PCAdd                // in Acquire, before the gate
	PCSlow               // in Acquire, refused by the gate
	PCUsing              // holds an admitted use
	PCDrop               // its use has ended on a gate that was closed meanwhile
	PCDone               // has its result
	PCWait               // waits in Start
	PCStopWait           // waits in Stop
	PCShutWait           // waits in Shutdown
)

var pcNames = []string{
	"idle", "start", "enter", "stop", "shut", "use", "add", "slow", "using", "drop", "done",
	"wait", "stopwait", "shutwait",
}

// Op is where an attempt's operation is: op in tla/Algorithm.tla.
type Op uint8

// Where an operation is.
const (
	OpNone    Op = iota // no goroutine of this attempt runs
	OpOpen              // open runs
	OpDrain             // waits for the admitted uses to end
	OpRelease           // gives the parts back
)

var opNames = []string{"none", "open", "drain", "release"}

// Fate is why an attempt is rolled back: fate in tla/Algorithm.tla.
type Fate uint8

// Why an attempt is rolled back.
const (
	FateNone      Fate = iota
	FateFailed         // by its open, the start timeout or a failure report
	FateAbandoned      // its last waiter left
	FateStopped        // by a Stop
	FateClosed         // by a Shutdown
)

var fateNames = []string{"none", "failed", "abandoned", "stopped", "closed"}

// Out is the result of a call, fixed but perhaps not yet returned: the first of
// the pair out in tla/Algorithm.tla.
type Out uint8

// Results. N in CallerVars is the second of the pair: for OutFailed the attempt
// whose error it is, for OutCut the number of uses that were cut off.
const (
	OutNone       Out = iota
	OutOK             // nil
	OutCtx            // the caller's context ended
	OutStopped        // ErrStopped
	OutClosed         // ErrClosed
	OutNotStarted     // ErrNotStarted
	OutRelErr         // a release failed
	OutFailed         // the attempt N failed
	OutCut            // the drain was forced with N uses in flight
)

var outNames = []string{"none", "ok", "ctx", "stopped", "closed", "notstarted", "relerr", "failed", "cut"}

func (v PC) String() string   { return nameOf(pcNames, uint8(v)) }
func (v Op) String() string   { return nameOf(opNames, uint8(v)) }
func (v Fate) String() string { return nameOf(fateNames, uint8(v)) }
func (v Out) String() string  { return nameOf(outNames, uint8(v)) }

func nameOf(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "?" + strconv.Itoa(int(v))
}

// AttemptVars are the variables of one attempt.
type AttemptVars struct {
	Op Op
	// Held is how many parts it holds. In the TLA+ held[g] is the sequence of
	// the parts, but open acquires them in the order 1..NParts and a release
	// takes the last, so the sequence is always 1..Held: its length is all of it.
	// Whoever reads a Snapshot from elsewhere (TLC's dump, an implementation)
	// has to check that the sequence is so.
	Held     uint8
	Reported bool // a failure of its present try was reported; open has yet to return
	Fate     Fate
	Open     bool  // its gate admits uses
	InUse    uint8 // its admitted uses that have not ended
	Forced   bool  // its drain was cut short
	RelErr   bool  // a release of it failed
}

// CallerVars are the variables of one caller.
type CallerVars struct {
	PC    PC
	On    uint8 // the attempt that it waits for or uses
	Ended bool  // its call's context has ended
	Out   Out
	N     uint8 // the second of the pair out, see Out
}

// Snapshot is the value of every variable of tla/Algorithm.tla at one instant.
// Its zero value is the specification's Init. Two are the same state exactly
// when they are ==. Entries beyond a bound's callers and calls are zero.
type Snapshot struct {
	St       State
	Gen      uint8                    // the number of attempts begun; also the current one's number
	Closing  bool                     // Shutdown has been called
	Cur      uint8                    // the attempt whose gate Acquire tries (0: none)
	Due      bool                     // what died is to be started again: Starts wait for that
	Again    bool                     // the attempt under way is such a restart
	Restarts uint8                    // how many restarts were made in a row
	Calls    uint8                    // calls made so far
	Fails    uint8                    // failures reported so far
	Attempts [MaxAttempts]AttemptVars // attempt g is at g-1, see Attempt
	Callers  [MaxCallers]CallerVars
}

// Attempt returns the variables of attempt g, counted from 1 as in the TLA+.
func (s *Snapshot) Attempt(g uint8) *AttemptVars { return &s.Attempts[g-1] }

// String returns the snapshot on one line: the machine, then each attempt and
// caller that is not at its initial value, with what is not at its own.
func (s Snapshot) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v gen=%d cur=%d", s.St, s.Gen, s.Cur)
	if s.Closing {
		b.WriteString(" closing")
	}
	flag(&b, s.Due, " due")
	flag(&b, s.Again, " again")
	flag(&b, s.Restarts != 0, " restarts="+strconv.Itoa(int(s.Restarts)))
	fmt.Fprintf(&b, " calls=%d fails=%d", s.Calls, s.Fails)
	for i, a := range s.Attempts {
		if a != (AttemptVars{}) {
			fmt.Fprintf(&b, " | #%d op=%v held=%d", i+1, a.Op, a.Held)
			flag(&b, a.Reported, " reported")
			flag(&b, a.Fate != 0, " fate="+a.Fate.String())
			flag(&b, a.Open, " open")
			flag(&b, a.InUse != 0, " inuse="+strconv.Itoa(int(a.InUse)))
			flag(&b, a.Forced, " forced")
			flag(&b, a.RelErr, " relerr")
		}
	}
	for i, c := range s.Callers {
		if c != (CallerVars{}) {
			fmt.Fprintf(&b, " | c%d %v", i+1, c.PC)
			flag(&b, c.On != 0, " on="+strconv.Itoa(int(c.On)))
			flag(&b, c.Ended, " ended")
			flag(&b, c.Out != 0 || c.N != 0, " out="+c.result())
		}
	}
	return b.String()
}

func (c CallerVars) result() string {
	if c.N != 0 {
		return c.Out.String() + "," + strconv.Itoa(int(c.N))
	}
	return c.Out.String()
}

func flag(b *strings.Builder, on bool, text string) {
	if on {
		b.WriteString(text)
	}
}

// Difference is one thing in which an implementation and the model differ: the
// value of a variable, or (when Var is VarEnabled) whether a step is enabled.
type Difference struct {
	Var       string // the variable's name in the TLA+, or VarEnabled
	Index     string // the attempt or caller: "2", "c1"; for a step "StopEnter(c1)"; else empty
	Want, Got string // what the model says, what was found
}

// VarEnabled is the Var of a Difference in what can happen next.
const VarEnabled = "enabled"

// What is compared beside the variables of the TLA+.
const (
	VarPanic   = "panic"   // that there was none; Want is the state
	VarOpens   = "opens"   // how often open was called
	VarContext = "context" // whether the context that open was given is live
)

// Missing is the difference of a step that the model takes and the other does not.
func Missing[T AnyStep](st T) Difference { return Difference{VarEnabled, st.String(), "yes", "no"} }

// Extra is the difference of a step that the model does not take and the other does.
func Extra[T AnyStep](st T) Difference { return Difference{VarEnabled, st.String(), "no", "yes"} }

// String reads "held[1]: want 2, got 1".
func (d Difference) String() string {
	name := d.Var
	if d.Index != "" {
		name += "[" + d.Index + "]"
	}
	return name + ": want " + d.Want + ", got " + d.Got
}

// Diff names every variable in which got differs from want, in the order of the TLA+.
func Diff(want, got Snapshot) []Difference {
	var ds []Difference
	add := func(name, index string, w, g any) {
		if w != g {
			ds = append(ds, Difference{name, index, fmt.Sprint(w), fmt.Sprint(g)})
		}
	}
	add("st", "", want.St, got.St)
	add("gen", "", want.Gen, got.Gen)
	add("closing", "", want.Closing, got.Closing)
	add("cur", "", want.Cur, got.Cur)
	add("due", "", want.Due, got.Due)
	add("again", "", want.Again, got.Again)
	add("restarts", "", want.Restarts, got.Restarts)
	for i := range want.Attempts {
		w, g, index := want.Attempts[i], got.Attempts[i], strconv.Itoa(i+1)
		if w == g {
			continue
		}
		add("op", index, w.Op, g.Op)
		add("held", index, w.Held, g.Held)
		add("reported", index, w.Reported, g.Reported)
		add("fate", index, w.Fate, g.Fate)
		add("open", index, w.Open, g.Open)
		add("inuse", index, w.InUse, g.InUse)
		add("forced", index, w.Forced, g.Forced)
		add("relerr", index, w.RelErr, g.RelErr)
	}
	for i := range want.Callers {
		w, g, index := want.Callers[i], got.Callers[i], "c"+strconv.Itoa(i+1)
		if w == g {
			continue
		}
		add("pc", index, w.PC, g.PC)
		add("on", index, w.On, g.On)
		add("ended", index, w.Ended, g.Ended)
		add("out", index, w.result(), g.result())
	}
	add("calls", "", want.Calls, got.Calls)
	add("fails", "", want.Fails, got.Fails)
	return ds
}
