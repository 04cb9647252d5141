package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/terminal"
	"github.com/seed3893aba4/surestart/producer"
)

// outcomes is what a crowd of callers of Start got.
type outcomes struct {
	ok    int   // nil; the other callers got an error
	early int   // of them, while no broker worked: nothing can have been open
	err   error // of one whose context had not ended
}

// crowd lets n callers call Start at once. The impatient ones give up after 0.3 to 0.4 s, the others
// after patience. meanwhile runs once every caller has called.
func (s *storm) crowd(ctx context.Context, n, impatient int, patience time.Duration, meanwhile func()) (o outcomes) {
	var (
		mu             sync.Mutex
		entered, ended sync.WaitGroup
	)
	entered.Add(n)
	for i := range n {
		patience := patience
		if i < impatient {
			patience = time.Duration(300+i%100) * time.Millisecond
		}
		ended.Go(func() {
			entered.Done()
			entered.Wait() // all call at once
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			err := s.sys.start(ctx)
			works, left := s.cl.is(working), ctx.Err() != nil

			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && works:
				o.ok++
			case err == nil:
				o.ok, o.early = o.ok+1, o.early+1
			case !left:
				o.err = err
			}
		})
	}
	entered.Wait()
	meanwhile()
	ended.Wait()
	s.col.Early += o.early
	return o
}

const writers = 8

// load is the messages 0 to total-1 and what became of them. A message that is not acknowledged is
// sent again. One that may have been delivered waits for lookUp.
type load struct {
	sys     system
	chunk   int          // messages a call
	count   atomic.Int64 // acknowledged
	writing atomic.Int64 // messages in calls that have not returned

	mu    sync.Mutex
	queue []int // to be sent
	acked []bool
	maybe []int // may have been delivered

	end func() // of the writers, and of their calls
}

func newLoad(sys system, total int) *load {
	return &load{sys: sys, chunk: max(1, min(100, total/200)), acked: make([]bool, total), end: func() {}}
}

// begin starts the writers.
func (l *load) begin(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() { l.write(ctx) })
	}
	l.end = func() { cancel(); writing.Wait() }
}

func (l *load) write(ctx context.Context) {
	for ctx.Err() == nil && int(l.count.Load()) < len(l.acked) {
		if ns := l.take(); len(ns) == 0 || !l.send(ctx, ns) {
			time.Sleep(20 * time.Millisecond) // nothing to do, or a call failed
		}
	}
}

// add lets the writers send the messages from the first to the one before end.
func (l *load) add(first, end int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := first; n < end; n++ {
		l.queue = append(l.queue, n)
	}
}

// take returns the next messages to send.
func (l *load) take() (ns []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(l.chunk, len(l.queue))
	ns, l.queue = l.queue[:n], l.queue[n:]
	return ns
}

// send is one call. It reports whether every message was acknowledged.
func (l *load) send(ctx context.Context, ns []int) bool {
	msgs := make([]kafka.Message, len(ns))
	for i, n := range ns {
		msgs[i].Value = value(n)
	}
	l.writing.Add(int64(len(ns)))
	err := l.sys.write(ctx, msgs...)
	l.writing.Add(-int64(len(ns)))

	var each kafka.WriteErrors
	if !errors.As(err, &each) || len(each) != len(ns) {
		each = slices.Repeat(kafka.WriteErrors{err}, len(ns))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, n := range ns {
		switch failure := each[i]; {
		case failure == nil:
			l.acked[n] = true
			l.count.Add(1)
		case errors.Is(failure, producer.ErrMaybeDelivered):
			l.maybe = append(l.maybe, n)
		default:
			l.queue = append(l.queue, n)
		}
	}
	return err == nil
}

// lookUp settles the messages that may have been delivered: those on the broker count as
// acknowledged, the others are sent again.
func (l *load) lookUp(copies []int) (found int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.maybe {
		if copies[n] > 0 {
			l.acked[n] = true
			found++
		} else {
			l.queue = append(l.queue, n)
		}
	}
	l.count.Add(int64(found))
	l.maybe = nil
	return found
}

// reach waits until n messages are acknowledged. The system is stuck if none is for stallGuard.
func (l *load) reach(ctx context.Context, n int) error {
	for last, moved := 0, time.Now(); time.Since(moved) < stallGuard; time.Sleep(time.Millisecond) {
		switch done := int(l.count.Load()); {
		case done >= n:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case done > last:
			last, moved = done, time.Now()
		}
	}
	return stuck{fmt.Errorf("%s of %s messages are acknowledged, and for %v none more", terminal.Commas(l.count.Load()), terminal.Commas(n), stallGuard)}
}
