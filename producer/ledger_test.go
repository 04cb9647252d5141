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

// A ledger holds the verdict that the callers of writes got for each message, and compares it with
// the topic at the end. The values of the messages are unique.
type ledger struct {
	// unordered means that messages need not be there once and in order. Set it for AcksOne,
	// AcksNone and IdempotenceOff alone.
	unordered bool

	mu      sync.Mutex
	clock   int              // orders the begin and the return of calls
	told    map[string]error // by value; nil: acknowledged
	calls   map[string]*noted
	seen    map[string]error // by value: what Completion was told
	again   []string         // what Completion was told of twice
	good    int              // how many were acknowledged
	longest time.Duration    // of a write that was acknowledged
}

// noted is a call that has returned.
type noted struct {
	p *Producer
	// Messages of a call that returned before another one began are admitted before it.
	began, returned int
	places          map[string]int // of its messages
	refused         bool           // as a whole: nothing was admitted
}

func newLedger() *ledger {
	return &ledger{told: make(map[string]error), calls: make(map[string]*noted)}
}

func (l *ledger) tick() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	return l.clock
}

// completion returns a Config.Completion. verify compares its calls with the callers' verdicts.
func (l *ledger) completion() func([]kafka.Message, error) {
	l.seen = make(map[string]error)
	return func(msgs []kafka.Message, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, m := range msgs {
			v := string(m.Value)
			if _, twice := l.seen[v]; twice {
				l.again = append(l.again, v)
			}
			l.seen[v] = err
		}
	}
}

// write is WriteMessages, noted. Whatever it returns says of each message what
// became of it: nil, or exactly one of the three classes.
func (l *ledger) write(ctx context.Context, t testing.TB, p *Producer, msgs ...kafka.Message) error {
	t.Helper()
	at := &noted{p: p, began: l.tick()}
	began := time.Now()
	err := p.WriteMessages(ctx, msgs...)
	took := time.Since(began)
	at.returned = l.tick()
	each := l.note(t, err, msgs, at)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range msgs {
		if each[i] == nil {
			l.longest = max(l.longest, took)
		}
	}
	return err
}

// send is Send, noted when its Delivery says what became of it; wg waits for that.
func (l *ledger) send(ctx context.Context, t testing.TB, p *Producer, wg *sync.WaitGroup, msgs ...kafka.Message) error {
	t.Helper()
	at := &noted{p: p, began: l.tick()}
	began := time.Now()
	d, err := p.Send(ctx, msgs...)
	at.returned = l.tick()
	if err != nil {
		l.note(t, err, msgs, at)
		return err
	}
	wg.Go(func() {
		l.note(t, d.Wait(bg), msgs, at)
		if took, limit := time.Since(began), p.cfg.DeliveryTimeout; took > limit {
			t.Errorf("a Delivery took %v, the DeliveryTimeout is %v", took, limit)
		}
	})
	return nil
}

