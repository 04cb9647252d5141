package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/resilience"
)

// A database that needs a moment, and may be away for long: one Start waits for the
// first, and many learn of the second at once.
func Example() {
	errAway, errPassword := errors.New("connection refused"), errors.New("wrong password")
	tries := 0
	database := fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		s.Part("connection")
		if tries++; tries < 3 {
			return "", errAway
		}
		return "a connection", nil
	},
		fsm.WithStartTimeout(time.Minute), // bounds an attempt, with all its tries
		fsm.WithRetry(resilience.NewRetry(resilience.RetryConfig{ // pauses from 0.5 s on, growing, with jitter
			Temporary: func(err error) bool { return !errors.Is(err, errPassword) },
		})),
		fsm.WithBreaker(resilience.NewBreaker(resilience.BreakerConfig{})), // refuses for a minute after five failed attempts in a row
	)
	defer database.Close()
	fmt.Println(database.Start(context.Background()), tries)
	// Output: <nil> 3
}

// What an open says of its error goes before Temporary.
func ExampleNewRetry() {
	tries := 0
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) {
		if tries++; tries == 1 {
			return 0, errors.New("not yet")
		}
		return 0, backoff.Permanent(errors.New("no such table"))
	}, fsm.WithRetry(resilience.NewRetry(resilience.RetryConfig{
		Pauses: backoff.NewConstantBackOff(time.Millisecond),
		Tries:  10,
		Within: time.Minute,
	})))
	fmt.Println(l.Start(context.Background()))
	// Output: fsm: start: attempt 1: no such table (1 try failed before, with: not yet)
}

// The decisions of a Retry, requested by hand.
func ExampleRetry_Next() {
	r := resilience.NewRetry(resilience.RetryConfig{
		Tries:  3,
		Pauses: &backoff.ExponentialBackOff{InitialInterval: time.Second, Multiplier: 2, MaxInterval: time.Minute},
	})
	for try := 1; try <= 3; try++ {
		fmt.Println(r.Next(try, errors.New("refused")))
	}
	// Output:
	// 1s true
	// 2s true
	// 0s false
}

// While a Breaker is open a start fails at once, and says until when.
func ExampleBreaker() {
	b := resilience.NewBreaker(resilience.BreakerConfig{
		Failures: 2,
		CoolDown: 10 * time.Millisecond,
		Changed:  func(c resilience.Change) { fmt.Println("the breaker was", c.From, "and is", c.To) },
	})
	var down error = errors.New("connection refused")
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, down }, fsm.WithBreaker(b))
	defer l.Close()
	ctx := context.Background()
	l.Start(ctx)
	l.Start(ctx)
	var open *resilience.OpenError
	if err := l.Start(ctx); errors.As(err, &open) {
		fmt.Println("not tried, because of:", open.Err)
	}
	down = nil
	time.Sleep(time.Until(open.Until))
	err := l.Start(ctx)
	l.Stop(ctx) // by its end the breaker knows that the attempt opened the resource
	var state resilience.State = b.State()
	fmt.Println(err, state == resilience.Closed)
	// Output:
	// the breaker was closed and is open
	// not tried, because of: connection refused
	// the breaker was open and is half-open
	// the breaker was half-open and is closed
	// <nil> true
}

// A Breaker without a lifecycle: what may be under way at the same time asks it.
func ExampleBreaker_Allow() {
	b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1})
	done, err := b.Allow()
	fmt.Println(err)
	done(fsm.Failed, errors.New("refused"))
	_, err = b.Allow()
	var open *resilience.OpenError
	fmt.Println(errors.As(err, &open), time.Until(open.Until) > 0)
	// Output:
	// <nil>
	// true true
}

// Tries: 2 is two tries of an attempt, and two restarts of what died. WithRestart asks
// for the Backoff that counts restarts.
func ExampleRetry_Restarts() {
	config := resilience.RetryConfig{Tries: 2, Pauses: backoff.NewConstantBackOff(time.Second)}
	tries, restarts := resilience.NewRetry(config), resilience.NewRetry(config).Restarts()
	for n := 1; n <= 3; n++ {
		_, try := tries.Next(n, errors.New("try failed"))
		_, restart := restarts.Next(n, errors.New("died, or the restart before failed"))
		fmt.Println(n, try, restart)
	}
	// Output:
	// 1 true true
	// 2 false true
	// 3 false false
}
