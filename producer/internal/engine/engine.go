// Package engine delivers messages to Kafka. It puts together package cluster, which knows the
// leaders, and package sender, which has the queues and the connections.
//
// An Engine lasts as long as its producer. Start and Stop alternate; what partitions know of
// sequence numbers and epochs outlives a stop, so that nothing old lands behind anything new.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/record"
	"github.com/seed3893aba4/surestart/producer/internal/cluster"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// Config configures an Engine. It must not change. No field has a default, except
// that a nil Balancer is the Java client's, and zero MaxAttempts and Linger are none.
type Config struct {
	Brokers    []string
	Connection *connection.Config
	Topics     []string // that Start proves

	Mode         core.Mode
	Acks         int16 // as the protocol has them: -1, 1 or 0
	Compression  kafka.Compression
	Linger       time.Duration
	BatchSize    int
	BatchBytes   int
	RequestBytes int
	MaxInFlight  int64 // bytes
	MaxAttempts  int
	Balancer     kafka.Balancer
	AutoCreate   bool
	// AllowPartial starts although partitions have no leader, or a leader cannot be reached,
	// as long as one can.
	AllowPartial bool
	// CheckPermission makes Start prove that the declared topics may be written to.
	CheckPermission bool
	// Completion gets every message that was admitted, once, with its verdict, before its
	// Write returns unless its caller has left. The message is valid until it returns. It
	// holds up a sender; it must not wait for Stop. It may be nil.
	Completion func(msgs []kafka.Message, failure sender.Failure)

	// Warn, if not nil, is called with troubles that no caller learns of. It must not block.
	Warn func(message, topic string, partition int, err error)
	// Record is a test's.
	Record record.Hook

	ConnectionsPerBroker int
	IdleTimeout          time.Duration // for which connections to a broker are kept that leads nothing
	ReadTimeout          time.Duration
	WriteTimeout         time.Duration
	DeliveryTimeout      time.Duration
}

// Errors that a message, or a call, may fail with.
var (
	ErrStopping = fmt.Errorf("the producer is being stopped: %w", fsm.ErrNotStarted)
	ErrDeadline = fmt.Errorf("no result within the DeliveryTimeout: %w", context.DeadlineExceeded)
	ErrCut      = errors.New("the producer was stopped before the message was delivered")
	ErrNoTopic  = errors.New("the message names no topic, and there is no default")
	ErrBalancer = errors.New("the balancer failed")
	ErrTime     = fmt.Errorf("the time of the message cannot be stored: %w", kafka.InvalidTimestamp)
	ErrTooLarge = fmt.Errorf("the message is larger than BatchBytes: %w", kafka.MessageSizeTooLarge)
)

// An Engine may be used by any number of goroutines, except that Start and Stop must not be
// called concurrently.
type Engine struct {
	cfg      Config
	limits   core.Limits // Kafka's; tests have smaller ones
	common   sender.Config
	ids      sender.IDs
	room     room
	counters sender.Counters
	calls    sync.Pool

	topics atomic.Pointer[map[string]*topic] // replaced under mu

	mu        sync.Mutex
	clusterID string
	ended     <-chan struct{} // of the latest session, which may still be ending; nil: there was none
	started   atomic.Pointer[session]
	idsWanted atomic.Bool
}

// A session is from a Start to its Stop. Nothing of it is kept after that: its context has the
// values of the Start's.
type session struct {
	e        *Engine
	ctx      context.Context // ends with the session, and with its Start's until that has returned
	cancel   context.CancelCauseFunc
	stopping context.Context // ends when a stop begins
	stop     context.CancelCauseFunc
	part     func(name string)
	cluster  *cluster.Cluster
	ended    chan struct{} // closed when all goroutines have ended
	wg       sync.WaitGroup

	brokers map[int32]*broker // under the Engine's mu
}

