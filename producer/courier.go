package producer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/seed3893aba4/surestart/fsm"
)

// A courier stands between the Writer and its Transport and decides what becomes
// of a batch: delivered, sent again, or failed, and then as what. The Writer has
// one request a partition under way and sends a batch again as long as it is told
// to, before it turns to the next: that keeps the order within a partition.
type courier struct {
	s    *session
	next *kafka.Transport
	look look
}

// underway is how far the batch that is under way in a lane has come.
type underway struct {
	began time.Time // the first attempt
	parts parts     // none: it is sent whole
	guard *guard

	// Of the batch, or of the part of it whose turn it is:
	attempt int  // 0: there has been none
	maybe   bool // one may have been appended
	refused bool // a broker has refused one
}

// RoundTrip implements kafka.RoundTripper.
func (c *courier) RoundTrip(ctx context.Context, addr net.Addr, req kafka.Request) (kafka.Response, error) {
	switch r := req.(type) {
	case *metadata.Request:
		return ctx.(*handing).answer, nil // the Writer asks within WriteMessages only
	case *produce.Request:
		return c.produce(ctx, addr, r)
	}
	return c.next.RoundTrip(ctx, addr, req)
}

func (c *courier) produce(ctx context.Context, addr net.Addr, req *produce.Request) (kafka.Response, error) {
	topic := &req.Topics[0]
	set := &topic.Partitions[0].RecordSet
	u := &c.s.lane(topic.Topic, int(topic.Partitions[0].Partition)).underway
	if u.attempt == 0 && u.parts == nil {
		u.began = time.Now()
	}
	if c.s.isCut.Load() {
		return nil, u.final(errCutOff)
	}
	u.attempt++

	// The Writer's context bounds the attempt; the delivery as a whole is bounded here.
	if left := c.s.cfg.batchTimeout() - time.Since(u.began); left < c.s.cfg.WriteTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left)
		defer cancel()
	}
	u.guard.RecordReader = u.parts.current(set.Records)
	set.Records = u.guard
	res, err := c.next.RoundTrip(ctx, addr, req)
	if err != nil {
		if !u.guard.revoke() {
			u.maybe = true
		}
		// The old guard may still be in the hands of the connection's goroutine.
		u.guard = new(guard)
		err = coded(err)
		return nil, c.decide(topic.Topic, u, err, retryable(err) || c.mayLogIn(err) || strange(err))
	}
	sent := u.guard.read
	u.guard.reset()
	if res == nil { // nobody was asked to acknowledge
		u.done()
		return nil, nil
	}
	answer, err, temporary := u.answer(res, topic.Topic, topic.Partitions[0].Partition)
	switch {
	case err == nil && u.parts == nil:
		u.done()
		return res, nil
	case err == nil:
		return nil, u.next(part{offset: answer.BaseOffset, appended: answer.LogAppendTime})
	case sent > 1 && partial(err):
		u.split(sent)
		return nil, again{err}
	}
	return nil, c.decide(topic.Topic, u, err, temporary)
}

// decide answers the Writer: send the batch again, after a pause, or give it up.
func (c *courier) decide(topic string, u *underway, err error, temporary bool) error {
	s := c.s
	switch {
	case s.isCut.Load():
		return u.final(fmt.Errorf("%w: %w", errCutOff, err))
	case !temporary:
		return u.final(err)
	case s.cfg.MaxAttempts > 0 && u.attempt >= s.cfg.MaxAttempts:
		return u.final(fmt.Errorf("gave up after %d attempts: %w", u.attempt, err))
	}
	wait := pause(u.attempt)
	if time.Since(u.began)+wait >= s.cfg.batchTimeout() {
		return u.final(fmt.Errorf("%w (%d attempts): %w", errDeliveryTimeout, u.attempt, err))
	}
	if moved(err) {
		c.lookAgain()
	}
	if u.attempt == quietAttempts {
		s.cfg.Logger.Warn("surestart: a batch cannot be sent; trying on", "topic", topic, "attempts", u.attempt, "error", err)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return again{err}
	case <-s.ctx.Done():
		return u.final(fmt.Errorf("%w: %w", errCutOff, err))
	}
}

// batchTimeout bounds a batch from its first attempt: a little less than what its
// callers wait, who so learn what became of it rather than that it took too long.
func (c *Config) batchTimeout() time.Duration {
	return max(c.DeliveryTimeout-c.DeliveryTimeout/50-2*c.Linger, c.DeliveryTimeout/2)
}

// quietAttempts is how many attempts fail before that is logged, once for a batch:
// what half a second mends is nobody's concern.
const quietAttempts = 6

const (
	firstPause   = 10 * time.Millisecond
	longestPause = time.Second
)

