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

// Status is a snapshot of a Lifecycle at one instant.
type Status struct {
	State     State     `json:"state"`
	Attempt   uint64    `json:"attempt"`             // the latest attempt that has started, counted from 1; 0: none
	Since     time.Time `json:"since"`               // the time of the last transition, or of New
	Waiters   int       `json:"waiters"`             // callers that wait in Start, Stop and Shutdown
	InFlight  int       `json:"inFlight"`            // admitted uses of the latest attempt that have not ended
	Acquiring string    `json:"acquiring,omitempty"` // the part that the running open acquires (Scope.Part); empty: none is named
	Held      []string  `json:"held,omitempty"`      // the parts held, in the order of acquiring
	Releasing string    `json:"releasing,omitempty"` // the part whose release is running; Held has it until that returns
	// Cause is the error of the last attempt that failed (a *StartError), the cause of the
	// resource's death (as given to Fail), or the error of the last release that failed (a
	// *StopError). It is nil after a successful start (G14).
	Cause error `json:"-"` // its text: see MarshalJSON
	// RestartAt is when a resource that died is started again (WithRestart). It is zero if
	// no restart is due, or its time is not yet known.
	RestartAt time.Time `json:"restartAt,omitzero"`
	// Stopped reports whether a Stop or Shutdown took effect and no attempt has started since.
	Stopped bool `json:"stopped,omitempty"`
	// Undelivered is the number of transitions, and of steps for a Tracer, from which the
	// slowest observer has not yet returned. See FlushObservers.
	Undelivered int `json:"undelivered,omitempty"`
}

// Status returns a snapshot of the lifecycle. It does not block. It may be called in every
// state, also from an observer, open or a release.
func (l *Lifecycle[R]) Status() Status {
	l.mustBeMade()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{State: l.State(), Attempt: l.begun, Since: l.since, Cause: l.cause, Stopped: l.stopped, Undelivered: l.undeliveredLocked()}
	if l.queued != nil {
		s.Waiters = l.queued.waiters
	}
	if l.supervisor != nil {
		s.RestartAt = l.supervisor.restartAt
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

// String returns the Status on one line, for people. It quotes the name of a part and the
// text of a cause, as strconv.Quote does, if they contain characters that do not print, for
// example a line feed. It also quotes a name that is empty or contains a separator.
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

// MarshalJSON writes the fields, the state by its name and, unless Cause is nil, the text
// of Cause as "cause".
func (s Status) MarshalJSON() ([]byte, error) {
	type fields Status
	return json.Marshal(struct {
		fields
		Cause string `json:"cause,omitempty"`
	}{fields(s), text(s.Cause)})
}

// LogValue returns String, for slog.
func (s Status) LogValue() slog.Value { return slog.StringValue(s.String()) }
