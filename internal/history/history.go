// Package history checks what free-running goroutines did with a lifecycle
// against its contract (package abstract): the calls and returns, and what the
// resource's own hooks saw, in one order. It is for tests; nothing that ships
// depends on it.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed3893aba4/surestart/internal/abstract"
)

// Kind is what happened.
type Kind uint8

// Each event is stamped either before what it announces or after what it
// reports, so that its place in the order is one at which what is said here of it
// is true.
const (
	// Call: a caller is about to call; Call says what, Context with which context, Ended that this had ended by then.
	Call Kind = iota
	// Return: the call has returned Out.
	Return
	// Admitted: the caller's use has been admitted.
	Admitted
	// WasCut: the caller has seen that its use was cut off.
	WasCut
	// NotCut: the context of the caller's use, of attempt Attempt, had not ended yet, seen right after.
	NotCut
	// UseMayEnd: the caller is about to end its use.
	UseMayEnd
	// ContextMayEnd: context number Context is about to be cancelled.
	ContextMayEnd
	// OpenBegun: the open of attempt Attempt runs.
	OpenBegun
	// OpenReturns: it is about to return, fail, panic or exit (Bad), and holds Part parts.
	OpenReturns
	// ReleaseBegun: the release of part Part of the attempt runs.
	ReleaseBegun
	// ReleaseReturns: it is about to return, or to fail in any way (Bad).
	ReleaseReturns
	// FailCalled: a failure of attempt Attempt is about to be reported.
	FailCalled
	// FailReturned: the report has returned.
	FailReturned
	// Restarting: what died is started again. It comes first.
	Restarting
	// BackoffAnswers: the Backoff of the restarts is about to say that there is one more, or none (Bad).
	BackoffAnswers
	numKinds
)

var kindNames = [...]string{"Call", "Return", "Admitted", "WasCut", "NotCut", "UseMayEnd",
	"ContextMayEnd", "OpenBegun", "OpenReturns", "ReleaseBegun", "ReleaseReturns", "FailCalled", "FailReturned", "Restarting", "BackoffAnswers",
	"Quiet", "Inside", "Left", "Crashed", "Spins", "PartHeld"}

func (k Kind) String() string { return kindNames[k] }

// MaxContexts is how many contexts that end a history has room for.
const MaxContexts = 63

// OfCaller says whether the event is one of a caller's, so that Event.Caller means something.
func (k Kind) OfCaller() bool { return k <= UseMayEnd }

// Event is one line of a history.
type Event struct {
	Kind    Kind
	Caller  uint8
	Call    abstract.Call // of Call: InStart, InStop, InShut or InUse
	Context uint8         // 0: none that ends
	Ended   bool
	Out     abstract.Result // of Return
	Attempt int
	Part    int
	Bad     bool
	Said    string // of Return: the error in full, for whoever reads a failure

	// Only Follow knows what follows.
	May       Outs // of Return, unless 0: Out is one of these, it cannot be told which
	Refusable bool // of Return with May: it may say that it had no effect, since it was asked for already
	Unbegun   bool // of Return with May: by its own context's end, a Stop may have left what is open as it was
	Lost      bool // of Return: an error that should say why the attempt failed, and does not
	Panicked  bool // of Return: by a panic or runtime.Goexit; of OpenReturns: so does it
	Rest      Rest // of Quiet
}

// Foreign is the result of a call that returned what no call may: another's
// context's cause, say.
const Foreign abstract.Out = 255

// String reads "c1 Return ok".
func (e Event) String() string {
	switch e.Kind {
	case Call:
		s := fmt.Sprintf("c%d Call %v", e.Caller+1, e.Call)
		if e.Context != 0 {
			s += fmt.Sprintf(" with x%d", e.Context)
		}
		if e.Ended {
			s += ", which has ended"
		}
		return s
	case Return:
		return fmt.Sprintf("c%d Return %s", e.Caller+1, e.Result())
	}
	if e.Kind.OfCaller() {
		return fmt.Sprintf("c%d %v", e.Caller+1, e.Kind)
	}
	if e.Kind >= numKinds {
		return e.Kind.String()
	}
	switch e.Kind {
	case ContextMayEnd:
		return fmt.Sprintf("ContextMayEnd of x%d", e.Context)
	case Restarting:
		return e.Kind.String()
	case BackoffAnswers:
		return e.Kind.String() + map[bool]string{false: " again", true: " that it gives up"}[e.Bad]
	}
	s := fmt.Sprintf("%v of attempt %d", e.Kind, e.Attempt)
	switch e.Kind {
	case OpenReturns:
		s += fmt.Sprintf(" with %d parts", e.Part)
	case ReleaseBegun, ReleaseReturns:
		s += fmt.Sprintf(", part %d", e.Part)
	}
	if e.Bad {
		s += ": failed"
	}
	return s
}

// Result is what the call of a Return ended with, in words.
func (e Event) Result() string {
	text := "what no call may"
	if e.Out.Out != Foreign {
		text = e.Out.String()
	}
	if e.Said != "" {
		text += ": " + e.Said
	}
	return text
}

// History is events in the order in which they were stamped.
type History []Event

// String has an event on each line.
func (h History) String() string {
	var b strings.Builder
	for i, e := range h {
		fmt.Fprintf(&b, "%3d  %v\n", i+1, e)
	}
	return b.String()
}

// Calls is the number of calls in it.
func (h History) Calls() (n int) {
	for _, e := range h {
		if e.Kind == Call {
			n++
		}
	}
	return n
}

// Recorder collects events from any number of goroutines. The order is that of
// one atomic counter: an event's stamp is taken in Log, between what the
// goroutine did before and what it does after.
type Recorder struct {
	clock  atomic.Int64
	mu     sync.Mutex
	events []stamped
}

type stamped struct {
	at int64
	Event
}

// Log stamps e and keeps it.
func (r *Recorder) Log(e Event) { r.LogAt(r.Stamp(), e) }

// Stamp is a place in the order, for an event that depends on what is seen after it.
func (r *Recorder) Stamp() int64 { return r.clock.Add(1) }

// LogAt keeps e at a place that Stamp gave.
func (r *Recorder) LogAt(at int64, e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, stamped{at, e})
}

// History returns what was logged, in order.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.events, func(x, y stamped) int { return cmp.Compare(x.at, y.at) })
	h := make(History, len(r.events))
	for i, e := range r.events {
		h[i] = e.Event
	}
	return h
}
