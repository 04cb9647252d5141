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
	// ErrMaybeDelivered: a request with the message was begun to be written, and
	// what became of it is not known. It may be in the log; sending it again may
	// duplicate it.
	ErrMaybeDelivered = errors.New("producer: maybe delivered")
	// ErrRejected: a broker refused the message last, or a limit did that a broker
	// would have enforced. It is not in the log and never will be. Temporary tells whether the same
	// message may be accepted later.
	ErrRejected = errors.New("producer: rejected")
)

// ErrPartial is what a Ping returns if some partitions have no leader, and all else
// is well: others can be written to.
var ErrPartial = engine.ErrPartial

// ErrNoIdempotence is why a Start fails on a cluster that gives this user no producer id, or has
// none to give. It is final, and wraps what the broker said, a kafka.Error. Before Kafka 3.0 the user
// needs the permission IdempotentWrite on the cluster, from 3.0 on Write on a topic is enough.
// IdempotenceOff, and Acks other than AcksAll, need no producer id.
var ErrNoIdempotence = cluster.ErrNoIdempotence

// A TopicError is a topic that cannot be used as it was asked for: an undeclared
// one in a message, or one that a Start could not prove. Its fields are Topic, a string;
// Partitions, an []int: the partitions concerned, nil for the topic as a whole; and Err, which is a
// kafka.Error for what a broker said.
type TopicError = engine.TopicError

// A NotKafkaError says that something answers at an address that does not speak Kafka's
// protocol as the configuration says. Mostly it is a wrong port, or one with TLS for one
// without. Its fields are Address, host:port; Looks, the protocol that the answer looks like: HTTP,
// TLS or SSH, empty for none of these; Field, the field of Config to look at: Brokers or TLS,
// empty if the cluster gave out the address; and Err, what is wrong with the answer.
type NotKafkaError = connection.NotKafkaError

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

	errDeliveryTimeout = engine.ErrDeadline
	errCutOff          = engine.ErrCut
	errStopTimeout     = fmt.Errorf("the StopTimeout has passed: %w", context.DeadlineExceeded)
	errStartTimeout    = fmt.Errorf("not ready within the StartTimeout: %w", context.DeadlineExceeded)
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

// notStarted returns why the engine is not started: ErrNotStarted, or ErrClosed.
func (p *Producer) notStarted() error {
	lease, err := p.lifecycle.Acquire()
	if err == nil { // it has been started again
		lease.Release()
		return fsm.ErrNotStarted
	}
	return err
}

// told makes of the engine's error what a caller gets.
func (p *Producer) told(err error) error {
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

// stopping is the error of a write that met a stop before it was admitted.
func (p *Producer) stopping() error { return refused(p.notStarted()) }

// failureOf is a message's error; nil: it was delivered.
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

// same reports whether two errors are one; those that cannot be compared are not.
func same(a, b error) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

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
	for _, final := range []error{fsm.ErrClosed, errUndeclared, errNoTopic, engine.ErrBalancer, ErrNoIdempotence} {
		if errors.Is(err, final) {
			return false
		}
	}
	return mayPass(err)
}

// mayPass reports whether what failed with err may go well later. Of several errors together one
// that is final is enough, except that of several addresses one that may answer is.
func mayPass(err error) bool {
	switch e := err.(type) {
	case kafka.Error:
		switch core.AnswerOf(e) {
		case core.Retry, core.Unsure, core.Sequence:
			return true
		case core.Final: // none of a produce request's; kafka-go takes 51 for final
			return e.Temporary() || e == kafka.ConcurrentTransactions
		}
		return false
	case cluster.AddressErrors:
		return slices.ContainsFunc(e, mayPass)
	case *NotKafkaError, *fsm.PanicError, *tls.CertificateVerificationError,
		x509.UnknownAuthorityError, x509.HostnameError, tls.RecordHeaderError:
		return false
	case *net.OpError:
		if e.Op == "remote error" { // what crypto/tls makes of an alert: the broker ended the handshake
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

// StopError is why a Stop, Shutdown or Close did not end cleanly (G9). It counts the messages that
// got their verdict because they were cut off.
type StopError struct {
	Messages int   // the sum of these:
	NotSent  int   // ErrNotSent
	Maybe    int   // ErrMaybeDelivered
	Rejected int   // ErrRejected: a broker had refused them for the time being
	Err      error // an *fsm.StopError
}

// Error says how many messages were cut off, as what they failed, and why.
func (e *StopError) Error() string {
	if e.Messages == 0 {
		return fmt.Sprintf("producer: %v", e.Err)
	}
	return fmt.Sprintf("producer: %d messages cut off (%d not sent, %d maybe delivered, %d rejected): %v",
		e.Messages, e.NotSent, e.Maybe, e.Rejected, e.Err)
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
