package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// soon pauses a little longer before each restart, and makes five at most.
type soon struct{}

func (soon) Next(try int, err error) (wait time.Duration, again bool) {
	return time.Duration(try) * time.Millisecond, try <= 5
}

// A session that died is started again, until a Stop.
func ExampleWithRestart() {
	opened := 0
	var session *fsm.Scope
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		opened++
		if opened == 2 {
			return "", errors.New("the server is still down")
		}
		session = s
		s.Defer("session", func(context.Context) error { return nil })
		return fmt.Sprintf("session %d", opened), nil
	}, fsm.WithRestart(soon{}), fsm.WithLogger(slog.New(slog.DiscardHandler)))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l.Start(ctx)
	session.Fail(errors.New("reset by peer")) // its watcher reports that it died
	l.Wait(ctx, fsm.Started)
	l.Use(ctx, func(_ context.Context, s string) error { fmt.Println(s); return nil })

	fmt.Println(l.Stop(ctx), l.Status().RestartAt.IsZero()) // and nothing is due any more
	// Output:
	// session 3
	// <nil> true
}

// Ready reports whether the resource is open or, if nothing is going to open it, why.
func ExampleLifecycle_Ready() {
	l := fsm.New(func(context.Context, *fsm.Scope) (string, error) { return "session", nil })
	ctx := context.Background()
	fmt.Println(l.Ready(ctx))
	l.Start(ctx)
	fmt.Println(l.Ready(ctx))
	l.Stop(ctx)
	fmt.Println(l.Ready(ctx))
	// Output:
	// fsm: not started
	// <nil>
	// fsm: stopped
}
