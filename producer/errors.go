package producer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/cluster"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
	"github.com/seed3893aba4/surestart/producer/internal/engine"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// Every message that was not delivered failed as exactly one of these, by errors.Is (D1, D2).
var (
	// ErrNotSent: the message is not in the log and never will be, and no broker refused it.
	// Sending it again cannot duplicate it.
	ErrNotSent = errors.New("producer: not sent")
	// ErrMaybeDelivered: the producer had started to write a request with the message, and its
	// outcome is unknown. The message may be in the log. Sending it again may duplicate it.
	ErrMaybeDelivered = errors.New("producer: maybe delivered")
	// ErrRejected: a broker's last answer refused the message, or the message breaks a limit that
	// a broker would enforce. It is not in the log and never will be. Temporary reports whether the
	// same message may be accepted later.
	ErrRejected = errors.New("producer: rejected")
)

// ErrPartial is the error of a Ping when some partitions have no leader and everything else works.
var ErrPartial = engine.ErrPartial

// ErrNoIdempotence is the error of a Start when the cluster gives this user no producer id. It is
// final, and wraps the broker's kafka.Error. Before Kafka 3.0 the user needs the permission
// IdempotentWrite on the cluster; since 3.0 the permission to write to a topic is enough.
// IdempotenceOff, AcksOne and AcksNone need no producer id.
var ErrNoIdempotence = cluster.ErrNoIdempotence

// A TopicError names a topic that cannot be used: a message named it without a declaration, or
// Start could not check it. Its fields are Topic; Partitions, an []int, nil for the topic as a
// whole; and Err, a kafka.Error if a broker answered.
type TopicError = engine.TopicError

// A NotKafkaError reports that the answer at an address is not Kafka's protocol as configured.
// Usual causes are a wrong port, and TLS on one side only. Its fields are Address, host:port;
// Looks, the protocol that the answer resembles: HTTP, TLS, SSH or empty; Field, the field of
// Config to check: Brokers or TLS, empty if the cluster advertised the address; and Err.
type NotKafkaError = connection.NotKafkaError

// The conditions of the lifecycle, equal to those of package fsm.
var (
	// ErrNotStarted: the producer is not started, or is stopping (G10). The error of a write then
	// also matches ErrNotSent.
	ErrNotStarted = fsm.ErrNotStarted
	// ErrStopped: a Stop took effect while a Start was waiting (G8).
	ErrStopped = fsm.ErrStopped
	// ErrClosed: Shutdown or Close was called (G11). The error of a write then also matches
	// ErrNotSent and, as with a *kafka.Writer, io.ErrClosedPipe.
	ErrClosed = fsm.ErrClosed
)

var (
	// Created once, so that a refused write allocates nothing.
	errWriteNotStarted = failed(ErrNotSent, fsm.ErrNotStarted)
	errWriteClosed     = failed(ErrNotSent, &both{fsm.ErrClosed, io.ErrClosedPipe})

	errDeliveryTimeout = engine.ErrDeadline
	errCutOff          = engine.ErrCut
	errStopTimeout     = fmt.Errorf("the StopTimeout has passed: %w", context.DeadlineExceeded)
	errStartTimeout    = fmt.Errorf("not ready within the StartTimeout: %w", context.DeadlineExceeded)
)

// both prints as the first error, and matches both.
type both struct {
	error
	also error
}

func (e *both) Unwrap() []error { return []error{e.error, e.also} }

// failure is the error of one message: its class and its cause.
type failure struct{ class, cause error }

func failed(class, cause error) error { return &failure{class, cause} }

func (e *failure) Error() string   { return e.class.Error() + ": " + e.cause.Error() }
func (e *failure) Unwrap() []error { return []error{e.class, e.cause} }

// notStarted returns why the engine is not started: ErrNotStarted or ErrClosed.
func (p *Producer) notStarted() error {
	lease, err := p.lifecycle.Acquire()
	if err == nil { // it has been started again
		lease.Release()
		return fsm.ErrNotStarted
	}
	return err
}

// asWriteError converts an error of the engine to the caller's.
func (p *Producer) asWriteError(err error) error {
	each, ok := err.(*engine.WriteError)
	if !ok { // the call as a whole
		if errors.Is(err, engine.ErrStopping) || err == fsm.ErrNotStarted {
			return p.stopping()
		}
		return failed(ErrNotSent, err)
	}
	e := &WriteError{Messages: make(kafka.WriteErrors, len(each.Failures))}
	stopping := 0
	for i, f := range each.Failures {
		if f.Cause == engine.ErrStopping { // it was not admitted
			stopping++
			e.Messages[i] = p.stopping()
			continue
		}
		if i > 0 && f.Verdict != 0 && f.Verdict == each.Failures[i-1].Verdict && same(f.Cause, each.Failures[i-1].Cause) {
			e.Messages[i] = e.Messages[i-1] // messages of one batch share their error
			continue
		}
		e.Messages[i] = failureOf(f)
	}
	if stopping == len(e.Messages) {
		return e.Messages[0]
	}
	return e
}

