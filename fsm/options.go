package fsm

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed3893aba4/surestart/internal/control"
)

// An Option configures a Lifecycle: see New. If an option is given twice, the last one
// counts, except that each WithObserver and each WithTracer adds an observer.
type Option func(*config)

type config struct {
	startTimeout   time.Duration // 0: none
	stopTimeout    time.Duration
	releaseTimeout time.Duration
	backoff        Backoff                               // nil: one try
	breaker        Breaker                               // may be nil
	restart        Backoff                               // nil: a resource that died is not restarted
	base           context.Context                       // WithBaseContext; it never ends
	callerContext  func(context.Context) context.Context // may be nil
	logger         *slog.Logger                          // nil: slog.Default(), called for each line
	observers      []*observer
	steps          bool         // an observer also receives steps
	hook           control.Hook // nil, except under a scheduler
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

// WithStartTimeout bounds each attempt, with all its tries: after d the attempt is
// cancelled with the cause context.DeadlineExceeded, rolled back, and fails. Zero, the
// default, means no bound. A negative d panics.
func WithStartTimeout(d time.Duration) Option {
	if d < 0 {
		panic(fmt.Sprintf("fsm: WithStartTimeout(%v): want 0 (none) or more", d))
	}
	return func(c *config) { c.startTimeout = d }
}

// WithStopTimeout bounds Close and the close of a Run: after d the drain is cut short, as
// by a Shutdown whose context ends. The default is 30 seconds. A d that is not positive
// panics.
func WithStopTimeout(d time.Duration) Option {
	if d <= 0 {
		panic(fmt.Sprintf("fsm: WithStopTimeout(%v): want more than 0", d))
	}
	return func(c *config) { c.stopTimeout = d }
}

// WithReleaseTimeout sets how long the context of each part's release lasts. If a release
// takes longer than d, one line is logged; the lifecycle still waits for the release, and
// Status shows its part as held (G9). The default is 10 seconds for each part. A d that is
// not positive panics.
func WithReleaseTimeout(d time.Duration) Option {
	if d <= 0 {
		panic(fmt.Sprintf("fsm: WithReleaseTimeout(%v): want more than 0", d))
	}
	return func(c *config) { c.releaseTimeout = d }
}

// WithBaseContext gives the contexts of open, of the releases and of the leases the
// values of ctx. The end of ctx has no effect. By default these contexts have no values:
// a caller's context may belong to a request, and the resource outlives the request. A nil
// ctx panics.
func WithBaseContext(ctx context.Context) Option {
	if ctx == nil {
		panic("fsm: WithBaseContext(nil): want a context")
	}
	return func(c *config) { c.base = context.WithoutCancel(ctx) }
}

// WithCallerContext gives an attempt values from the context of the Start that starts it.
// Each Start that may start or join an attempt calls f with its own context: in the caller's
// goroutine, outside every lock, before the Start takes effect. The attempt uses the context
// that f returned for the first caller that waited for it, also after that caller has left.
// It uses only the values of that context, not its end. A key without a value there has the
// value of WithBaseContext. A restart (WithRestart) has the values of the attempt that died.
//
// f selects the values that outlive the call, for example only the link to the caller's
// trace. f may return the caller's context itself only if its values may be read, and kept
// in memory, until the resource is closed. If f returns nil, the attempt has no values of
// that caller. If f panics, Start panics without any effect. A nil f panics.
func WithCallerContext(f func(caller context.Context) context.Context) Option {
	if f == nil {
		panic("fsm: WithCallerContext(nil): want a function")
	}
	return func(c *config) { c.callerContext = f }
}

// WithLogger sets the logger for problems that no caller receives as an error: a release
// that outlives its timeout, a failed release that no call waits for, a panic of an
// observer. The default, also for a nil logger, is slog.Default().
//
// The logger is called in a goroutine of its own, which ends when no lines are left. A
// logger that is slow, hangs or panics delays only its own lines. A line may be logged
// after the call that it belongs to has returned.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.logger = logger }
}

// WithObserver makes the lifecycle call f for every transition: in order, none lost, one
// at a time, outside every lock. f runs in a goroutine of its own, which ends when no
// transitions are pending. It is called after the transition has taken effect, perhaps
// after the call that caused it has returned; FlushObservers waits for f.
//
// Each observer has a queue of its own: an observer that is slow or hangs delays neither the
// lifecycle, nor the logger, nor other observers. Between observers there is no order. The
// queue has no bound: if f hangs, each transition makes it longer, and Status.Undelivered
// is its length. A panic of f is logged and has no other effect. f may call any method,
// but must not wait for its own return (FlushObservers). A nil f panics.
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
