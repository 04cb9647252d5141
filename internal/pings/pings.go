// Package pings judges by regular pings whether an open resource works, for handlers of
// readiness. It tolerates two failed pings in a row, so that a brief fault does not make
// every instance of a service unready.
package pings

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/internal/oneline"
)

const (
	// fresh is the maximum age of the ping that a judgement uses, and the maximum duration of a
	// ping.
	fresh = 5 * time.Second
	// grace is how long a ping may take to return once its context has ended.
	grace = 500 * time.Millisecond
	// tolerated is how many pings in a row may fail.
	tolerated = 2
)

// A Judge pings one resource. The zero value is ready for use. It runs at most one ping at a
// time for one attempt, and at most one in 5 s; a goroutine exists only during a ping.
type Judge struct {
	mu       sync.Mutex
	current  *round // the latest; it may be running
	failures int    // in a row, of its attempt
}

// A round is one ping.
type round struct {
	attempt uint64 // the start that it belongs to
	began   time.Time
	done    chan struct{}
	err     error // fixed when done
	partial bool  // err reports that the resource works in part
}

// A Judgement is made from the latest ping.
type Judgement struct {
	OK       bool
	Age      time.Duration // since the ping began
	Failures int           // in a row
	Partial  bool          // Err is no failure: the resource works in part
	Err      error         // of the ping; nil: none
}

// Ask returns the judgement of a fresh ping. It waits for that ping, for at most 5.5 s or until
// ctx ends; if ctx ends first, ok is false. attempt identifies the start: each start is judged
// anew. A ping that panics or calls runtime.Goexit has failed. A ping that still runs after its
// context has ended counts as one more failure every 5 s, until it returns.
func (j *Judge) Ask(ctx context.Context, attempt uint64, ping func(context.Context) error) (judgement Judgement, ok bool) {
	c := j.join(attempt, ping)
	late := time.NewTimer(time.Until(c.began.Add(fresh + grace)))
	defer late.Stop()
	select {
	case <-c.done:
	case <-late.C:
	case <-ctx.Done():
		return Judgement{}, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	failures, err := j.failures, c.err
	if c.running() {
		failures, err = failures+c.late(), errHangs
	}
	return Judgement{OK: failures <= tolerated, Age: time.Since(c.began), Failures: failures, Partial: c.partial, Err: err}, true
}

var errHangs = errors.New("the ping has not returned, although its context has ended")

// late returns how many pings could have failed since the round began.
func (c *round) late() int { return int((time.Since(c.began) - grace) / fresh) }

// join returns a fresh or running round of this attempt.
func (j *Judge) join(attempt uint64, ping func(context.Context) error) *round {
	j.mu.Lock()
	defer j.mu.Unlock()
	if c := j.current; c != nil && c.attempt == attempt {
		if c.running() || time.Since(c.began) < fresh {
			return c
		}
	} else {
		j.failures = 0
	}
	c := &round{attempt: attempt, began: time.Now(), done: make(chan struct{})}
	j.current = c
	go j.run(c, ping)
	return c
}

func (c *round) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func (j *Judge) run(c *round, ping func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), fresh)
	err, partial := errExited, false
	defer func() { // ping may panic or exit
		cancel()
		if v := recover(); v != nil {
			err, partial = fmt.Errorf("panic: %s", oneline.Text(v)), false
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		c.err, c.partial = err, partial
		if j.current == c {
			if err == nil || partial {
				j.failures = 0
			} else {
				j.failures += max(1, c.late())
			}
		}
		close(c.done)
	}()
	err = ping(ctx)
	var says interface{ Partial() bool }
	partial = errors.As(err, &says) && says.Partial() // as producer.ErrPartial does
}

var errExited = errors.New("runtime.Goexit was called")