// stopping is the error of a write that a stop refused before it was admitted.
func (p *Producer) stopping() error { return refused(p.notStarted()) }

// failureOf is the error of a message; nil if it was delivered.
func failureOf(f sender.Failure) error {
	switch f.Verdict {
	case 0, core.Delivered:
		return nil
	case core.NotSent:
		return failed(ErrNotSent, f.Cause)
	case core.Rejected:
		return failed(ErrRejected, f.Cause)
	}
	return failed(ErrMaybeDelivered, f.Cause)
}

// same reports whether two errors are equal. Errors that cannot be compared are not.
func same(a, b error) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// A WriteError has the error of each message of a WriteMessages or Send. errors.Is and errors.As
// find the cause of every failed message. errors.As also finds the [kafka.WriteErrors] that a
// *kafka.Writer would return.
type WriteError struct {
	Messages kafka.WriteErrors // one for each message of the call; nil: delivered
}

// Error says how many messages failed, and lists the distinct reasons.
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

// Unwrap returns the distinct reasons.
func (e *WriteError) Unwrap() []error { return e.distinct() }

// As lets errors.As find the kafka.WriteErrors, which has no Unwrap.
func (e *WriteError) As(target any) bool {
	t, ok := target.(*kafka.WriteErrors)
	if ok {
		*t = e.Messages
	}
	return ok
}

// distinct returns the distinct errors; messages of one batch share theirs.
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

// Temporary reports whether a write, a Start or a Ping that failed with err may succeed later,
// unchanged. It is false for nil, if the messages, the topic or the configuration would have to
// change, and if the producer is closed. A broker's answer is temporary if the Java client would
// try again. If an error has several reasons, all of them must be temporary; for a *WriteError,
// call Temporary for each of its Messages to distinguish them. Start calls Config.Retry only for
// a temporary error.
//
// A write tries again by itself. A write that failed with a temporary error has used up its
// DeliveryTimeout, MaxAttempts or context.
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
	for _, final := range []error{fsm.ErrClosed, errUndeclared, errNoTopic, engine.ErrBalancer, ErrNoIdempotence} {
		if errors.Is(err, final) {
			return false
		}
	}
	return mayPass(err)
}

// mayPass reports whether an operation that failed with err may succeed later. For several errors
// together one final error is enough for false, except for the errors of several addresses: there
// one address that may answer is enough for true.
func mayPass(err error) bool {
	switch e := err.(type) {
	case kafka.Error:
		switch core.AnswerOf(e) {
		case core.Retry, core.Unsure, core.Sequence:
			return true
		case core.Final: // not an answer to a produce request; kafka-go wrongly considers 51 final
			return e.Temporary() || e == kafka.ConcurrentTransactions
		}
		return false
	case cluster.AddressErrors:
		return slices.ContainsFunc(e, mayPass)
	case *NotKafkaError, *fsm.PanicError, *tls.CertificateVerificationError,
		x509.UnknownAuthorityError, x509.HostnameError, tls.RecordHeaderError:
		return false
	case *net.OpError:
		if e.Op == "remote error" { // crypto/tls's error for an alert: the broker ended the handshake
			return false
		}
		return mayPass(e.Err)
	case interface{ Unwrap() error }:
		return mayPass(e.Unwrap())
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !mayPass(err) })
	}
	return err != connection.ErrPlaintext
}

// A StopError is the error of a Stop, Shutdown or Close that did not end cleanly (G9). It counts
// the messages that the forced stop cut off, by their verdicts.
type StopError struct {
	Messages int   // the sum of the next three
	NotSent  int   // ErrNotSent
	Maybe    int   // ErrMaybeDelivered
	Rejected int   // ErrRejected: a broker's last answer had refused them temporarily
	Err      error // an *fsm.StopError
}

// Error gives the counts and the cause.
func (e *StopError) Error() string {
	if e.Messages == 0 {
		return fmt.Sprintf("producer: %v", e.Err)
	}
	return fmt.Sprintf("producer: %d messages cut off (%d not sent, %d maybe delivered, %d rejected): %v",
		e.Messages, e.NotSent, e.Maybe, e.Rejected, e.Err)
}

// Unwrap returns Err.
func (e *StopError) Unwrap() error { return e.Err }

// ended returns the cause of ctx if it has ended, else nil. Each call that has a context checks it
// first, before it does anything.
func ended(ctx context.Context) error {
	if ctx == nil {
		panic("producer: the context is nil")
	}
	return engine.Ended(ctx)
}
