// Package history checks a history of a lifecycle against the contract (package abstract):
// the calls, returns and hook events of free-running goroutines, in one order. It is for
// tests and package conformance.
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

// Kind is the kind of an Event.
type Kind uint8

// Each event is stamped either before what it announces or after what it reports. So its comment
// here is true at its place in the order.
const (
	// Call: a caller is about to make the call Call with the context Context; Ended: that has ended already.
	Call Kind = iota
	// Return: the call has returned Out.
	Return
	// Admitted: the caller's use has been admitted.
	Admitted
	// WasCut: the caller has seen that its use was cut off.
	WasCut
	// NotCut: directly before, the context of the caller's use of attempt Attempt had not ended.
	NotCut
	// UseMayEnd: the caller is about to end its use.
	UseMayEnd
	// ContextMayEnd: context number Context is about to be cancelled.
	ContextMayEnd
	// OpenBegun: the open of attempt Attempt runs.
	OpenBegun
	// OpenReturns: the open is about to return, or to fail, panic or exit (Bad). It holds Part parts.
	OpenReturns
	// ReleaseBegun: the release of part Part of the attempt runs.
	ReleaseBegun
	// ReleaseReturns: the release is about to return, or to fail in any way (Bad).
	ReleaseReturns
	// FailCalled: a failure of attempt Attempt is about to be reported.
	FailCalled
	// FailReturned: the report has returned.
	FailReturned
	// Restarting: a resource that dies is restarted. It is the first event.
	Restarting
	// BackoffAnswers: the Backoff of the restarts is about to allow another one, or to give up (Bad).
	BackoffAnswers
	numKinds
)

var kindNames = [...]string{"Call", "Return", "Admitted", "WasCut", "NotCut", "UseMayEnd",
	"ContextMayEnd", "OpenBegun", "OpenReturns", "ReleaseBegun", "ReleaseReturns", "FailCalled", "FailReturned", "Restarting", "BackoffAnswers",
	"Quiet", "Inside", "Left", "Crashed", "Spins", "PartHeld"}

func (k Kind) String() string { return kindNames[k] }

// maxContexts is the largest number of contexts that end in a history.
const maxContexts = 63

// OfCaller reports whether the event is a caller's: then Event.Caller is set.
func (k Kind) OfCaller() bool { return k <= UseMayEnd }

// An Event is one event of a history.
type Event struct {
	Kind    Kind
	Caller  uint8
	Call    abstract.Call // Call: InStart, InStop, InShut or InUse
	Context uint8         // 0: a context that never ends
	Ended   bool
	Out     abstract.Result // Return
	Attempt int
	Part    int
	Bad     bool
	Said    string // Return: the text of the error, for readers

	// Only Follow uses these.
	May       Outs // Return: unless 0, the result is one of these
	Refusable bool // Return with May: it may have had no effect, because the request had been made already
	Unbegun   bool // Return with May: as its own context ended, a Stop may have left the resource open
	Lost      bool // Return: an error that should wrap the cause of the attempt's failure, and does not
	Panicked  bool // Return, OpenReturns: by a panic or runtime.Goexit
	Rest      Rest // Quiet
}

// Foreign is a result that no call may return, for example the cause of another caller's
// context.
const Foreign abstract.Out = 255

// String returns, for example, "c1 Return ok".
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

// Result returns the result of a Return, in words.
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

// A History has events in the order of their stamps.
type History []Event

// String returns one line for each event.
func (h History) String() string {
	var b strings.Builder
	for i, e := range h {
		fmt.Fprintf(&b, "%3d  %v\n", i+1, e)
	}
	return b.String()
}

// Calls returns the number of calls.
func (h History) Calls() (n int) {
	for _, e := range h {
		if e.Kind == Call {
			n++
		}
	}
	return n
}

// A Recorder collects events from any number of goroutines. Their order is that of one
// atomic counter: Log takes the stamp of an event, between the actions of its goroutine.
type Recorder struct {
	clock  atomic.Int64
	mu     sync.Mutex
	events []stamped
}

type stamped struct {
	at int64
	Event
}

// Log stamps and keeps e.
func (r *Recorder) Log(e Event) { r.LogAt(r.Stamp(), e) }

// Stamp returns a place in the order, for an event that is logged later.
func (r *Recorder) Stamp() int64 { return r.clock.Add(1) }

// LogAt keeps e at a place that Stamp returned.
func (r *Recorder) LogAt(at int64, e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, stamped{at, e})
}

// History returns the logged events, in order.
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