// New returns an Engine that is not started.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, limits: core.KafkaLimits, room: room{max: cfg.MaxInFlight}}
	e.common = sender.Config{
		Mode: cfg.Mode, Acks: cfg.Acks, Compression: cfg.Compression, BatchSize: cfg.BatchSize, BatchBytes: cfg.BatchBytes,
		RequestBytes: cfg.RequestBytes, Linger: cfg.Linger, MaxAttempts: cfg.MaxAttempts, WriteTimeout: cfg.WriteTimeout,
		Charge: e.room.charge, Hurry: func() bool { return e.room.waiting.Load() > 0 }, Due: e.anotherID, Counters: &e.counters, Warn: cfg.Warn,
	}
	if cfg.Completion != nil {
		e.common.Completer = sender.NewCompleter(cfg.Completion, func(n int64) { e.room.charge(nil, n) })
	}
	if cfg.Linger > 0 {
		e.room.waits = e.hurry
	}
	if cfg.Mode == core.Idempotent {
		e.common.IDs = &e.ids
	}
	e.common.Record = cfg.Record.Event
	if cfg.Record.Limits != (core.Limits{}) {
		e.limits = cfg.Record.Limits
	}
	e.topics.Store(&map[string]*topic{})
	return e
}

// Start finds the cluster, proves the declared topics, gets a producer id if there is none
// for this cluster, and connects to the leaders. It waits while a partition has no leader. It
// returns the first error, and nothing is left then. If ctx ended it, the error is ctx's cause,
// with what was under way and the latest obstacle. Part is called with the name of each part
// that begins: metadata, producer id, leaders, permission.
//
// The contexts that Dial, TLS and the SASL mechanism get have the values of ctx.
func (e *Engine) Start(ctx context.Context, part func(name string)) (err error) {
	if err := e.Wait(ctx); err != nil { // then no old sender has a partition in hand
		return err
	}
	s := &session{e: e, part: part, brokers: make(map[int32]*broker), ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.stopping, s.stop = context.WithCancelCause(s.ctx)
	s.cluster = cluster.Open(s.ctx, cluster.Config{
		Connection: e.cfg.Connection, Brokers: e.cfg.Brokers, AutoCreate: e.cfg.AutoCreate, Timeout: e.cfg.ReadTimeout,
		Changed: s.changed, Asking: s.sweepTopics, Throttled: e.counters.Throttle,
	})
	e.ended = s.ended
	defer func() {
		if err != nil {
			s.end(err)
			<-s.ended
		}
	}()
	// The end of ctx ends the session, and everything that open waits for with it: their errors
	// say where they were.
	stop := context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })
	defer stop()
	if err := s.open(); err != nil {
		return err
	}
	if !stop() {
		return context.Cause(ctx)
	}
	if err := e.startPartitions(); err != nil {
		return err
	}
	e.started.Store(s)
	return nil
}

// startPartitions lets partitions admit messages again that an earlier session has stopped.
func (e *Engine) startPartitions() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return sender.Start(&e.common, &e.ids, e.partitions())
}

// anotherID asks for another producer id.
func (e *Engine) anotherID() {
	s := e.started.Load()
	if s == nil || !e.idsWanted.CompareAndSwap(false, true) {
		return
	}
	s.wg.Go(func() {
		defer e.idsWanted.Store(false)
		id, _, err := s.cluster.InitProducerID(s.stopping)
		if err != nil {
			return // asked for again with the next batch
		}
		e.ids.Lock()
		defer e.ids.Unlock()
		if e.ids.Due() {
			_ = e.ids.NewID(id) // it is due
			if e.cfg.Record.Event != nil {
				e.cfg.Record.Event(record.Event{Kind: core.EventNewID, ID: id})
			}
		}
	})
}

// Counters count what happens, over all starts.
func (e *Engine) Counters() *sender.Counters { return &e.counters }

// InFlight is how many bytes messages without a verdict take of MaxInFlight.
func (e *Engine) InFlight() int64 { return e.room.used.Load() }

// Waiting is how many calls wait for room.
func (e *Engine) Waiting() int64 { return int64(e.room.waiting.Load()) }

// Leaderless is how many partitions of topics in use have no leader; 0 unless it is started.
func (e *Engine) Leaderless() (n int64) {
	if e.started.Load() == nil {
		return 0
	}
	for _, t := range *e.topics.Load() {
		for _, p := range t.all() {
			if !p.Led() && !t.idle.Load() {
				n++
			}
		}
	}
	return n
}

// Oldest is when the first of the messages was admitted that have no verdict yet; zero:
// there is none.
func (e *Engine) Oldest() (oldest time.Time) {
	for _, t := range *e.topics.Load() {
		for _, p := range t.all() {
			if at := p.Oldest(); !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
				oldest = at
			}
		}
	}
	return oldest
}
