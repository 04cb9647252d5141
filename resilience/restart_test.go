package resilience_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/resilience"
)

// A Retry of its own also serves WithRestart: Tries: 3 means three restarts since the last Stop, or
// since the resource last ran for a minute.
func TestRetryOfRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened []time.Duration
		began, down := time.Now(), false
		var scope *fsm.Scope
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			opened = append(opened, time.Since(began))
			scope = s
			if down {
				return 0, errBoom
			}
			return 42, nil
		}, fsm.WithRestart(resilience.NewRetry(resilience.RetryConfig{Pauses: steady(), Tries: 3})), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		if err := l.Start(bg); err != nil {
			t.Fatal(err)
		}
		down = true
		scope.Fail(errors.New("died"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := seconds(0, .5, 1.25, 2.375); !slices.Equal(opened, want) {
			t.Errorf("opened at %v; want %v", opened, want)
		}
		down, opened, began = false, nil, time.Now()
		if err := l.Start(bg); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(time.Minute)
			synctest.Wait()
			scope.Fail(errBoom)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if want := seconds(0, 60.5, 121.5, 182.5); !slices.Equal(opened, want) {
			t.Errorf("opened at %v; want %v", opened, want)
		}
		l.Close()
	})
}

// An attempt that the breaker refuses does not count: the restart waits until the breaker admits
// one.
func TestRestartsAndABreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened []time.Duration
		began, away := time.Now(), 10*time.Minute
		var scope *fsm.Scope
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			at := time.Since(began)
			opened = append(opened, at)
			scope = s
			if at > 0 && at < away {
				return 0, errBoom
			}
			return 42, nil
		}, fsm.WithLogger(slog.New(slog.DiscardHandler)),
			fsm.WithRestart(resilience.NewRetry(resilience.RetryConfig{Tries: 20, Pauses: steady()})),
			fsm.WithBreaker(resilience.NewBreaker(resilience.BreakerConfig{})))
		if err := l.Start(bg); err != nil {
			t.Fatal(err)
		}
		scope.Fail(errBoom)
		if _, err := l.Wait(bg, fsm.Started); err != nil {
			t.Fatal(err)
		}
		if up := time.Since(began); up < away || up > away+time.Minute {
			t.Errorf("up again after %v; want within a cool-down of %v", up, away)
		}
		if n := len(opened); n < 10 || n > 20 { // five, then one a cool-down
			t.Errorf("opened %d times, at %v", n, opened)
		}
		l.Close()
	})
}
