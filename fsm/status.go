package fsm

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/spec"
)

// Status is what a Lifecycle was doing at one instant.
type Status struct {
	State     State     `json:"state"`
	Attempt   uint64    `json:"attempt"`             // the latest attempt begun, counted from 1; 0: none yet
	Since     time.Time `json:"since"`               // of the last transition, or of New
	Waiters   int       `json:"waiters"`             // callers in Start, Stop and Shutdown that wait
	InFlight  int       `json:"inFlight"`            // admitted uses that have not ended, of the latest attempt
	Acquiring string    `json:"acquiring,omitempty"` // what open, which runs, is acquiring (Scope.Part); empty: it has not said
	Held      []string  `json:"held,omitempty"`      // the parts held, in the order of acquiring
	Releasing string    `json:"releasing,omitempty"` // the part whose release is running; it is held until that returns
	// Cause is why the last attempt failed (a *StartError), the resource died
	// (what Fail was given) or the last release failed (a *StopError); nil after a
	// successful start (G14).
	Cause error `json:"-"` // its text: see MarshalJSON
	// RestartAt is when the resource, which died, is started again (WithRestart);
	// zero: nothing is due, or it is not yet released.
	RestartAt time.Time `json:"restartAt,omitzero"`
	// Undelivered is how many transitions, and steps of a Tracer, wait until an observer
	// has received them: those of the observer that is furthest behind. One that it is
	// being called for is among them. See FlushObservers.
	Undelivered int `json:"undelivered,omitempty"`
}

// Status returns what the lifecycle is doing. It does not block.
func (l *Lifecycle[R]) Status() Status {
	l.mustBeMade()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{State: l.State(), Attempt: l.begun, Since: l.since, Cause: l.cause, Undelivered: l.undeliveredLocked()}
	if l.queued != nil {
		s.Waiters = l.queued.waiters
	}
	if l.supervisor != nil {
		s.RestartAt = l.supervisor.at
	}
	a := l.current
	if a == nil {
		return s
	}
	s.Waiters += a.waiters + a.stoppers
	s.InFlight = a.inUseLocked()
	if a.op == spec.OpOpen {
		s.Acquiring = a.acquiring
	}
	for _, p := range a.parts {
		s.Held = append(s.Held, p.name)
	}
	if a.releasing != nil {
		s.Releasing = a.releasing.name
		s.Held = append(s.Held, s.Releasing)
	}
	return s
}

func (a *attempt[R]) inUseLocked() int {
	if n := a.gate.Load(); n >= 0 {
		return int(n)
	}
	return a.inUse
}

// String is the Status on one line, for a person. The name of a part and the text of a
// cause are quoted, as by strconv.Quote, if they hold what does not print (a line feed,
// an escape sequence); a name also if it holds what separates the names.
func (s Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v since %s, attempt %d", s.State, s.Since.Format(time.RFC3339), s.Attempt)
	for i, part := range s.Held {
		b.WriteString([]string{"; held: ", ", "}[min(i, 1)] + printableName(part))
	}
	if s.Acquiring != "" {
		fmt.Fprintf(&b, "; acquiring: %s", printableName(s.Acquiring))
	}
	if s.Releasing != "" {
		fmt.Fprintf(&b, "; releasing: %s", printableName(s.Releasing))
	}
	if s.InFlight > 0 {
		fmt.Fprintf(&b, "; in flight: %d", s.InFlight)
	}
	if s.Waiters > 0 {
		fmt.Fprintf(&b, "; waiting: %d", s.Waiters)
	}
	if s.Cause != nil {
		fmt.Fprintf(&b, "; cause: %s", printable(text(s.Cause)))
	}
	if !s.RestartAt.IsZero() {
		fmt.Fprintf(&b, "; starts again at %s", s.RestartAt.Format(time.RFC3339))
	}
	if s.Undelivered > 0 {
		fmt.Fprintf(&b, "; undelivered: %d", s.Undelivered)
	}
	return b.String()
}

// printable returns s if all of it prints on one line, else s quoted.
func printable(s string) string {
	if oneline.Escape(s) != s {
		return strconv.Quote(s)
	}
	return s
}

func printableName(s string) string {
	if s == "" || strings.ContainsAny(s, `,;"`) {
		return strconv.Quote(s)
	}
	return printable(s)
}

// MarshalJSON writes the state's name and, as "cause", the text of Cause if there is one.
func (s Status) MarshalJSON() ([]byte, error) {
	type fields Status
	return json.Marshal(struct {
		fields
		Cause string `json:"cause,omitempty"`
	}{fields(s), text(s.Cause)})
}

// LogValue is String, for slog.
func (s Status) LogValue() slog.Value { return slog.StringValue(s.String()) }
