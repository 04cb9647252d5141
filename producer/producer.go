package producer

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer/internal/engine"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// State is the state of a Producer: Idle, Starting, Started, Stopping or Closed.
type State = fsm.State

// A Producer sends messages to Kafka. Use New to make one; the zero Producer is not usable. All
// methods may be called concurrently, in every state. A context must not be nil. A Producer must
// not be copied.
type Producer struct {
	// All by pointer, so that a printed Producer shows no secret of its Config.
	cfg        *Config
	topics     []string // declared
	isDeclared map[string]bool
	lifecycle  *fsm.Lifecycle[*session]
	engine     *engine.Engine
	stats      *stats
	warnings   *warnings
	within     *within

	neverStopped context.Context // ends with the first Stop, Shutdown or Close
	stopped      context.CancelFunc
	current      *atomic.Pointer[session] // of the latest attempt
	cut          *atomic.Pointer[cut]     // of the latest attempt, or of the first one before that starts
}

// New returns an idle producer. It opens nothing and connects to nothing. For a Config that cannot
// work it returns one error that names every wrong field.
func New(config Config) (*Producer, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	cfg := config.withDefaults()
	p := &Producer{
		cfg:        &cfg,
		topics:     cfg.declared(),
		isDeclared: make(map[string]bool),
		stats:      new(stats),
		warnings:   &warnings{logger: cfg.Logger},
		within:     new(within),
		current:    new(atomic.Pointer[session]),
		cut:        new(atomic.Pointer[cut]),
	}
	p.cut.Store(newCut())
	for _, t := range p.topics {
		p.isDeclared[t] = true
	}
	p.engine = engine.New(p.engineConfig())
	p.neverStopped, p.stopped = context.WithCancel(context.Background())
	p.lifecycle = fsm.New(p.open, slices.Concat([]fsm.Option{
		fsm.WithStartTimeout(cfg.StartTimeout),
		fsm.WithReleaseTimeout(cfg.releaseTimeout()),
		fsm.WithLogger(cfg.Logger),
	}, p.resilience(), cfg.Lifecycle)...)
	return p, nil
}

// stopReserve is the time of Close for the forced release. The release fits into half of it.
func (c *Config) stopReserve() time.Duration    { return min(c.StopTimeout/10, time.Second) }
func (c *Config) releaseTimeout() time.Duration { return max(c.stopReserve()/2, time.Millisecond) }

// Start connects to the cluster. It returns nil when the producer can send: a broker has accepted
// the credentials, the cluster has given a producer id for idempotent writes, every declared topic
// exists, and the leader of each of its partitions is connected. The first write to a declared
// topic opens no connection.
//
// Start may be called any number of times. It waits and fails as [fsm.Lifecycle.Start] does. A
// *fsm.StartError names the part that failed: metadata, producer id, leaders or permission. A
// *NotKafkaError reports that something other than Kafka answers at an address. Config.Retry and
// Config.Breaker change how often Start tries. In Config.Completion Start returns
// fsm.ErrReentrant, unless the producer is started.
func (p *Producer) Start(ctx context.Context) error {
	if p.State() != fsm.Started {
		if err := p.within.refuse(); err != nil {
			return err
		}
	}
	return p.lifecycle.Start(ctx)
}

// Hold is a Start by one of several owners that share the producer: the last release stops it, as
// Stop does. It waits and fails as [fsm.Lifecycle.Hold] does. For Config.StartOnWrite every
// release counts as a Stop.
func (p *Producer) Hold(ctx context.Context) (held context.Context, release func(context.Context) error, err error) {
	if p.State() != fsm.Started {
		if err := p.within.refuse(); err != nil {
			return nil, nil, err
		}
	}
	held, letGo, err := p.lifecycle.Hold(ctx)
	if err != nil {
		return nil, nil, err
	}
	return held, func(ctx context.Context) error { return p.stop(ctx, letGo, stopGrace) }, nil
}

// Stop sends lingering messages at once, waits until every message has its verdict (D7), and closes
// everything. The producer can then be started again. Stop behaves as [fsm.Lifecycle.Stop]; while
// it waits, new writes fail with ErrNotStarted. In Config.Completion it returns fsm.ErrReentrant.
//
// If ctx ends first, and no other Stop waits, Stop cuts the connections. Every message without a
// verdict gets one, and Stop returns a *StopError with exact counts, within 50 ms of the end of
// ctx. Usually nothing is open then. With very many messages, the remaining connections close in
// the background, and the remaining writes and Deliveries return a moment later.
func (p *Producer) Stop(ctx context.Context) error {
	return p.stop(ctx, p.lifecycle.Stop, stopGrace)
}

