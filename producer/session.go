package producer

import (
	"context"
	"errors"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
	"github.com/seed3893aba4/surestart/producer/internal/engine"
)

// A session is the resource of one attempt: the time from a start of the engine to its stop.
type session struct {
	engine *engine.Engine
	cut    *cut

	unwatch context.CancelFunc
	watched chan struct{} // closed when drainWhenStopping has returned
}

// A cut is the next forced stop. The sessions from the last one to this one share it.
type cut struct {
	counted chan struct{} // closed when it has come
	counts  engine.Forced // what it cut off
	next    *cut          // of the sessions after it
}

func newCut() *cut { return &cut{counted: make(chan struct{})} }

// come reports whether the cut has come, and is counted.
func (c *cut) come() bool {
	select {
	case <-c.counted:
		return true
	default:
		return false
	}
}

// nextCut is for a session that begins.
func (p *Producer) nextCut() *cut {
	c := p.cut.Load()
	if c.come() {
		c.next = newCut()
		c = c.next
		p.cut.Store(c)
	}
	return c
}

// engineConfig is what the engine has to know of a Config that has its defaults.
func (p *Producer) engineConfig() engine.Config {
	c := p.cfg
	e := engine.Config{
		Brokers: c.Brokers,
		Connection: &connection.Config{
			Dial: c.Dial, TLS: c.TLS, SASL: c.SASL, LocalOnly: c.plaintextPassword(), ClientID: c.ClientID, Timeout: c.DialTimeout,
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

// requestBytes is the size of a request that has several batches.
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

// open is one try.
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

// drainWhenStopping has the engine send what lingers as soon as a stop has taken effect: the
// lifecycle waits for the writes, which hold leases, before it closes the session.
func (s *session) drainWhenStopping(ctx context.Context, l *fsm.Lifecycle[*session]) {
	defer close(s.watched)
	if _, err := l.Wait(ctx, fsm.Stopping); err == nil {
		s.engine.Drain()
	}
}

// close stops the engine. Unforced no message is without its verdict: its call holds a lease.
// It returns when no connection and no goroutine is left.
func (s *session) close(ctx context.Context) error {
	s.unwatch()
	<-s.watched
	s.stop(ctx)
	return s.engine.Wait(context.Background())
}

// stop stops the engine, by force if the drain was: then the cut has come, in any case.
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
