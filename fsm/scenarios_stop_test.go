package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// The rest of scenarios_test.go: ends, and what comes after them.

// kafka-go #1307: a close that races a write hangs forever.
func TestR20CloseRacesUse(t *testing.T) {
	for round := range 24 { // real goroutines: the race is the point
		s := &sender{}
		l := client(s, works)
		mustBe(t, "Start", l.Start(bg), nil)
		results := together(8, func(i int) error {
			if i == round%8 {
				return l.Close()
			}
			for {
				if err := l.Use(bg, func(context.Context, *sender) error { return nil }); err != nil {
					return err
				}
			}
		})
		for i, err := range results {
			if i == round%8 {
				mustBe(t, "Close", err, nil)
			} else {
				mustBe(t, "Use", err, fsm.ErrClosed)
			}
		}
		s.want(t, 0, 1)
	}
}

// sarama #1017, #2647: closing twice panics.
func TestR21ClosedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, works)
		var c io.Closer = l
		mustBe(t, "Start", l.Start(bg), nil)
		for _, err := range together(10, func(int) error { return c.Close() }) {
			mustBe(t, "Close, at once", err, nil)
		}
		mustBe(t, "Close, again", c.Close(), nil)
		s.want(t, 0, 1)
	})
}

// sarama #1441, confluent-kafka-go #909: a send after close panics.
func TestR22UseAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, works)
		mustBe(t, "Start", l.Start(bg), nil)
		mustEnd(t, l, s)
		mustBe(t, "Use", l.Use(bg, func(context.Context, *sender) error { t.Error("admitted"); return nil }), fsm.ErrClosed)
		_, err := l.Acquire()
		mustBe(t, "Acquire", err, fsm.ErrClosed)
	})
}

// kafka-go #602, #805: a WaitGroup is reused while it is waited for: uses that
// begin as the last one ends, under a stop, again and again.
func TestR23UsesComeAndGoUnderStops(t *testing.T) {
	s := &sender{}
	l := client(s, works)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			mustBe(t, "Start", l.Start(bg), nil)
			mustBe(t, "Stop", l.Stop(bg), nil)
		}
		mustEnd(t, l, s)
	}()
	for _, err := range together(4, func(int) error {
		for {
			err := l.Use(bg, func(_ context.Context, s *sender) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.live != 1 {
					return fmt.Errorf("%d senders live in a use", s.live)
				}
				return nil
			})
			if err != nil && !errors.Is(err, fsm.ErrNotStarted) {
				return err
			}
		}
	}) {
		mustBe(t, "Use", err, fsm.ErrClosed)
	}
	<-done
}

// franz-go #847: close hangs when the client never connected.
func TestR25CloseOfTheNeverConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }) // forever
		results := together(2, func(i int) error {
			if i == 0 {
				return l.Start(bg)
			}
			time.Sleep(time.Hour)
			began := time.Now()
			err := l.Close()
			if took := time.Since(began); took > 0 {
				t.Errorf("Close took %v", took)
			}
			return err
		})
		mustBe(t, "Start", results[0], fsm.ErrClosed)
		mustBe(t, "Close", results[1], nil)
		s.want(t, 0, 1)
	})
}

// Guava #1478, #2072: a listener runs under a lock, and deadlocks.
func TestR29ListenerCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		var l *fsm.Lifecycle[*sender]
		var seen []spec.Event
		l = client(s, works, fsm.WithObserver(func(tr fsm.Transition) {
			seen = append(seen, tr.Event)
			l.Status()
			switch tr.Event {
			case spec.EventOpened:
				// Another goroutine makes the same calls, and the listener waits for it.
				together(2, func(int) error { l.Status(); return l.Start(bg) })
				mustBe(t, "Stop in a listener", l.Stop(bg), nil)
			case spec.EventReleased:
				mustBe(t, "Close in a listener", l.Close(), nil)
			}
		}))
		mustBe(t, "Start", l.Start(bg), nil)
		<-l.Done()
		synctest.Wait()
		if want := []spec.Event{spec.EventStart, spec.EventOpened, spec.EventStop, spec.EventReleased, spec.EventShutdown}; !slices.Equal(seen, want) {
			t.Errorf("the listener saw %v; want %v", seen, want)
		}
		s.want(t, 0, 1)
	})
}

// dskit #563: each listener leaks a goroutine (the bubble ends with none).
func TestR30ListenersLeakNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		var opts []fsm.Option
		var seen atomic.Int32 // each listener has a goroutine
		for range 10 {
			opts = append(opts, fsm.WithObserver(func(fsm.Transition) { seen.Add(1) }))
		}
		l := client(s, works, opts...)
		for range 3 {
			mustBe(t, "Start", l.Start(bg), nil)
			mustBe(t, "Stop", l.Stop(bg), nil)
		}
		synctest.Wait()
		if seen.Load() != 3*4*10 {
			t.Errorf("the listeners saw %d transitions; want %d", seen.Load(), 3*4*10)
		}
		// Never closed: an idle one holds no goroutine either.
	})
}

// controller-runtime #3247: a late error blocks forever after the shutdown timed out.
func TestR31LateErrorAfterATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		var scope *fsm.Scope
		l := fsm.New(func(ctx context.Context, sc *fsm.Scope) (*sender, error) {
			scope = sc
			s.launch(sc)
			sc.Defer("slow", func(context.Context) error { time.Sleep(time.Minute); return errBroker })
			return s, nil
		}, fsm.WithReleaseTimeout(time.Hour))
		mustBe(t, "Start", l.Start(bg), nil)
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		mustBe(t, "Shutdown", l.Shutdown(ctx), context.DeadlineExceeded)
		scope.Fail(errBroker) // no goroutine listens any more
		<-l.Done()
		scope.Fail(errBroker)
		mustBe(t, "the release's error is kept", l.Status().Cause, errBroker)
		s.want(t, 0, 1)
	})
}

// kafka-go #599, #803, #1358: goroutines survive Close. A forced one too leaves none.
func TestR32NothingSurvivesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		l := client(s, works, fsm.WithStartTimeout(time.Hour), fsm.WithObserver(func(fsm.Transition) {}))
		mustBe(t, "Start", l.Start(bg), nil)
		inUse := make(chan struct{})
		use := make(chan error)
		go func() {
			use <- l.Use(bg, func(ctx context.Context, _ *sender) error {
				close(inUse)
				<-ctx.Done() // it is cut off
				return context.Cause(ctx)
			})
		}()
		<-inUse
		var stop *fsm.StopError
		if err := l.Close(); !errors.As(err, &stop) || stop.CutOff != 1 {
			t.Errorf("Close: %v; want one use cut off", err)
		}
		mustBe(t, "Use", <-use, fsm.ErrClosed)
		<-l.Done()
		s.want(t, 0, 1)
	})
}
