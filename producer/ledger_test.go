package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A ledger holds what the callers of writes were told of each message, and compares
// it with what the topic holds in the end. The values of the messages are unique.
type ledger struct {
	mu      sync.Mutex
	told    map[string]error    // by value; nil: acknowledged
	acked   map[string][]string // by key, in the order in which a caller that waits was told
	good    int                 // how many were acknowledged
	longest time.Duration       // of a write that was acknowledged
}

func newLedger() *ledger {
	return &ledger{told: make(map[string]error), acked: make(map[string][]string)}
}

// write is WriteMessages, noted. Whatever it returns says of each message what
// became of it: nil, or exactly one of the three classes.
func (l *ledger) write(ctx context.Context, t testing.TB, p *Producer, msgs ...kafka.Message) error {
	t.Helper()
	began := time.Now()
	err := p.WriteMessages(ctx, msgs...)
	took := time.Since(began)
	each := l.note(t, err, msgs)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range msgs {
		if each[i] != nil {
			continue
		}
		l.longest = max(l.longest, took)
		if m.Key != nil {
			l.acked[string(m.Key)] = append(l.acked[string(m.Key)], string(m.Value))
		}
	}
	return err
}

// send is Send, noted when its Delivery says what became of it; wg waits for that.
func (l *ledger) send(ctx context.Context, t testing.TB, p *Producer, wg *sync.WaitGroup, msgs ...kafka.Message) {
	t.Helper()
	began := time.Now()
	d, err := p.Send(ctx, msgs...)
	if err != nil {
		l.note(t, err, msgs)
		return
	}
	wg.Go(func() {
		l.note(t, d.Wait(bg), msgs)
		if took, limit := time.Since(began), p.cfg.DeliveryTimeout; took > limit {
			t.Errorf("a Delivery took %v, the DeliveryTimeout is %v", took, limit)
		}
	})
}

// note notes what somebody was told of messages.
func (l *ledger) note(t testing.TB, err error, msgs []kafka.Message) []error {
	t.Helper()
	each := errorsOf(t, err, len(msgs))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range msgs {
		v := string(m.Value)
		if _, twice := l.told[v]; twice {
			t.Errorf("the test wrote %s twice", v)
		}
		l.told[v] = each[i]
		if each[i] != nil {
			classOf(t, each[i])
			continue
		}
		l.good++
	}
	return each
}

// errorsOf returns the error of each of n messages.
func errorsOf(t testing.TB, err error, n int) []error {
	t.Helper()
	each := make([]error, n)
	var werr *WriteError
	switch {
	case errors.As(err, &werr):
		if len(werr.Messages) != n || werr.Messages.Count() == 0 {
			t.Errorf("%d results, %d of them failures, for %d messages: %v", len(werr.Messages), werr.Messages.Count(), n, err)
		}
		copy(each, werr.Messages)
	case err != nil: // the call as a whole
		if !errors.Is(err, ErrNotSent) {
			t.Errorf("no WriteError, and not ErrNotSent either: %v", err)
		}
		for i := range each {
			each[i] = err
		}
	}
	return each
}

// reset returns the longest write since the last call.
func (l *ledger) reset() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := l.longest
	l.longest = 0
	return longest
}

// acknowledged is how many messages have been.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good
}

// failure returns what one of the messages that failed failed as, nil if none did.
func (l *ledger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.told {
		if err != nil {
			return err
		}
	}
	return nil
}

// counts is what a ledger and the topic say.
type counts struct {
	acked, notSent, maybe, rejected, found, duplicates int
}

func (c counts) failed() int { return c.notSent + c.maybe + c.rejected }

func (c counts) String() string {
	return fmt.Sprintf("acknowledged-all-found=%d notsent=%d maybe=%d rejected=%d found=%d duplicates=%d",
		c.acked, c.notSent, c.maybe, c.rejected, c.found, c.duplicates)
}

// verify reads the topics: what was acknowledged is there, what was not sent or
// was rejected is not, nothing is there that nobody wrote, and what a caller wrote
// under one key, waiting each time, is in order.
func (l *ledger) verify(t testing.TB, b *testbroker.Broker, topics ...string) counts {
	t.Helper()
	type place struct {
		topic     string
		partition int32
		offset    int64 // of the first
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var c counts
	places := make(map[string]place)
	for _, topic := range topics {
		for _, r := range b.Read(t, topic) {
			v := string(r.Value)
			if _, known := l.told[v]; !known {
				t.Errorf("%s is there, and nobody wrote it", v)
			}
			at, again := places[v]
			if again {
				c.duplicates++
			}
			if !again || r.Offset < at.offset {
				places[v] = place{topic, r.Partition, r.Offset}
			}
		}
	}
	c.found = len(places)
	for v, err := range l.told {
		_, there := places[v]
		switch {
		case err == nil:
			c.acked++
			if !there {
				t.Errorf("%s was acknowledged and is not there", v)
			}
			continue
		case errors.Is(err, ErrNotSent):
			c.notSent++
		case errors.Is(err, ErrRejected):
			c.rejected++
		default:
			c.maybe++
			continue
		}
		if there {
			t.Errorf("%s is there, and failed as %v", v, err)
		}
	}
	for key, values := range l.acked {
		for i := 1; i < len(values); i++ {
			a, b := places[values[i-1]], places[values[i]]
			if a.topic != b.topic || a.partition != b.partition || a.offset >= b.offset {
				t.Errorf("key %s: %s is at %v, and %s, written after it, at %v", key, values[i-1], a, values[i], b)
			}
		}
	}
	return c
}

// A load is writers that write one message after the other, each under a key of
// its own, until end is called.
type load struct {
	*ledger
	wg   sync.WaitGroup
	over chan struct{}
}

func (l *ledger) load(t testing.TB, p *Producer, writers int, pause time.Duration) *load {
	ld := &load{ledger: l, over: make(chan struct{})}
	l.mu.Lock()
	from := len(l.told)
	l.mu.Unlock()
	for w := range writers {
		ld.wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d", from, w)
				m := kafka.Message{Key: []byte(key), Value: fmt.Appendf(nil, "%s-%d", key, i)}
				if err := l.write(bg, t, p, m); errors.Is(err, ErrNotStarted) {
					time.Sleep(10 * time.Millisecond)
				}
				select {
				case <-ld.over:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	return ld
}

// end waits for the last writes, and returns what they were told.
func (ld *load) end() {
	close(ld.over)
	ld.wg.Wait()
}
