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

// State is where a Producer is: Idle, Starting, Started, Stopping or Closed.
type State = fsm.State

// A Producer sends messages to Kafka. Make one with New; its methods may be
// called concurrently, at any moment. It must not be copied.
type Producer struct {
	// All by pointer: a Producer that is printed shows no secret of its Config.
	cfg        *Config
	topics     []string // declared
	isDeclared map[string]bool
	lifecycle  *fsm.Lifecycle[*session]
	engine     *engine.Engine
	stats      *stats
	warnings   *warnings

	neverStopped context.Context // ends with the first Stop, Shutdown or Close
	stopped      context.CancelFunc
	current      *atomic.Pointer[session] // of the latest attempt
	cut          *atomic.Pointer[cut]     // of the latest attempt; before the first one that of the first
}

// New returns an idle producer; it opens nothing and connects to nobody. Whatever
// could not work is refused here, all of it in one error that names the fields.
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

// The forced release fits into what Close has left when it begins.
func (c *Config) stopReserve() time.Duration    { return min(c.StopTimeout/10, time.Second) }
func (c *Config) releaseTimeout() time.Duration { return max(c.stopReserve()/2, time.Millisecond) }

// Start connects to the cluster and returns when the producer can send: a broker
// was reached and accepts the credentials, there is a producer id for idempotent writes, every
// declared topic exists, and the
// leader of each of its partitions is known and connected, so that the first
// write dials nothing. Call it from anywhere, any number of times: it is
// [fsm.Lifecycle.Start], with its errors. A *fsm.StartError names the part that
// failed: metadata, producer id, leaders or permission. A *NotKafkaError says that
// something else than Kafka answers at an address. Config.Retry makes it try again,
// Config.Breaker refuse to.
func (p *Producer) Start(ctx context.Context) error { return p.lifecycle.Start(ctx) }

// Stop sends at once what lingers, waits until every message has its verdict (D7), and closes
// everything; then the producer may be started again. It is
// [fsm.Lifecycle.Stop]: while it waits, new writes get ErrNotStarted.
//
// When ctx ends first, the connections are cut: every message that has no verdict by then gets
// one, and Stop returns a *StopError that counts them exactly. It
// returns within 50 ms of the end of ctx, with nothing left open as a rule. What
// is still closing by then goes on without this caller: with very many messages,
// their writes and Deliveries return a moment later.
func (p *Producer) Stop(ctx context.Context) error {
	return p.stop(ctx, p.lifecycle.Stop, stopGrace)
}

// Shutdown is Stop for good: from its call on nothing is started again, and
// Start and WriteMessages get ErrClosed.
func (p *Producer) Shutdown(ctx context.Context) error {
	return p.stop(ctx, p.lifecycle.Shutdown, stopGrace)
}

// Close is Shutdown bounded by Config.StopTimeout, the cut included.
func (p *Producer) Close() error {
	reserve := p.cfg.stopReserve()
	ctx, cancel := context.WithTimeoutCause(context.Background(), p.cfg.StopTimeout-reserve, errStopTimeout)
	defer cancel()
	return p.stop(ctx, p.lifecycle.Shutdown, reserve)
}

// stopGrace is how long a Stop whose context has ended waits for what it cut off to end, so that it
// leaves nothing open behind it. For the counts it waits in any case: they are made first, and wait
// for nobody.
const stopGrace = 40 * time.Millisecond

func (p *Producer) stop(ctx context.Context, stop func(context.Context) error, grace time.Duration) error {
	p.stopped()
	c := p.cut.Load()
	before := c.come()
	err := stop(ctx)
	var stopErr *fsm.StopError
	if !errors.As(err, &stopErr) {
		return err
	}
	// Who leaves while others wait has nothing to wait for; but what is being closed
	// already is closed in a moment.
	if ctx.Err() == nil || stopErr.CutOff == 0 && !c.come() && p.lifecycle.Status().Releasing == "" {
		return &StopError{Err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	p.lifecycle.Wait(ctx, fsm.Idle, fsm.Starting, fsm.Started, fsm.Closed) // out of Stopping
	if stopErr.CutOff > 0 {                                                // by this caller, so that a cut comes
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

// Flush sends at once what lingers, and waits until every message that was admitted before the
// call has its verdict, or ctx ends; it returns the cause of ctx then. When it returns nil,
// Config.Completion has seen these messages, and their Deliveries are done. It stops nothing, and
// does not keep a Stop from cutting off messages. Config.Completion must not call it.
func (p *Producer) Flush(ctx context.Context) error {
	if cause := ended(ctx); cause != nil {
		return cause
	}
	return p.engine.Flush(ctx)
}

// complete calls Config.Completion, and logs a panic or an exit in it.
func (p *Producer) complete(msgs []kafka.Message, f sender.Failure) {
	topic, partition, returned := msgs[0].Topic, msgs[0].Partition, false // before the slice is Completion's
	defer func() {
		if v := recover(); v != nil {
			p.warnings.topic("Config.Completion panicked", topic, partition, &fsm.PanicError{Value: v, Stack: debug.Stack()})
		} else if !returned {
			p.warnings.topic("Config.Completion ended its goroutine", topic, partition, errExited)
		}
	}()
	p.cfg.Completion(msgs, failureOf(f))
	returned = true
}

var errExited = errors.New("runtime.Goexit was called")

// State returns the state. It never blocks.
func (p *Producer) State() State { return p.lifecycle.State() }

// Status returns what the producer is doing, part by part. It does not block.
func (p *Producer) Status() fsm.Status { return p.lifecycle.Status() }

// Wait waits for one of the states, as [fsm.Lifecycle.Wait].
func (p *Producer) Wait(ctx context.Context, states ...State) (State, error) {
	return p.lifecycle.Wait(ctx, states...)
}

// Done returns a channel that is closed when the producer is closed for good.
func (p *Producer) Done() <-chan struct{} { return p.lifecycle.Done() }

// FlushObservers is fsm.Lifecycle.FlushObservers: it waits until the observers and
// tracers of Config.Lifecycle have received every transition that took effect before the
// call, or returns the cause of ctx once ctx ends.
func (p *Producer) FlushObservers(ctx context.Context) error { return p.lifecycle.FlushObservers(ctx) }

// String says where it sends to, and its state.
func (p *Producer) String() string {
	topics := strings.Join(p.topics, ",")
	if p.cfg.AnyTopic {
		topics = strings.Trim(topics+",*", ",")
	}
	return "producer(" + topics + ") " + p.State().String()
}
