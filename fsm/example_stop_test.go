package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// Stopping for good, within a deadline. Here a use is in flight that is deaf.
func ExampleLifecycle_Shutdown() {
	l := fsm.New(func(context.Context, *fsm.Scope) (string, error) { return "connected", nil })
	l.Start(context.Background())
	lease, _ := l.Acquire()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := l.Shutdown(ctx) // waits for the uses in flight; at the deadline it cuts them off
	var stop *fsm.StopError
	if errors.As(err, &stop) {
		fmt.Println("cut off:", stop.CutOff)
	}
	<-l.Done() // the parts are given back now, also after a forced Shutdown

	fmt.Println(l.State(), lease.Context().Err())
	lease.Release()
	// Output:
	// cut off: 1
	// Closed context canceled
}

// Two components share one connection. Neither knows of the other.
func ExampleLifecycle_Hold() {
	shared := fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		fmt.Println("opened")
		s.Defer("connection", func(context.Context) error { fmt.Println("closed"); return nil })
		return "connection", nil
	})
	ctx := context.Background()

	_, releaseFirst, err := shared.Hold(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	held, releaseSecond, err := shared.Hold(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("first releases:", releaseFirst(ctx))
	fmt.Println("still held:", held.Err() == nil)
	fmt.Println("second releases:", releaseSecond(ctx))
	// Output:
	// opened
	// first releases: <nil>
	// still held: true
	// closed
	// second releases: <nil>
}
