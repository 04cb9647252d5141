package demo

import (
	"context"
	"sync"
	"time"
)

// outcomes is what a crowd of callers of Start was told.
type outcomes struct {
	ok     int // nil
	early  int // of them, before any broker had answered an opening: nothing can have been open
	gaveUp int // their context ended, and Start said so
	failed int // another error
	err    error
}

// A crowd is a number of callers of Start, released together.
type crowd struct {
	n        int
	patience func(i int) time.Duration // of the i-th caller
	late     int                       // this many of them come after lateBy
	lateBy   time.Duration
}

func always(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

// call lets the crowd loose on sys. answered is how many openings have had an answer so far.
// meanwhile runs once every caller has called.
func (c crowd) call(ctx context.Context, sys system, answered func() int64, meanwhile func()) outcomes {
	var (
		o       outcomes
		mu      sync.Mutex
		ready   sync.WaitGroup
		entered sync.WaitGroup
		over    sync.WaitGroup
		begin   = make(chan struct{})
		later   = make(chan struct{})
	)
	before := answered()
	ready.Add(c.n)
	entered.Add(c.n)
	for i := range c.n {
		over.Go(func() {
			start := begin
			if i >= c.n-c.late {
				start = later
			}
			ready.Done()
			<-start
			ctx, cancel := context.WithTimeout(ctx, c.patience(i))
			defer cancel()
			entered.Done()
			err := sys.Start(ctx)
			now := answered()

			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				o.ok++
				if now == before {
					o.early++
				}
			case ctx.Err() != nil:
				o.gaveUp++
			default:
				o.failed++
				o.err = err
			}
		})
	}
	ready.Wait()
	close(begin)
	if c.late > 0 {
		time.Sleep(c.lateBy)
	}
	close(later)
	entered.Wait()
	if meanwhile != nil {
		meanwhile()
	}
	over.Wait()
	return o
}
