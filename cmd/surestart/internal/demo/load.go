package demo

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/producer"
)

const writers = 8

// load is 8 writers that send the messages 0 to total-1 through a system: what is not acknowledged
// is sent again, so in the end everything is. What may have been delivered waits for lookUp.
type load struct {
	sys     system
	run     string
	total   int
	chunk   int // messages a call
	acked   []atomic.Bool
	count   atomic.Int64 // acknowledged
	refused atomic.Int64 // results that were errors: a message may have several
	writing atomic.Int64 // messages in calls that have not returned

	mu    sync.Mutex
	next  int
	limit int           // the messages from here on are kept for later
	back  [][]int       // not acknowledged, to be sent again
	maybe []int         // may have been delivered
	wake  chan struct{} // closed by resume
	ctx   context.Context
	drop  context.CancelFunc // ends the writes of this round, which a system may have forgotten
	moved chan struct{}      // has room for one: the count has changed
}

func newLoad(sys system, run string, total int) *load {
	l := &load{sys: sys, run: run, total: total, limit: total, chunk: max(1, min(100, total/200)), acked: make([]atomic.Bool, total), wake: make(chan struct{}), moved: make(chan struct{}, 1)}
	l.ctx, l.drop = context.WithCancel(context.Background())
	return l
}

// take returns the next messages to send, and the round that they are sent in.
func (l *load) take() (ns []int, wake chan struct{}, ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.back); n > 0 {
		ns = l.back[n-1]
		l.back = l.back[:n-1]
	} else {
		for end := min(l.next+l.chunk, l.limit); l.next < end; l.next++ {
			ns = append(ns, l.next)
		}
	}
	return ns, l.wake, l.ctx
}

// sendAll lets the writers have the last tenth of the messages.
func (l *load) sendAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = l.total
}

// resume begins a new round: writers that got an error in the last one go on.
func (l *load) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	l.ctx, l.drop = context.WithCancel(context.Background())
	close(l.wake)
	l.wake = make(chan struct{})
}

// abandon ends the calls of this round that have not returned yet.
func (l *load) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
}

func (l *load) write(ctx context.Context) {
	for ctx.Err() == nil && int(l.count.Load()) < l.total {
		ns, wake, round := l.take()
		failed := len(ns) == 0
		if !failed {
			failed = l.send(round, ns)
		}
		if failed { // or there is nothing to do: until the others' fail, or the next round
			select {
			case <-ctx.Done():
			case <-wake:
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// send is one call; it reports whether any of its messages has to be sent again.
func (l *load) send(ctx context.Context, ns []int) bool {
	msgs := make([]kafka.Message, len(ns))
	for i, n := range ns {
		msgs[i] = message(l.run, n)
	}
	l.writing.Add(int64(len(ns)))
	err := l.hand(ctx, msgs, ns[0]/l.chunk%2 == 1)
	l.writing.Add(-int64(len(ns)))

	var each kafka.WriteErrors
	perMessage := errors.As(err, &each) && len(each) == len(ns)
	var again, maybe []int
	for i, n := range ns {
		failure := err
		if perMessage {
			failure = each[i]
		}
		switch {
		case failure == nil:
			l.acked[n].Store(true)
		case errors.Is(failure, producer.ErrMaybeDelivered):
			maybe = append(maybe, n)
		default:
			again = append(again, n)
		}
	}
	failed := len(again) + len(maybe)
	l.count.Add(int64(len(ns) - failed))
	l.refused.Add(int64(failed))
	select {
	case l.moved <- struct{}{}:
	default:
	}
	if failed == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maybe = append(l.maybe, maybe...)
	if again != nil {
		l.back = append(l.back, again)
	}
	return true
}

// unsure is how many messages may have been delivered.
func (l *load) unsure() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.maybe)
}

// lookUp counts the messages that are there as acknowledged, of those that may have been delivered,
// and has the others sent again.
func (l *load) lookUp(there map[int]bool) (unsure, found int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.maybe {
		if there[n] {
			l.acked[n].Store(true)
			found++
		} else {
			l.back = append(l.back, []int{n})
		}
	}
	l.count.Add(int64(found))
	unsure = len(l.maybe)
	l.maybe = nil
	return unsure, found
}

// hand is one call; every other one is a Send, where the system has it.
func (l *load) hand(ctx context.Context, msgs []kafka.Message, every bool) error {
	s, ok := l.sys.(interface {
		Send(context.Context, ...kafka.Message) (*producer.Delivery, error)
	})
	if !ok || !every {
		return l.sys.WriteMessages(ctx, msgs...)
	}
	d, err := s.Send(ctx, msgs...)
	if err != nil {
		return err
	}
	return d.Wait(ctx)
}

// reach waits until n messages are acknowledged, telling progress; false if ctx
// ends first, or none is acknowledged for as long as patience.
func (l *load) reach(ctx context.Context, n int, patience time.Duration, progress func(done int, final bool)) bool {
	stall := time.NewTimer(patience)
	defer stall.Stop()
	for last := -1; ; {
		done := int(l.count.Load())
		progress(done, done >= n)
		if done >= n {
			return true
		}
		if done > last {
			stall.Reset(patience)
			last = done
		}
		select {
		case <-l.moved:
		case <-ctx.Done():
			return false
		case <-stall.C:
			return int(l.count.Load()) >= n
		}
	}
}
