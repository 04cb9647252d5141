package fsm

import (
	"errors"
	"fmt"
	"strings"
)

// Conditions, for errors.Is.
var (
	// ErrNotStarted: a use was asked for while nothing is open (G10).
	ErrNotStarted = errors.New("fsm: not started")
	// ErrStopped: a Stop took effect while the Start was waiting (G8).
	ErrStopped = errors.New("fsm: stopped")
	// ErrClosed: Shutdown or Close has been called; nothing will be opened again (G11).
	ErrClosed = errors.New("fsm: closed")
	// ErrReentrant: the call's context is one that this lifecycle handed to an
	// open, release or use that has not ended; the call would wait for itself (G15).
	ErrReentrant = errors.New("fsm: called from within its own open, release or use")
)

var (
	errExited  = errors.New("runtime.Goexit was called")
	errNoCause = errors.New("the resource failed; no cause was given")
)

// StartError is why an attempt to start failed (G14). Start returns it to every
// caller that waited for that attempt.
type StartError struct {
	Attempt  uint64 // which attempt it was, counted from 1
	Part     string // what was being acquired, as named by Scope.Part; may be empty
	Err      error  // open's error, a *PanicError, context.DeadlineExceeded for the start timeout, or what Scope.Fail was given
	Rollback error  // what failed while the parts were being given back; nil if nothing did
}

// Error says which attempt failed, at which part, and why.
func (e *StartError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fsm: start: attempt %d", e.Attempt)
	if e.Part != "" {
		fmt.Fprintf(&b, ": %s", e.Part)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.Rollback != nil {
		fmt.Fprintf(&b, " (rollback: %v)", e.Rollback)
	}
	return b.String()
}

// Unwrap returns Err and, if there is one, Rollback.
func (e *StartError) Unwrap() []error {
	if e.Rollback == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Rollback}
}

// StopError is why a Stop, Shutdown or Close did not end cleanly (G9).
type StopError struct {
	Part   string // the first part whose release failed; empty if none did
	CutOff int    // admitted uses that were cut off because this caller left
	Err    error  // the releases' errors joined, or the cause of the caller's context
}

// Error says what failed, and how many uses were cut off.
func (e *StopError) Error() string {
	var b strings.Builder
	b.WriteString("fsm: stop: ")
	switch {
	case e.CutOff == 1:
		b.WriteString("1 use cut off: ")
	case e.CutOff != 0:
		fmt.Fprintf(&b, "%d uses cut off: ", e.CutOff)
	}
	fmt.Fprintf(&b, "%v", e.Err)
	return b.String()
}

// Unwrap returns Err.
func (e *StopError) Unwrap() error { return e.Err }

// PanicError is a panic of an open or a release, kept from unwinding further (G4).
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // where, as debug.Stack prints it
}

// Error says what was passed to panic; the stack is left to whoever wants it.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns Value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