// note records the verdicts that a caller got.
func (l *ledger) note(t testing.TB, err error, msgs []kafka.Message, at *noted) []error {
	t.Helper()
	each := errorsOf(t, err, len(msgs))
	var some *WriteError
	at.refused = err != nil && !errors.As(err, &some)
	at.places = make(map[string]int, len(msgs))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range msgs {
		v := string(m.Value)
		if _, twice := l.told[v]; twice {
			t.Errorf("the test wrote %s twice", v)
		}
		l.told[v], l.calls[v], at.places[v] = each[i], at, i
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

// has reports whether a caller got a verdict for a message.
func (l *ledger) has(value string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.told[value]
	return ok
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

// counts are the counts of a ledger and of the topic.
type counts struct {
	acked, notSent, maybe, rejected, found, duplicates int
}

func (c counts) failed() int { return c.notSent + c.maybe + c.rejected }

func (c counts) String() string {
	return fmt.Sprintf("acknowledged-all-found=%d notsent=%d maybe=%d rejected=%d found=%d duplicates=%d",
		c.acked, c.notSent, c.maybe, c.rejected, c.found, c.duplicates)
}

// verify reads the topics. Every acknowledged message is there, no message is there that was not
// sent or was rejected (D2, D5), and no other message is there. With AcksAll no message is there
// twice (D3). In each partition the messages of a producer are in the order in which they were
// admitted, also those that may have been delivered, and those of a call stand together (D4).
// Completion got the same verdicts as the callers.
//
// Call it after the last Stop: before that, messages on their way may come later.
func (l *ledger) verify(t testing.TB, b *testbroker.Broker, topics ...string) counts {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var c counts
	found := make(map[string]bool)
	for _, topic := range topics {
		partitions := make(map[int32][]string)
		keys := make(map[string]int32)
		for _, r := range b.Read(t, topic) {
			v := string(r.Value)
			if _, known := l.told[v]; !known {
				t.Errorf("%s is there, and it was not written", v)
			}
			if found[v] {
				c.duplicates++
				if !l.unordered {
					t.Errorf("D3 Once: %s is there again, at %d of partition %d; its caller got: %v", v, r.Offset, r.Partition, l.told[v])
				}
			} else {
				partitions[r.Partition] = append(partitions[r.Partition], v)
			}
			found[v] = true
			if at, ok := keys[string(r.Key)]; ok && r.Key != nil && at != r.Partition {
				t.Errorf("the key %s is in partitions %d and %d", r.Key, at, r.Partition)
			}
			keys[string(r.Key)] = r.Partition
		}
		for n, values := range partitions {
			if !l.unordered {
				l.verifyOrder(t, n, values)
			}
		}
	}
	c.found = len(found)
	for v, err := range l.told {
		switch {
		case err == nil:
			c.acked++
			if !found[v] && (l.calls[v] == nil || l.calls[v].p.cfg.Acks != AcksNone) {
				t.Errorf("D2 Truth: %s was acknowledged and is not there", v)
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
		if found[v] {
			t.Errorf("D2 Truth: %s is there, and failed as %v", v, err)
		}
	}
	if l.seen != nil {
		l.verifyCompletions(t)
	}
	return c
}

// verifyOrder compares the order in a partition with that of the calls.
func (l *ledger) verifyOrder(t testing.TB, partition int32, values []string) {
	t.Helper()
	type latest struct {
		began int
		value string
	}
	last := make(map[*Producer]latest) // of the calls so far, the one that began last
	over := make(map[*noted]bool)      // calls that another one stands behind
	var call *noted
	for i, v := range values {
		at := l.calls[v]
		if at == nil {
			continue // it was not written
		}
		if before := last[at.p]; at.returned < before.began {
			t.Errorf("D4 Order: in partition %d %s stands behind %s, which was written when the call of the first had returned", partition, v, before.value)
		}
		if at == call && at.places[v] < at.places[values[i-1]] {
			t.Errorf("D4 Order: in partition %d %s stands behind %s of the same call", partition, v, values[i-1])
		}
		if over[at] {
			t.Errorf("D4 Order: in partition %d something stands between %s and others of its call", partition, v)
		}
		if call != at && call != nil {
			over[call] = true
		}
		if call = at; at.began > last[at.p].began {
			last[at.p] = latest{at.began, v}
		}
	}
}

// verifyCompletions compares the verdicts that Completion got with those of the callers.
func (l *ledger) verifyCompletions(t testing.TB) {
	t.Helper()
	for _, v := range l.again {
		t.Errorf("Completion was told of %s twice", v)
	}
	for v, err := range l.told {
		seen, ok := l.seen[v]
		var large kafka.MessageTooLargeError
		var topic *TopicError
		switch refused := l.calls[v].refused || errors.As(err, &large) || errors.As(err, &topic) || errors.Is(err, ErrNotStarted) || errors.Is(err, ErrClosed); {
		case refused && ok: // it was not admitted
			t.Errorf("Completion was told of %s, which was not admitted: %v", v, err)
		case !refused && !ok:
			t.Errorf("Completion was not told of %s; its caller got: %v", v, err)
		case ok && fmt.Sprint(seen) != fmt.Sprint(err):
			t.Errorf("Completion was told of %s: %v; its caller got: %v", v, seen, err)
		}
	}
	for v := range l.seen {
		if _, ok := l.told[v]; !ok {
			t.Errorf("Completion was told of %s, and no caller", v)
		}
	}
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

// end waits for the last writes, and returns their results.
func (ld *load) end() {
	close(ld.over)
	ld.wg.Wait()
}
