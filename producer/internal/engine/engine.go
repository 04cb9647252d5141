// Package engine delivers messages to Kafka. It connects package cluster, which knows the
// leaders, with package sender, which has the queues and the connections.
//
// An Engine lives as long as its producer. Start and Stop alternate. The sequence numbers and
// epochs of partitions survive a stop, so that no old message is appended after a newer one (D4).
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

// Config configures an Engine. It must not change. Only three fields have a default: a nil Balancer
// is the Java client's, and zero MaxAttempts and Linger mean none.
type Config struct {
	Brokers    []string
	Connection *connection.Config
	Topics     []string // Start checks them

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
	// AllowPartial lets Start succeed while some partitions have no leader, or a leader that cannot
	// be reached, if at least one partition has a leader that can be reached.
	AllowPartial bool
	// CheckPermission makes Start check the permission to write to the declared topics.
	CheckPermission bool
	// Completion receives every admitted message with its verdict, once, before its Write returns
	// unless its caller has left. The message is valid until Completion returns. Completion delays
	// a sender, and must not wait for Stop. It may be nil.
	Completion func(msgs []kafka.Message, failure sender.Failure)

	// Warn, if not nil, receives problems that no caller gets as an error. It must not block.
	Warn func(message, topic string, partition int, err error)
	// Record is for tests.
	Record record.Hook

	ConnectionsPerBroker int
	IdleTimeout          time.Duration // how long connections to a broker without partitions stay open
	ReadTimeout          time.Duration
	WriteTimeout         time.Duration
	DeliveryTimeout      time.Duration
}

// Errors that a message, or a call, may fail with.
var (
	ErrStopping = fmt.Errorf("the producer is being stopped: %w", fsm.ErrNotStarted)
	ErrDeadline = fmt.Errorf("no result within the DeliveryTimeout: %w", context.DeadlineExceeded)
	ErrCut      = errors.New("the producer was stopped before the message was delivered")
	errNoTopic  = errors.New("the message names no topic, and there is no default")
	ErrBalancer = errors.New("the balancer failed")
	errTime     = fmt.Errorf("the time of the message cannot be stored: %w", kafka.InvalidTimestamp)
	errCaller   = errors.New("the caller's goroutine ended before the verdict")
	errTooLarge = errors.New("the message is larger than BatchBytes") // wrapped with a kafka.MessageTooLargeError
)

// An Engine may be used by any number of goroutines, except that Start and Stop must not be called
// concurrently.
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

// A session lasts from a Start to its Stop. Nothing of it is kept afterwards, because its context
// has the values of the Start's context.
type session struct {
	e        *Engine
	ctx      context.Context // ends with the session, and with its Start's until that has returned
	cancel   context.CancelCauseFunc
	stopping context.Context // ends when a stop starts
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

// Start finds the cluster, checks the declared topics, gets a producer id if there is none for this
// cluster, and connects to the leaders. It waits while a partition has no leader. It returns the
// first error, and then leaves nothing open. If ctx ends, the error is ctx's cause, with the step
// that was running and the latest obstacle. Start calls part with the name of each part as it
// starts: metadata, producer id, leaders, permission.
//
// The contexts of Dial, TLS and the SASL mechanism carry the values of ctx.
func (e *Engine) Start(ctx context.Context, part func(name string)) (err error) {
	if err := e.Wait(ctx); err != nil { // after this no old sender holds a partition
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

// startPartitions lets partitions of an earlier session admit messages again.
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

// Counters count events over all starts.
func (e *Engine) Counters() *sender.Counters { return &e.counters }

// InFlight is how many bytes of MaxInFlight are in use.
func (e *Engine) InFlight() int64 { return e.room.used.Load() }

// Waiting is how many calls wait for room.
func (e *Engine) Waiting() int64 { return int64(e.room.waiting.Load()) }

// Leaderless is how many partitions of topics in use have no leader; 0 unless started.
func (e *Engine) Leaderless() (n int64) {
	if e.started.Load() == nil {
		return 0
	}
	for _, t := range *e.topics.Load() {
		for _, p := range t.live() {
			if !p.Led() && !t.idle.Load() {
				n++
			}
		}
	}
	return n
}

// Oldest is when the call of the oldest message without a verdict began; zero if there is none.
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