// pause is how long to wait after the n-th attempt: it doubles, give or take a
// fifth, so that producers that failed together do not return together.
func pause(n int) time.Duration {
	d := min(firstPause<<min(n-1, 10), longestPause)
	return d*4/5 + rand.N(d*2/5)
}

// done ends the batch under way.
func (u *underway) done() {
	u.parts, u.attempt, u.maybe, u.refused = nil, 0, false, false
}

// final ends the batch under way as failed, or the part of it whose turn it is.
func (u *underway) final(err error) error {
	class := ErrNotSent
	switch {
	case u.maybe:
		class = ErrMaybeDelivered
	case u.refused:
		class = ErrRejected
	}
	if u.parts != nil {
		return u.next(part{err: failed(class, err)})
	}
	u.done()
	return &verdict{failure: failure{class, err}}
}

// retryable tells whether an attempt that got no answer may fare better later. Of several
// errors together one that is final is enough: the next attempt would meet it again.
func retryable(err error) bool {
	var all addressErrors
	if errors.As(err, &all) {
		return all.temporary()
	}
	var (
		certificate *tls.CertificateVerificationError
		unknownCA   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		plaintext   tls.RecordHeaderError
		panicked    *fsm.PanicError
	)
	return eachMayPass(err) && !errors.As(err, &certificate) && !errors.As(err, &unknownCA) && !errors.As(err, &hostname) &&
		!errors.As(err, &plaintext) && !strange(err) && !alerted(err) && !errors.Is(err, errPlaintext) && !errors.As(err, &panicked)
}

// eachMayPass is mayPass of every code that is in err; errors.As would find the first.
func eachMayPass(err error) bool {
	switch e := err.(type) {
	case kafka.Error:
		return mayPass(e)
	case interface{ Unwrap() error }:
		return eachMayPass(e.Unwrap())
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !eachMayPass(err) })
	}
	return true
}

// mayLogIn tells whether it was only the credentials that were refused, and others
// may be told the next time: the old ones were good at the start.
func (c *courier) mayLogIn(err error) bool {
	cfg := c.s.cfg
	return errors.Is(err, kafka.SASLAuthenticationFailed) && !fixed(cfg.SASL) ||
		alerted(err) && cfg.TLS != nil && cfg.TLS.GetClientCertificate != nil
}

// strange reports whether something else than Kafka has answered. At a start that is a
// mistake. A broker that was there an hour ago is back as soon as what took its place, a
// proxy without a backend perhaps, is gone.
func strange(err error) bool {
	var other *NotKafkaError
	return errors.As(err, &other)
}

// alerted tells whether the broker ended the TLS handshake.
func alerted(err error) bool {
	var alert *net.OpError // what crypto/tls makes of that
	return errors.As(err, &alert) && alert.Op == "remote error"
}

// again makes the Writer send the batch again; verdict makes it give up: it looks
// for Temporary, and for causes of its own choice, which a verdict does not show.
type again struct{ error }

func (again) Temporary() bool { return true }

type verdict struct {
	failure failure
	parts   parts // or: the results of a batch that was sent in parts
}

func (v *verdict) Error() string   { return v.failure.Error() }
func (v *verdict) Temporary() bool { return false }

// A guard passes the records of an attempt on to the encoder, and knows whether
// it did. Revoked before that, the attempt can never be sent.
type guard struct {
	protocol.RecordReader
	read  int // records
	state atomic.Uint32
}

const (
	untouched = iota
	encoding
	encoded
	revoked
)

var errRevoked = errors.New("the attempt was given up before it was sent")

// ReadRecord implements protocol.RecordReader.
func (g *guard) ReadRecord() (*protocol.Record, error) {
	if g.state.Load() != encoding && !g.state.CompareAndSwap(untouched, encoding) {
		return nil, errRevoked
	}
	r, err := g.RecordReader.ReadRecord()
	if err != nil { // io.EOF
		g.state.Store(encoded)
		return nil, err
	}
	g.read++
	return r, nil
}

// revoke returns true if the attempt was not sent, and never will be. If it was,
// the encoder may still be at it, on the connection's goroutine: it is waited for,
// because the bytes are their owner's again as soon as the batch has its result.
func (g *guard) revoke() bool {
	if g.state.CompareAndSwap(untouched, revoked) {
		return true
	}
	// An encoder that failed half-way reads no further: it is done too.
	for i := 0; i < 100 && g.state.Load() == encoding; i++ {
		time.Sleep(time.Millisecond)
	}
	return false
}

func (g *guard) reset() {
	g.RecordReader, g.read = nil, 0
	g.state.Store(untouched)
}
