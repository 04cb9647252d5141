// Package abstract is the contract, tla/Abstract.tla, as an executable model: the same
// variables, the same actions, the same graph (a test compares the two, both ways).
// Package history checks the events of real goroutines against it.
package abstract

import "fmt"

// MaxCallers is the largest number of callers in a State.
const MaxCallers = 6

// Res is the state of the resource.
type Res uint8

// The values of res.
const (
	Empty Res = iota
	Opening
	Open
	Closing
)

// Call is the place of a caller in its call.
type Call uint8

// The values of call. InStart, InStop, InShut and InUse are "start", "stop", "shut" and
// "use": called, without an effect yet.
const (
	Idle Call = iota
	InStart
	Join
	InStop
	StopWait
	InShut
	ShutWait
	InUse
	Using
	Cut
	Done
)

// Out is the result of a call, or the reason why an opening is undone.
type Out uint8

// The values of the first element of out, and of why.
const (
	None Out = iota
	Ok
	Ctx
	Failed
	Stopped
	Closed
	NotStarted
	RelErr
	CutOff
	Abandoned // only a value of why
)

var (
	resNames  = [...]string{"empty", "opening", "open", "closing"}
	callNames = [...]string{"idle", "start", "join", "stop", "stopwait", "shut", "shutwait", "use", "using", "cut", "done"}
	outNames  = [...]string{"none", "ok", "ctx", "failed", "stopped", "closed", "notstarted", "relerr", "cut", "abandoned"}
)

func (r Res) String() string  { return resNames[r] }
func (c Call) String() string { return callNames[c] }
func (o Out) String() string  { return outNames[o] }

// Result is the result of a call. N is the number of uses that were cut off for CutOff,
// otherwise 0.
type Result struct {
	Out Out
	N   uint8
}

// String returns, for example, "cut 2".
func (r Result) String() string {
	if r.N > 0 {
		return fmt.Sprintf("%v %d", r.Out, r.N)
	}
	return r.Out.String()
}

// State has the values of the variables of tla/Abstract.tla. Callers that a model does not
// have are always idle.
type State struct {
	Restarts bool // the constant: a resource that died is restarted

	Res   Res
	Why   Out
	Final bool
	Due   bool // a restart is due
	Again bool // the opening, or its undoing, is a restart
	Call  [MaxCallers]Call
	Ended [MaxCallers]bool
	Out   [MaxCallers]Result
}

// Init returns the initial state.
func Init() State { return State{} }

// Set is a set of callers.
type Set uint8

// Has reports whether caller c is in the set.
func (s Set) Has(c int) bool { return s&(1<<c) != 0 }

// Len returns the number of callers in the set.
func (s Set) Len() (n int) {
	for ; s != 0; s &= s - 1 {
		n++
	}
	return n
}

// At returns the set of callers that are at place.
func (s *State) At(place Call) (at Set) {
	for c, where := range s.Call {
		if where == place {
			at |= 1 << c
		}
	}
	return at
}

// Stopping returns the set of callers that wait for the end of a closing.
func (s *State) Stopping() Set { return s.At(StopWait) | s.At(ShutWait) }

func (s *State) answer(c int, r Result) { s.Call[c], s.Out[c] = Done, r }

// verdict returns the result of the Starts that c, a Stop or a Shutdown, ends.
func (s *State) verdict(c int) Out {
	if s.Call[c] == InStop {
		return Stopped
	}
	return Closed
}