// Shutdown is Stop for good. From the call on nothing is started again, and Start, WriteMessages
// and Send fail with ErrClosed. The end of its context cuts the connections even if other Stops
// wait.
func (p *Producer) Shutdown(ctx context.Context) error {
	return p.stop(ctx, p.lifecycle.Shutdown, stopGrace)
}

// Close is Shutdown within Config.StopTimeout, which includes the forced release.
func (p *Producer) Close() error {
	reserve := p.cfg.stopReserve()
	ctx, cancel := context.WithTimeoutCause(context.Background(), p.cfg.StopTimeout-reserve, errStopTimeout)
	defer cancel()
	return p.stop(ctx, p.lifecycle.Shutdown, reserve)
}

// stopGrace is how long a forced Stop waits for the cut-off writes to return, so that it leaves
// nothing open. The counts need no such wait: they are made before the writes return.
const stopGrace = 40 * time.Millisecond

func (p *Producer) stop(ctx context.Context, stop func(context.Context) error, grace time.Duration) error {
	ctx = guarded(ctx)
	if err := p.within.refuse(); err != nil {
		return err
	}
	p.stopped()
	c := p.cut.Load()
	before := c.come()
	err := stop(ctx)
	var stopErr *fsm.StopError
	if !errors.As(err, &stopErr) {
		return err
	}
	// A caller that leaves while others wait returns at once, unless the release is already
	// running: that takes only a moment.
	if ctx.Err() == nil || stopErr.CutOff == 0 && !c.come() && p.lifecycle.Status().Releasing == "" {
		return &StopError{Err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	p.lifecycle.Wait(ctx, fsm.Idle, fsm.Starting, fsm.Started, fsm.Closed) // out of Stopping
	if stopErr.CutOff > 0 {                                                // this caller forced the stop: a cut follows
		if before {
			c = c.next
		}
		<-c.counted
	}
	if !c.come() {
		return &StopError{Err: err}
	}
	forced := &c.counts
	return &StopError{
		Messages: forced.NotSent + forced.Maybe + forced.Rejected,
		NotSent:  forced.NotSent, Maybe: forced.Maybe, Rejected: forced.Rejected,
		Err: err,
	}
}

// Flush sends lingering messages at once. It waits until every message admitted before the call has
// its verdict, and returns nil. Config.Completion has then been called for these messages, and
// their Deliveries are done. If ctx ends first, Flush returns the cause of ctx. A Stop during the
// Flush may still cut off messages. In a function of Config Flush returns fsm.ErrReentrant.
func (p *Producer) Flush(ctx context.Context) error {
	ctx = guarded(ctx)
	if cause := ended(ctx); cause != nil {
		return cause
	}
	if err := p.within.refuse(); err != nil {
		return err
	}
	return p.engine.Flush(ctx)
}

// complete calls Config.Completion, and logs a panic or a runtime.Goexit in it.
func (p *Producer) complete(msgs []kafka.Message, f sender.Failure) {
	topic, partition, returned := msgs[0].Topic, msgs[0].Partition, false // before the slice is Completion's
	defer func() {
		if v := recover(); v != nil {
			p.warnings.topic("Config.Completion panicked", topic, partition, &fsm.PanicError{Value: v, Stack: debug.Stack()})
		} else if !returned {
			p.warnings.topic("Config.Completion ended its goroutine", topic, partition, errExited)
		}
	}()
	defer p.within.mark()()
	p.cfg.Completion(msgs, failureOf(f))
	returned = true
}

var errExited = errors.New("runtime.Goexit was called")

// State returns the present state. It never blocks.
func (p *Producer) State() State { return p.lifecycle.State() }

// Status describes what the producer is doing, part by part. It does not block.
func (p *Producer) Status() fsm.Status { return p.lifecycle.Status() }

// Wait waits for one of the states, as [fsm.Lifecycle.Wait].
func (p *Producer) Wait(ctx context.Context, states ...State) (State, error) {
	return p.lifecycle.Wait(ctx, states...)
}

// Done returns a channel that is closed when the producer becomes Closed.
func (p *Producer) Done() <-chan struct{} { return p.lifecycle.Done() }

// FlushObservers waits until the observers and tracers of Config.Lifecycle have returned from every
// transition and step before the call. If ctx ends first, it returns the cause of ctx. See
// [fsm.Lifecycle.FlushObservers].
func (p *Producer) FlushObservers(ctx context.Context) error { return p.lifecycle.FlushObservers(ctx) }

// String returns the topics and the state.
func (p *Producer) String() string {
	topics := strings.Join(p.topics, ",")
	if p.cfg.AnyTopic {
		topics = strings.Trim(topics+",*", ",")
	}
	return "producer(" + topics + ") " + p.State().String()
}
