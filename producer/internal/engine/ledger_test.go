package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// A ledger has the verdict of every message of a test, and judges them by the log. Each
// writer has a key of its own, so its messages are on one partition, and writes one call
// after the other.
type ledger struct {
	mu       sync.Mutex
	verdicts map[int]map[int]core.Verdict // by writer and message
	calls    map[int][][2]int             // by writer: the first message of each call, and how many
	seen     map[[2]int]core.Verdict      // by Completion: writer and message
	again    []string                     // what Completion has seen twice
	counts   [core.Maybe + 1]int
	some     error // why one was not delivered
}

func newLedger() *ledger {
	return &ledger{verdicts: make(map[int]map[int]core.Verdict), calls: make(map[int][][2]int), seen: make(map[[2]int]core.Verdict)}
}

// complete is a Completion.
func (l *ledger) complete(msgs []kafka.Message, f sender.Failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range msgs {
		w, _ := strconv.Atoi(string(m.Key))
		n, _ := strconv.Atoi(string(m.Value))
		v := f.Verdict
		if v == 0 {
			v = core.Delivered
		}
		if old, twice := l.seen[[2]int{w, n}]; twice {
			l.again = append(l.again, fmt.Sprintf("D1 OneVerdict: writer %d, message %d: %v, and then %v", w, n, old, v))
		}
		l.seen[[2]int{w, n}] = v
	}
}

// judgeCompletions: Completion has seen every message that was admitted, once, and with the
// verdict that its caller got. One that it has not seen was refused with its whole call.
func (l *ledger) judgeCompletions(t testing.TB) {
	t.Helper()
	for _, s := range l.again {
		t.Error(s)
	}
	for w, verdicts := range l.verdicts {
		for m, v := range verdicts {
			if seen, ok := l.seen[[2]int{w, m}]; ok && seen != v || !ok && v != core.NotSent {
				t.Errorf("D1 OneVerdict: writer %d, message %d: the caller got %v, Completion %v", w, m, v, seen)
			}
		}
	}
	if len(l.seen) == 0 {
		t.Error("Completion has seen nothing")
	}
}

// write writes a call of n messages for a writer, and returns the error.
func (l *ledger) write(ctx context.Context, t testing.TB, e *Engine, writer, n int) error {
	l.mu.Lock()
	first := len(l.verdicts[writer])
	if l.verdicts[writer] == nil {
		l.verdicts[writer] = make(map[int]core.Verdict)
	}
	msgs := make([]kafka.Message, n)
	for i := range msgs {
		l.verdicts[writer][first+i] = 0
		msgs[i] = kafka.Message{Key: []byte(strconv.Itoa(writer)), Value: fmt.Appendf(nil, "%d", first+i)}
	}
	l.calls[writer] = append(l.calls[writer], [2]int{first, n})
	l.mu.Unlock()
	err := e.Write(ctx, time.Now(), msgs...)
	var failed *WriteError
	if err != nil && !errors.As(err, &failed) { // refused as a whole
		failed = &WriteError{slices.Repeat([]sender.Failure{{Verdict: core.NotSent, Cause: err}}, n)}
	}
	if failed != nil && len(failed.Failures) != n {
		t.Errorf("%d verdicts of %d messages", len(failed.Failures), n)
		return err
	}
	for i := range msgs { // the bytes are the caller's
		clear(msgs[i].Key)
		clear(msgs[i].Value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		v := core.Delivered
		if failed != nil && failed.Failures[i].Verdict != 0 {
			v = failed.Failures[i].Verdict
			l.some = failed.Failures[i].Cause
			if l.some == nil {
				t.Errorf("writer %d, message %d: %v without a cause", writer, first+i, v)
			}
		}
		l.verdicts[writer][first+i] = v
		l.counts[v]++
	}
	return err
}

// judge compares the verdicts with the log. A delivered message is there once. A message that was
// not sent or was rejected is not there. One that may be delivered is there once at most. The
// messages of a writer are in order, and the delivered messages of a call stand together.
//
// Without idempotence a message may be there several times, and behind later ones.
func (l *ledger) judge(t testing.TB, b *testbroker.Broker, topic string) {
	t.Helper()
	l.judgeAs(t, b, topic, core.Idempotent)
}

func (l *ledger) judgeAs(t testing.TB, b *testbroker.Broker, topic string, mode core.Mode) {
	t.Helper()
	type place struct {
		partition int32
		offset    int64
	}
	found := make(map[int]map[int]place)
	last := make(map[int]int)
	for _, r := range b.Read(t, topic) {
		w, _ := strconv.Atoi(string(r.Key))
		m, _ := strconv.Atoi(string(r.Value))
		if found[w] == nil {
			found[w], last[w] = make(map[int]place), -1
		}
		if _, twice := found[w][m]; mode != core.Idempotent {
			// D3 and D4 are not promised
		} else if twice {
			t.Errorf("D3 Once: writer %d: message %d (%v) is in the log twice", w, m, l.verdicts[w][m])
		} else if m < last[w] {
			t.Errorf("D4 Order: writer %d: message %d (%v) stands behind %d", w, m, l.verdicts[w][m], last[w])
		}
		found[w][m] = place{r.Partition, r.Offset}
		last[w] = max(last[w], m)
	}
	for w, verdicts := range l.verdicts {
		for m, v := range verdicts {
			_, is := found[w][m]
			lost := v == core.Delivered && !is && mode != core.Unanswered // which is handed to the network only
			if v == 0 {
				t.Errorf("D1 OneVerdict: writer %d: message %d has no verdict", w, m)
			}
			if lost || (v == core.NotSent || v == core.Rejected) && is {
				t.Errorf("D2 Truth: writer %d: message %d is %v, and in the log: %t", w, m, v, is)
			}
		}
		for _, c := range l.calls[w] {
			if mode != core.Idempotent {
				break
			}
			for m := c[0] + 1; m < c[0]+c[1]; m++ {
				a, inA := found[w][m-1]
				b, inB := found[w][m]
				if inA && inB && (a.partition != b.partition || a.offset+1 != b.offset) {
					t.Errorf("D4 Order: writer %d: messages %d and %d of a call are at %v and %v", w, m-1, m, a, b)
				}
			}
		}
	}
	t.Logf("delivered %d, not sent %d, rejected %d, maybe %d; one failed with: %v", l.counts[core.Delivered], l.counts[core.NotSent], l.counts[core.Rejected], l.counts[core.Maybe], l.some)
}

var notEnoughReplicas = kerr.NotEnoughReplicas

func codeOf(err *kerr.Error) kafka.Error { return kafka.Error(err.Code) }
