package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// Bugs that really happened to other systems' starts and stops, replayed on a
// Lifecycle. Each in a bubble, where a goroutine that is left behind fails the test.

var errBroker = errors.New("the broker is down")

// A sender is the background work of a started client: it beats until it is released. A live sender
// without an owner is the leak that most of these bugs left.
type sender struct {
	mu    sync.Mutex
	live  int // that run
	made  int
	found []string // what was wrong
}

func (s *sender) launch(scope *fsm.Scope) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	s.mu.Lock()
	s.live, s.made = s.live+1, s.made+1
	if s.live > 1 {
		s.found = append(s.found, fmt.Sprintf("%d senders live", s.live))
	}
	s.mu.Unlock()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
		}
	}()
	scope.Defer("sender", func(ctx context.Context) error {
		if ctx.Err() != nil {
			return ctx.Err() // as a client that is given an expired context
		}
		close(stop)
		<-stopped
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live--
		return nil
	})
}

// want checks how many senders run, and how many ever ran.
func (s *sender) want(t *testing.T, live, made int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != live || s.made != made || s.found != nil {
		t.Errorf("%d senders live, %d made, %v; want %d, %d", s.live, s.made, s.found, live, made)
	}
}

// client is a lifecycle of a sender, whose bootstrap runs first and after.
func client(s *sender, bootstrap func(ctx context.Context) error, opts ...fsm.Option) *fsm.Lifecycle[*sender] {
	return fsm.New(func(ctx context.Context, scope *fsm.Scope) (*sender, error) {
		scope.Part("sender")
		s.launch(scope)
		scope.Part("bootstrap")
		return s, bootstrap(ctx)
	}, opts...)
}

func works(context.Context) error { return nil }

func slowly(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// together calls f from n goroutines and returns what each returned.
func together(n int, f func(i int) error) []error {
	results := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { results[i] = f(i) })
	}
	all.Wait()
	return results
}

func mustBe(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: %v; want %v", what, err, want)
	}
}

func mustEnd(t *testing.T, l *fsm.Lifecycle[*sender], s *sender) {
	t.Helper()
	mustBe(t, "Close", l.Close(), nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != 0 || s.found != nil {
		t.Errorf("closed, and %d senders live, %v", s.live, s.found)
	}
}

var bg = context.Background()

// aiokafka #1143: two starts, two senders, a busy loop.
func TestR1TwoStartsOneSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, slowly)
		for _, err := range together(2, func(int) error { return l.Start(bg) }) {
			mustBe(t, "Start", err, nil)
		}
		s.want(t, 1, 1)
		mustEnd(t, l, s)
	})
}

// aiokafka PR #1143: the second of two starts reports success while the first is
// still bootstrapping, which then fails.
func TestR2SecondStartToldTheTruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		began := time.Now()
		l := client(s, func(ctx context.Context) error { slowly(ctx); return errBroker })
		for _, err := range together(2, func(i int) error {
			time.Sleep(time.Duration(i) * 500 * time.Millisecond)
			return l.Start(bg)
		}) {
			mustBe(t, "Start", err, errBroker)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("the Starts took %v; want the bootstrap's 1s", took)
		}
		s.want(t, 0, 1)
		mustEnd(t, l, s)
	})
}

// aiokafka PR #1143: a cancelled start leaves "started" set: the retry does
// nothing, and nothing sends.
func TestR5CancelledStartThenRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, slowly)
		ctx, cancel := context.WithTimeout(bg, 500*time.Millisecond)
		defer cancel()
		mustBe(t, "the cancelled Start", l.Start(ctx), context.DeadlineExceeded)
		mustBe(t, "the retry", l.Start(bg), nil)
		s.want(t, 1, 2)
		mustBe(t, "Use", l.Use(bg, func(context.Context, *sender) error { return nil }), nil)
		mustEnd(t, l, s)
	})
}

