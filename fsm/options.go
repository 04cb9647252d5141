package fsm

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed3893aba4/surestart/internal/control"
)

// Option configures a Lifecycle; see New.
type Option func(*config)

type config struct {
	startTimeout   time.Duration // 0: none
	stopTimeout    time.Duration
	releaseTimeout time.Duration
	backoff        Backoff                               // nil: one try
	breaker        Breaker                               // may be nil
	restart        Backoff                               // nil: who has died stays so
	base           context.Context                       // WithBaseContext; it never ends
	callerContext  func(context.Context) context.Context // may be nil
	logger         *slog.Logger                          // nil: slog.Default, asked when there is something to log
	observers      []*observer
	steps          bool         // one of the observers receives these too
	hook           control.Hook // nil, but under a scheduler
}

func init() {
	control.WithHook = func(h control.Hook) any {
		return Option(func(c *config) { c.hook = h })
	}
}

func newConfig(opts []Option) config {
	c := config{stopTimeout: 30 * time.Second, releaseTimeout: 10 * time.Second, base: context.Background()}
	for _, opt := range opts {
		if opt == nil {
			panic("fsm: New: a nil Option")
		}
		opt(&c)
	}
	return c
}

// WithStartTimeout bounds each attempt to open: when d has passed the attempt is
// cancelled with context.DeadlineExceeded as its cause, rolled back, and fails.
// Zero, the default, is no bound. A negative d panics.
func WithStartTimeout(d time.Duration) Option {
	if d < 0 {
		panic(fmt.Sprintf("fsm: WithStartTimeout(%v): want 0 (none) or more", d))
	}
	return func(c *config) { c.startTimeout = d }
}

// WithStopTimeout bounds Close: when d has passed it cuts the drain short, as a
// Shutdown does whose context ends. The default is 30 seconds. A d that is not
// positive panics.
func WithStopTimeout(d time.Duration) Option {
	if d <= 0 {
		panic(fmt.Sprintf("fsm: WithStopTimeout(%v): want more than 0", d))
	}
	return func(c *config) { c.stopTimeout = d }
}

// WithReleaseTimeout bounds the context that each part's release is given; a
// release that outlives it is logged once and waited for all the same, and its
// part stays held in Status (G9). The default is 10 seconds a part. A d that is
// not positive panics.
func WithReleaseTimeout(d time.Duration) Option {
	if d <= 0 {
		panic(fmt.Sprintf("fsm: WithReleaseTimeout(%v): want more than 0", d))
	}
	return func(c *config) { c.releaseTimeout = d }
}

// WithBaseContext gives the contexts of open, of the releases and of the leases the
// values of ctx. The end of ctx has no effect. By default these contexts carry no
// values: a caller's context may be a request's, and the resource outlives it. A nil
// ctx panics.
func WithBaseContext(ctx context.Context) Option {
	if ctx == nil {
		panic("fsm: WithBaseContext(nil): want a context")
	}
	return func(c *config) { c.base = context.WithoutCancel(ctx) }
}

// WithCallerContext gives an attempt values of the Start that began it. Each Start that
// may begin or join an attempt calls f with its own context: in the caller's goroutine,
// outside every lock, before it takes effect. The attempt carries the values, not the
// end, of what f returned for the first caller that waited for it, also after that
// caller has left; a key without a value there has the one of WithBaseContext. A
// restart (WithRestart) carries the values of the attempt that died.
//
// f decides what outlives the call: a context that has only the link to the caller's
// trace, say. To return the caller's context itself is right only if its values may be
// read, and kept in memory, until the resource is closed. If f returns nil, that caller
// has no values to give. If f panics, Start panics, and nothing has happened. A nil f
// panics.
func WithCallerContext(f func(caller context.Context) context.Context) Option {
	if f == nil {
		panic("fsm: WithCallerContext(nil): want a function")
	}
	return func(c *config) { c.callerContext = f }
}

// WithLogger sets where misbehaviour is logged that no caller would otherwise
// learn of: a release that outlives its timeout, a failed release that nobody
// waits for, a panic in an observer. The default is slog.Default. The logger is called on
// a goroutine of its own that ends when there is nothing more to log: it may be slow,
// hang or panic, and holds up nothing but its own lines. So a line may come after the
// call that it is of has returned.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.logger = logger }
}

// WithObserver makes the lifecycle call f for every transition: in order, none lost,
// one at a time, on a goroutine of its own that ends when there is nothing more to
// deliver, outside every lock. f is called after the transition took effect, perhaps
// after the call that caused it has returned; FlushObservers waits for f.
//
// Each observer has a queue of its own: one that is slow or hangs holds up neither the
// lifecycle, nor the logger, nor the other observers, between which there is no order.
// The queue has no bound: behind an f that hangs it grows by each transition, and
// Status.Undelivered says how long it is. A panic in f is logged and harms nobody; f
// may call any method, but must not wait for its own return (FlushObservers). A nil f
// panics.
func WithObserver(f func(Transition)) Option {
	if f == nil {
		panic("fsm: WithObserver(nil): want a function")
	}
	return func(c *config) {
		c.observers = append(c.observers, &observer{receive: func(n notification) { f(n.Transition) }})
	}
}

func (c *config) log() *slog.Logger {
	if c.logger != nil {
		return c.logger
	}
	return slog.Default()
}
