package producer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// A courier stands between the Writer and its Transport and decides what becomes
// of a batch: delivered, sent again, or failed, and then as what. The Writer has
// one request a partition under way and sends a batch again as long as it is told
// to, before it turns to the next: that keeps the order within a partition.
type courier struct {
	s     *session
	next  *kafka.Transport
	lanes sync.Map // lane key -> *lane
	look  look

	stalled atomic.Int32 // lanes whose batch has been under way for long
}

// A lane is the way to one partition. It is used by one goroutine at a time, the
// Writer's for that partition.
type lane struct {
	busy  bool      // a batch is under way
	began time.Time // its first attempt
	parts parts     // none: it is sent whole
	guard *guard
	stall stall

	// Of the batch, or of the part of it whose turn it is:
	attempt int
	maybe   bool // an attempt may have been appended
	refused bool // a broker has refused an attempt
}

type laneKey struct {
	topic     string
	partition int32
}

// RoundTrip implements kafka.RoundTripper.
func (c *courier) RoundTrip(ctx context.Context, addr net.Addr, req kafka.Request) (kafka.Response, error) {
	switch r := req.(type) {
	case *metadata.Request:
		return c.metadata(ctx, addr, r)
	case *produce.Request:
		return c.produce(ctx, addr, r)
	}
	return c.next.RoundTrip(ctx, addr, req)
}

func (c *courier) lane(topic string, partition int32) *lane {
	key := laneKey{topic, partition}
	if l, ok := c.lanes.Load(key); ok {
		return l.(*lane)
	}
	l, _ := c.lanes.LoadOrStore(key, &lane{guard: new(guard), stall: stall{lanes: &c.stalled}})
	return l.(*lane)
}

func (c *courier) produce(ctx context.Context, addr net.Addr, req *produce.Request) (kafka.Response, error) {
	topic := &req.Topics[0]
	set := &topic.Partitions[0].RecordSet
	l := c.lane(topic.Topic, topic.Partitions[0].Partition)
	if !l.busy {
		l.busy, l.began = true, time.Now()
		l.stall.begin()
	}
	if c.s.isCut.Load() {
		return nil, l.final(errCutOff)
	}
	l.attempt++

	// The Writer's context bounds the attempt; the delivery as a whole is bounded here.
	if left := c.s.cfg.batchTimeout() - time.Since(l.began); left < c.s.cfg.WriteTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left)
		defer cancel()
	}
	l.guard.RecordReader = l.parts.current(set.Records)
	set.Records = l.guard
	res, err := c.next.RoundTrip(ctx, addr, req)
	if err != nil {
		if !l.guard.revoke() {
			l.maybe = true
		}
		// The old guard may still be in the hands of the connection's goroutine.
		l.guard = new(guard)
		err = coded(err)
		return nil, c.decide(topic.Topic, l, err, retryable(err) || c.mayLogIn(err))
	}
	sent := l.guard.read
	l.guard.reset()
	if res == nil { // nobody was asked to acknowledge
		l.done()
		return nil, nil
	}
	answer, err, temporary := l.answer(res)
	switch {
	case err == nil && l.parts == nil:
		l.done()
		return res, nil
	case err == nil:
		return nil, l.next(part{offset: answer.BaseOffset, appended: answer.LogAppendTime})
	case sent > 1 && partial(err):
		l.split(sent)
		return nil, again{err}
	}
	return nil, c.decide(topic.Topic, l, err, temporary)
}

// answer returns a broker's answer, the error in it, and notes what that implies.
func (l *lane) answer(res kafka.Response) (p *produce.ResponsePartition, err error, temporary bool) {
	r, ok := res.(*produce.Response)
	if !ok || len(r.Topics) == 0 || len(r.Topics[0].Partitions) == 0 {
		l.maybe = true
		return nil, fmt.Errorf("the broker's answer to a produce request lacks the partition: %w", kafka.Unknown), false
	}
	p = &r.Topics[0].Partitions[0]
	if p.ErrorCode == 0 {
		return p, nil, false
	}
	code := kafka.Error(p.ErrorCode)
	switch code {
	case kafka.Unknown, kafka.RequestTimedOut, kafka.NetworkException, kafka.NotEnoughReplicasAfterAppend, kafka.KafkaStorageError:
		l.maybe = true
	default:
		l.refused = true
	}
	if p.ErrorMessage != "" {
		return p, fmt.Errorf("%w: %s", code, p.ErrorMessage), mayPass(code)
	}
	return p, code, mayPass(code)
}

// decide answers the Writer: send the batch again, after a pause, or give it up.
func (c *courier) decide(topic string, l *lane, err error, temporary bool) error {
	s := c.s
	switch {
	case s.isCut.Load():
		return l.final(fmt.Errorf("%w: %w", errCutOff, err))
	case !temporary:
		return l.final(err)
	case s.cfg.MaxAttempts > 0 && l.attempt >= s.cfg.MaxAttempts:
		return l.final(fmt.Errorf("gave up after %d attempts: %w", l.attempt, err))
	}
	wait := pause(l.attempt)
	if time.Since(l.began)+wait >= s.cfg.batchTimeout() {
		return l.final(fmt.Errorf("%w (%d attempts): %w", errDeliveryTimeout, l.attempt, err))
	}
	if moved(err) {
		c.lookAgain()
	}
	if l.attempt == quietAttempts {
		s.cfg.Logger.Warn("surestart: a batch cannot be sent; trying on", "topic", topic, "attempts", l.attempt, "error", err)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return again{err}
	case <-s.ctx.Done():
		return l.final(fmt.Errorf("%w: %w", errCutOff, err))
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
func (l *lane) done() {
	l.busy, l.parts = false, nil
	l.attempt, l.maybe, l.refused = 0, false, false
	l.stall.end()
}

// final ends the batch under way as failed, or the part of it whose turn it is.
func (l *lane) final(err error) error {
	class := ErrNotSent
	switch {
	case l.maybe:
		class = ErrMaybeDelivered
	case l.refused:
		class = ErrRejected
	}
	if l.parts != nil {
		return l.next(part{err: failed(class, err)})
	}
	l.done()
	return &verdict{failure: failure{class, err}}
}

// retryable tells whether an attempt that got no answer may fare better later.
func retryable(err error) bool {
	var code kafka.Error
	if errors.As(err, &code) {
		return mayPass(code)
	}
	var (
		certificate *tls.CertificateVerificationError
		unknownCA   x509.UnknownAuthorityError
		hostname    x509.HostnameError
	)
	return !errors.As(err, &certificate) && !errors.As(err, &unknownCA) && !errors.As(err, &hostname) &&
		!alerted(err) && !errors.Is(err, errPlaintext)
}

// mayPass is kafka-go's Temporary, and what else the Java client tries again.
func mayPass(code kafka.Error) bool {
	return code.Temporary() || code == kafka.BrokerNotAvailable || code == kafka.ReplicaNotAvailable
}

// mayLogIn tells whether it was only the credentials that were refused, and others
// may be told the next time: the old ones were good at the start.
func (c *courier) mayLogIn(err error) bool {
	cfg := c.s.cfg
	return errors.Is(err, kafka.SASLAuthenticationFailed) && !fixed(cfg.SASL) ||
		alerted(err) && cfg.TLS != nil && cfg.TLS.GetClientCertificate != nil
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
