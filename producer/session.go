package producer

import (
	"context"
	"errors"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
	"github.com/seed3893aba4/surestart/producer/internal/engine"
)

// A session is the resource of one attempt: the engine, from a start to the next stop.
type session struct {
	engine *engine.Engine
	cut    *cut

	unwatch context.CancelFunc
	watched chan struct{} // closed when drainWhenStopping has returned
}

// A cut is the next forced stop. All sessions until then share it.
type cut struct {
	counted chan struct{} // closed when the forced stop has happened and is counted
	counts  engine.Forced // the messages that it cut off
	next    *cut          // the cut of the sessions after it
}

func newCut() *cut { return &cut{counted: make(chan struct{})} }

// come reports whether the cut has happened and is counted.
func (c *cut) come() bool {
	select {
	case <-c.counted:
		return true
	default:
		return false
	}
}

// nextCut returns the cut for a new session.
func (p *Producer) nextCut() *cut {
	c := p.cut.Load()
	if c.come() {
		c.next = newCut()
		c = c.next
		p.cut.Store(c)
	}
	return c
}

// engineConfig converts a Config with its defaults.
func (p *Producer) engineConfig() engine.Config {
	c := p.cfg
	e := engine.Config{
		Brokers: c.Brokers,
		Connection: &connection.Config{
			Dial: c.Dial, TLS: c.TLS, SASL: c.SASL, LocalOnly: c.plaintextPassword(), ClientID: c.ClientID, Timeout: c.DialTimeout, Within: p.within.mark,
		},
		Topics:               p.topics,
		Mode:                 c.mode(),
		Acks:                 int16(c.Acks.required()),
		Compression:          c.Compression,
		Linger:               c.Linger,
		BatchSize:            c.BatchSize,
		BatchBytes:           int(c.BatchBytes),
		RequestBytes:         requestBytes,
		MaxInFlight:          c.MaxInFlightBytes,
		MaxAttempts:          c.MaxAttempts,
		Balancer:             c.Balancer,
		AutoCreate:           c.AllowAutoTopicCreation,
		AllowPartial:         c.AllowPartial,
		CheckPermission:      c.CheckWritePermission,
		Warn:                 p.warnings.topic,
		Record:               c.record,
		ConnectionsPerBroker: c.ConnectionsPerBroker,
		IdleTimeout:          c.IdleTimeout,
		ReadTimeout:          c.ReadTimeout,
		WriteTimeout:         c.WriteTimeout,
		DeliveryTimeout:      c.DeliveryTimeout,
	}
	if c.Completion != nil {
		e.Completion = p.complete
	}
	return e
}

// requestBytes limits a request with several batches.
const requestBytes = 8 << 20

func (c *Config) mode() core.Mode {
	switch {
	case c.Acks == AcksNone:
		return core.Unanswered
	case c.Acks == AcksAll && c.Idempotence != IdempotenceOff:
		return core.Idempotent
	}
	return core.Acknowledged
}

// open is one try of an attempt.
func (p *Producer) open(ctx context.Context, scope *fsm.Scope) (*session, error) {
	s := &session{engine: p.engine, cut: p.nextCut(), watched: make(chan struct{})}
	p.current.Store(s)
	ctx, cancel := context.WithDeadlineCause(ctx, p.openUntil(), errStartTimeout)
	defer cancel()
	if err := s.engine.Start(ctx, scope.Part); err != nil {
		return nil, err
	}
	scope.Defer("engine", s.close)
	ctx, s.unwatch = context.WithCancel(context.Background())
	go s.drainWhenStopping(ctx, p.lifecycle)
	return s, nil
}

// drainWhenStopping makes the engine send lingering messages as soon as a stop takes effect. The
// lifecycle then waits for the writes, which hold leases, before it closes the session.
func (s *session) drainWhenStopping(ctx context.Context, l *fsm.Lifecycle[*session]) {
	defer close(s.watched)
	if _, err := l.Wait(ctx, fsm.Stopping); err == nil {
		s.engine.Drain()
	}
}

// close stops the engine. Unless the release is forced, every message already has its verdict,
// because its call holds a lease. close returns when no connection and no goroutine is left.
func (s *session) close(ctx context.Context) error {
	s.unwatch()
	<-s.watched
	s.stop(ctx)
	return s.engine.Wait(context.Background())
}

// stop stops the engine. If the drain was forced, it counts the cut.
func (s *session) stop(ctx context.Context) {
	if fsm.Forced(ctx) {
		defer close(s.cut.counted)
		cut, cancel := context.WithCancelCause(ctx)
		cancel(errCutOff)
		ctx = cut
	}
	var forced *engine.Forced
	if err := s.engine.Stop(ctx); errors.As(err, &forced) {
		s.cut.counts = *forced
	}
}
