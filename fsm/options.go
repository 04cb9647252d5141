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
	backoff        Backoff         // nil: one try
	breaker        Breaker         // may be nil
	restart        Backoff         // nil: who has died stays so
	base           context.Context // nil: the first caller's
	logger         *slog.Logger    // nil: slog.Default, asked when there is something to log
	observers      []func(news)
	steps          bool         // one of them wants to see these too
	hook           control.Hook // nil, but under a scheduler
}

func init() {
	control.WithHook = func(h control.Hook) any {
		return Option(func(c *config) { c.hook = h })
	}
}

func newConfig(opts []Option) config {
	c := config{stopTimeout: 30 * time.Second, releaseTimeout: 10 * time.Second}
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

// WithBaseContext makes the contexts of open and of the releases carry the
// values of ctx instead of those of the first caller of Start. The end of ctx
// has no effect. A nil ctx panics.
func WithBaseContext(ctx context.Context) Option {
	if ctx == nil {
		panic("fsm: WithBaseContext(nil): want a context")
	}
	return func(c *config) { c.base = ctx }
}

// WithLogger sets where misbehaviour is logged that no caller would otherwise
// learn of: a release that outlives its timeout, a failed release that nobody
// waits for, a panic in an observer. The default is slog.Default.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.logger = logger }
}

// WithObserver makes f see every transition: in order, none lost, one at a time,
// on a goroutine of its own that ends when there is nothing more to tell, outside
// every lock. It sees a transition after it took effect, perhaps after the call
// that caused it has returned. A panic in f is logged and harms nobody; f may
// call any method. With several observers each transition is told to all, in the
// order of the options, before the next one. A nil f panics.
func WithObserver(f func(Transition)) Option {
	if f == nil {
		panic("fsm: WithObserver(nil): want a function")
	}
	return func(c *config) {
		c.observers = append(c.observers, func(n news) {
			if n.step == nil {
				f(n.Transition)
			}
		})
	}
}

func (c *config) log() *slog.Logger {
	if c.logger != nil {
		return c.logger
	}
	return slog.Default()
}
