package spec

import (
	"fmt"
	"strconv"
	"strings"
)

// The capacity of a Snapshot. As it is fixed, a Snapshot is comparable, can be a map key,
// and is copied without an allocation.
const (
	MaxCallers  = 8  // callers of a lifecycle
	MaxAttempts = 16 // attempts of a lifecycle, see Bound.Attempts
)

// PC is the place of a caller in its call: pc in tla/Algorithm.tla.
type PC uint8

// The places of a caller. The names are those of the TLA+, with the prefix PC.
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
	PCDrop               // its use has ended after the gate was closed
	PCDone               // has its result
	PCWait               // waits in Start
	PCStopWait           // waits in Stop
	PCShutWait           // waits in Shutdown
)

var pcNames = []string{
	"idle", "start", "enter", "stop", "shut", "use", "add", "slow", "using", "drop", "done",
	"wait", "stopwait", "shutwait",
}

// Op is the phase of an attempt's operation: op in tla/Algorithm.tla.
type Op uint8

// The phases of an operation.
const (
	OpNone    Op = iota // no goroutine of this attempt runs
	OpOpen              // open runs
	OpDrain             // waits for the admitted uses to end
	OpRelease           // releases the parts
)

var opNames = []string{"none", "open", "drain", "release"}

// Fate is the reason why an attempt is rolled back: fate in tla/Algorithm.tla.
type Fate uint8

// The reasons for a rollback.
const (
	FateNone      Fate = iota // it is not rolled back
	FateFailed                // by its open, the start timeout or a failure report
	FateAbandoned             // its last waiter left
	FateStopped               // by a Stop
	FateClosed                // by a Shutdown
)

var fateNames = []string{"none", "failed", "abandoned", "stopped", "closed"}

// Out is the result of a call, decided but perhaps not yet returned: the first element of
// the pair out in tla/Algorithm.tla.
type Out uint8

// The results. CallerVars.N is the second element of the pair: for OutFailed the attempt
// that failed, for OutCut the number of uses that were cut off.
const (
	OutNone       Out = iota // not decided
	OutOK                    // nil
	OutCtx                   // the caller's context ended
	OutStopped               // ErrStopped
	OutClosed                // ErrClosed
	OutNotStarted            // ErrNotStarted
	OutRelErr                // a release failed
	OutFailed                // the attempt N failed
	OutCut                   // the drain was forced with N uses in flight
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
	// Held is how many parts it holds. In the TLA+ held[g] is the sequence of the parts.
	// open acquires them in the order 1..NParts, and a release takes the last one: the
	// sequence is always 1..Held. Code that makes a Snapshot from TLC's dump, or from an
	// implementation, has to check that.
	Held     uint8
	Reported bool // a failure of its present try was reported, and open has not returned
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
	N     uint8 // see Out
}

// Snapshot is the value of every variable of tla/Algorithm.tla at one instant.
// Its zero value is the specification's Init. Two Snapshots are the same state if and only
// if they are equal. Entries beyond a bound's callers and attempts are zero.
type Snapshot struct {
	St       State
	Gen      uint8                    // how many attempts have started; also the number of the current one
	Closing  bool                     // Shutdown has been called
	Cur      uint8                    // the attempt whose gate Acquire tries (0: none)
	Due      bool                     // a restart is due: Starts wait for it
	Again    bool                     // the current attempt is a restart
	Restarts uint8                    // how many restarts were made in a row
	Calls    uint8                    // calls made so far
	Fails    uint8                    // failures reported so far
	Attempts [MaxAttempts]AttemptVars // attempt g is at g-1, see Attempt
	Callers  [MaxCallers]CallerVars
}

// Attempt returns the variables of attempt g, counted from 1 as in the TLA+.
func (s *Snapshot) Attempt(g uint8) *AttemptVars { return &s.Attempts[g-1] }

// String returns the snapshot on one line: the machine, then each attempt and caller that
// differs from its initial value, with the variables that do.
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

// Difference is a difference between an implementation and the model: in the value of a
// variable or, if Var is VarEnabled, in whether a step is enabled.
type Difference struct {
	Var       string // the variable's name in the TLA+, or one of the constants below
	Index     string // the attempt or caller: "2", "c1"; for a step "StopEnter(c1)"; otherwise empty
	Want, Got string // the model's value, the implementation's value
}

// VarEnabled is the Var of a Difference in whether a step is enabled.
const VarEnabled = "enabled"

// The names of the fields that are compared in addition to the variables of the TLA+.
const (
	VarPanic   = "panic"   // the code panicked; Want is the state
	VarOpens   = "opens"   // how often open was called
	VarContext = "context" // whether the context of open is live
)

// Missing returns the difference of a step that only the model can take.
func Missing[T AnyStep](st T) Difference { return Difference{VarEnabled, st.String(), "yes", "no"} }

// Extra returns the difference of a step that only the implementation can take.
func Extra[T AnyStep](st T) Difference { return Difference{VarEnabled, st.String(), "no", "yes"} }

// String returns, for example, "held[1]: want 2, got 1".
func (d Difference) String() string {
	name := d.Var
	if d.Index != "" {
		name += "[" + d.Index + "]"
	}
	return name + ": want " + d.Want + ", got " + d.Got
}

// Diff returns every variable in which got differs from want, in the order of the TLA+.
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
