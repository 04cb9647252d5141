// Package abstract is the contract, tla/Abstract.tla, as an executable model: the
// same variables, the same actions, the same graph (a test compares the two, both
// ways). What real threads do is checked against it, see package history.
package abstract

import "fmt"

// MaxCallers is how many callers a State has room for.
const MaxCallers = 6

// Res is where the resource is.
type Res uint8

// The values of res.
const (
	Empty Res = iota
	Opening
	Open
	Closing
)

// Call is where a caller is in its call.
type Call uint8

// The values of call. InStart, InStop, InShut and InUse are "start", "stop",
// "shut" and "use": invoked, without effect as yet.
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

// Out is how a call ends, and why an opening is undone.
type Out uint8

// The values of out's first half, and of why.
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
	Abandoned // why only
)

var (
	resNames  = [...]string{"empty", "opening", "open", "closing"}
	callNames = [...]string{"idle", "start", "join", "stop", "stopwait", "shut", "shutwait", "use", "using", "cut", "done"}
	outNames  = [...]string{"none", "ok", "ctx", "failed", "stopped", "closed", "notstarted", "relerr", "cut", "abandoned"}
)

func (r Res) String() string  { return resNames[r] }
func (c Call) String() string { return callNames[c] }
func (o Out) String() string  { return outNames[o] }

// Result is a call's result: N is 0 but for CutOff, where it is how many uses were cut off.
type Result struct {
	Out Out
	N   uint8
}

// String reads "cut 2".
func (r Result) String() string {
	if r.N > 0 {
		return fmt.Sprintf("%v %d", r.Out, r.N)
	}
	return r.Out.String()
}

// State is a value of the variables of tla/Abstract.tla. A caller that a model
// does not have is idle for ever.
type State struct {
	Restarts bool // the constant: what died is started again

	Res   Res
	Why   Out
	Final bool
	Due   bool // what died is to be started again
	Again bool // the opening, or its undoing, is of such a restart
	Call  [MaxCallers]Call
	Ended [MaxCallers]bool
	Out   [MaxCallers]Result
}

// Init is the initial state.
func Init() State { return State{} }

// Set is a set of callers.
type Set uint8

// Has says whether caller c is in the set.
func (s Set) Has(c int) bool { return s&(1<<c) != 0 }

// Len is the number of callers in the set.
func (s Set) Len() (n int) {
	for ; s != 0; s &= s - 1 {
		n++
	}
	return n
}

// At is the set of callers that are at place.
func (s *State) At(place Call) (at Set) {
	for c, where := range s.Call {
		if where == place {
			at |= 1 << c
		}
	}
	return at
}

// Stopping is the set of callers that wait for a closing to end.
func (s *State) Stopping() Set { return s.At(StopWait) | s.At(ShutWait) }

func (s *State) answer(c int, r Result) { s.Call[c], s.Out[c] = Done, r }

// verdict is what c, a Stop or a Shutdown, has the Starts told that it ends.
func (s *State) verdict(c int) Out {
	if s.Call[c] == InStop {
		return Stopped
	}
	return Closed
}
