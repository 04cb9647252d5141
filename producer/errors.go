package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
)

// Every message that WriteMessages could not deliver failed as exactly one of
// these, by errors.Is.
var (
	// ErrNotSent: no request with the message left this process. It is not in the
	// log; sending it again cannot duplicate it.
	ErrNotSent = errors.New("producer: not sent")
	// ErrMaybeDelivered: a request with the message left, or still may, and what
	// became of it is not known. It may be in the log; sending it again may
	// duplicate it.
	ErrMaybeDelivered = errors.New("producer: maybe delivered")
	// ErrRejected: a broker refused the message, or a limit did that a broker
	// would have enforced. It is not in the log. Temporary tells whether the same
	// message may be accepted later.
	ErrRejected = errors.New("producer: rejected")
)

// ErrPartial is what a Ping returns if some partitions have no leader, and all else
// is well: of every declared topic some partitions can be written to.
var ErrPartial = errors.New("some partitions have no leader")

// The lifecycle's conditions, by the names that a user of this package looks for.
var (
	// ErrNotStarted: the producer is not started, or is stopping (G10). A write
	// that gets it is ErrNotSent too.
	ErrNotStarted = fsm.ErrNotStarted
	// ErrStopped: a Stop took effect while a Start was waiting (G8).
	ErrStopped = fsm.ErrStopped
	// ErrClosed: Shutdown or Close has been called (G11). A write that gets it is
	// ErrNotSent and io.ErrClosedPipe too, as with a *kafka.Writer.
	ErrClosed = fsm.ErrClosed
)

// Made once, so that a refused write costs nothing.
var (
	errWriteNotStarted = failed(ErrNotSent, fsm.ErrNotStarted)
	errWriteClosed     = failed(ErrNotSent, &both{fsm.ErrClosed, io.ErrClosedPipe})

	errDeliveryTimeout = fmt.Errorf("no result within the DeliveryTimeout: %w", context.DeadlineExceeded)
	errCutOff          = errors.New("the producer was stopped before the write ended")
	errBalancer        = errors.New("the balancer panicked")
	errStopTimeout     = fmt.Errorf("the StopTimeout has passed: %w", context.DeadlineExceeded)
)

// both reads as the first and is the second too.
type both struct {
	error
	also error
}

func (e *both) Unwrap() []error { return []error{e.error, e.also} }

// failure is one message's: one of the three classes, and why.
type failure struct{ class, cause error }

func failed(class, cause error) error { return &failure{class, cause} }

func (e *failure) Error() string   { return e.class.Error() + ": " + e.cause.Error() }
func (e *failure) Unwrap() []error { return []error{e.class, e.cause} }

// WriteError is what WriteMessages returns once it has looked at the messages one
// by one. errors.Is and errors.As find the cause of every message that failed,
// and errors.As finds the [kafka.WriteErrors] that a *kafka.Writer would return.
type WriteError struct {
	Messages kafka.WriteErrors // one for each message of the call; nil: delivered
}

// Error says how many messages failed, and why: each reason once.
func (e *WriteError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d messages failed", e.Messages.Count(), len(e.Messages))
	for i, err := range e.distinct() {
		if i == 3 {
			b.WriteString("; …")
			break
		}
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap returns the reasons, each once.
func (e *WriteError) Unwrap() []error { return e.distinct() }

// As makes errors.As find the kafka.WriteErrors, which has no Unwrap of its own.
func (e *WriteError) As(target any) bool {
	t, ok := target.(*kafka.WriteErrors)
	if ok {
		*t = e.Messages
	}
	return ok
}

// distinct returns what failed; messages of one batch share their error.
func (e *WriteError) distinct() []error {
	var errs []error
	seen := make(map[error]bool)
	for _, err := range e.Messages {
		if err != nil && !seen[err] {
			seen[err] = true
			errs = append(errs, err)
		}
	}
	return errs
}

// Temporary tells whether the same may succeed later, unchanged: a write, a Start
// or a Ping that failed with err. It is false for what is final: the messages, the
// topic or the configuration would have to change, or the producer is closed. Of
// what a broker said it is what the Java client holds worth another try. Of a
// *WriteError it is true only if it is for every message that failed; ask it of
// each of Messages to tell them apart. Of several reasons that a Start failed for, too,
// one that is final is enough. It is what decides whether Config.Retry is asked.
//
// While a write is under way all that is temporary is tried again anyway: a write
// that failed so has used up its DeliveryTimeout, MaxAttempts or context.
func Temporary(err error) bool {
	var write *WriteError
	switch {
	case err == nil:
		return false
	case errors.As(err, &write):
		for _, e := range write.distinct() {
			if !Temporary(e) {
				return false
			}
		}
		return true
	}
	for _, final := range []error{fsm.ErrClosed, errUndeclared, errNoTopic, errBalancer} {
		if errors.Is(err, final) {
			return false
		}
	}
	return retryable(err)
}

// TopicError is a topic that cannot be used as it was asked for: an undeclared
// one in a message, or one that a Start could not prove.
type TopicError struct {
	Topic      string
	Partitions []int // the partitions concerned; nil: the topic as a whole
	Err        error // for what a broker said, a kafka.Error
}

// Error names the topic, and its partitions if only some are concerned.
func (e *TopicError) Error() string {
	if len(e.Partitions) == 0 {
		return fmt.Sprintf("topic %q: %v", e.Topic, e.Err)
	}
	return fmt.Sprintf("topic %q, partitions %v: %v", e.Topic, e.Partitions, e.Err)
}

// Unwrap returns Err.
func (e *TopicError) Unwrap() error { return e.Err }

// StopError is why a Stop, Shutdown or Close did not end cleanly (G9).
type StopError struct {
	Messages  int   // cut off: not acknowledged, and not sent any more
	Abandoned int   // of them, those whose callers had left before
	Err       error // an *fsm.StopError
}

// Error says how many messages were cut off, and why.
func (e *StopError) Error() string {
	if e.Messages == 0 {
		return fmt.Sprintf("producer: %v", e.Err)
	}
	return fmt.Sprintf("producer: %d messages cut off (%d of them abandoned by their callers): %v", e.Messages, e.Abandoned, e.Err)
}

// Unwrap returns Err.
func (e *StopError) Unwrap() error { return e.Err }

// ended returns why ctx has ended, nil if it has not. Each call that has a context looks
// at it here first, before anything is done.
func ended(ctx context.Context) error {
	if ctx == nil {
		panic("producer: the context is nil")
	}
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