// CometBFT's BaseService: a panicking start blocks every later one ("already started").
func TestR6PanickingStartThenRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		panics := true
		l := client(s, func(context.Context) error {
			if panics {
				panic("OnStart")
			}
			return nil
		})
		for range 3 {
			var p *fsm.PanicError
			if err := l.Start(bg); !errors.As(err, &p) || p.Value != "OnStart" {
				t.Errorf("the panicking Start: %v", err)
			}
		}
		panics = false
		mustBe(t, "the retry", l.Start(bg), nil)
		s.want(t, 1, 4)
		mustEnd(t, l, s)
	})
}

// sarama's NewAsyncProducer, aiokafka #715: each failed start leaks a client.
func TestR8FailedStartsLeakNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, func(context.Context) error { return errBroker })
		for n := 1; n <= 5; n++ {
			mustBe(t, "Start", l.Start(bg), errBroker)
			s.want(t, 0, n)
		}
		mustEnd(t, l, s)
	})
}

// uber/fx #1035: the rollback runs with the start's context, which has expired,
// so it releases nothing.
func TestR9RollbackOnAFreshContext(t *testing.T) {
	for name, opts := range map[string][]fsm.Option{"caller's deadline": nil, "start timeout": {fsm.WithStartTimeout(time.Second)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sender{}
				l := client(s, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, opts...)
				ctx, cancel := context.WithTimeout(bg, time.Second)
				defer cancel()
				mustBe(t, "Start", l.Start(ctx), context.DeadlineExceeded)
				if _, err := l.Wait(bg, spec.Idle); err != nil {
					t.Errorf("Wait: %v", err)
				}
				s.want(t, 0, 1) // the sender refuses to stop on an expired context
				mustEnd(t, l, s)
			})
		})
	}
}

// A singleflight variant: a waiter's cancellation makes the work run twice.
func TestR12WaiterLeavesWorkRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, slowly)
		results := together(100, func(i int) error {
			ctx, cancel := bg, func() {}
			if i%10 != 0 { // nine of ten give up, the first caller perhaps among them
				ctx, cancel = context.WithTimeout(bg, time.Duration(i)*5*time.Millisecond)
			}
			defer cancel()
			return l.Start(ctx)
		})
		for i, err := range results {
			if i%10 != 0 {
				mustBe(t, "a Start that gave up", err, context.DeadlineExceeded)
			} else {
				mustBe(t, "a Start that stayed", err, nil)
			}
		}
		s.want(t, 1, 1)
		mustEnd(t, l, s)
	})
}

// aiokafka, CometBFT, dskit #409: a stop during a start returns at once; then the
// start completes, and stays up for good.
func TestR14StopDuringStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, func(context.Context) error { time.Sleep(time.Second); return nil }) // deaf
		results := together(2, func(i int) error {
			if i == 0 {
				return l.Start(bg)
			}
			time.Sleep(500 * time.Millisecond)
			err := l.Stop(bg)
			s.want(t, 0, 1) // not before it is rolled back
			return err
		})
		mustBe(t, "Start", results[0], fsm.ErrStopped)
		mustBe(t, "Stop", results[1], nil)
		time.Sleep(time.Hour)
		s.want(t, 0, 1)
		if l.State() != spec.Idle {
			t.Errorf("the state is %v", l.State())
		}
		mustEnd(t, l, s)
	})
}

// golang #20239, gofr #4139: a final stop that arrives before the start is
// forgotten, and the start goes ahead.
func TestR15ShutdownBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, works)
		mustBe(t, "Shutdown", l.Shutdown(bg), nil)
		for range 3 {
			mustBe(t, "Start", l.Start(bg), fsm.ErrClosed)
		}
		s.want(t, 0, 0)
		mustEnd(t, l, s)
	})
}

// otel-contrib #31927: a Stop before any Start panics.
func TestR16StopOfTheNeverStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, works)
		mustBe(t, "Stop", l.Stop(bg), nil)
		mustBe(t, "Shutdown", l.Shutdown(bg), nil)
		s.want(t, 0, 0)
		mustEnd(t, l, s)
	})
}
