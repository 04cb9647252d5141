package producer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A throttle makes answers say that their broker wants no request for a while, and notes when
// requests come.
type throttle struct {
	mu              sync.Mutex
	produce, others time.Duration
	again           time.Duration // of the produce answers after the first; zero: the same
	at              map[int16][]time.Time
}

func throttled(b *testbroker.Broker, topic string) *throttle {
	th := &throttle{at: make(map[int16][]time.Time)}
	b.Fake.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		th.mu.Lock()
		defer th.mu.Unlock()
		th.at[req.Key()] = append(th.at[req.Key()], time.Now())
		return nil, nil, false
	})
	b.Net.Altered(func(answer []byte) {
		th.mu.Lock()
		defer th.mu.Unlock()
		const behind = 8 // the size and the correlation id
		switch one := behind + 4 + 2 + len(topic) + 4 + (4 + 2 + 8 + 8 + 8 + 4 + 2) + 4; {
		case len(answer) == one && bytes.Contains(answer, []byte(topic)): // to a produce request with one batch
			binary.BigEndian.PutUint32(answer[len(answer)-4:], uint32(th.produce.Milliseconds()))
			if th.again > 0 {
				th.produce = th.again
			}
		case bytes.Contains(answer, []byte(topic)), len(answer) == behind+4+2+8+2: // metadata, a producer id
			binary.BigEndian.PutUint32(answer[behind:], uint32(th.others.Milliseconds()))
		}
	})
	return th
}

func (th *throttle) set(f func()) {
	th.mu.Lock()
	defer th.mu.Unlock()
	f()
}

// gaps are the times between requests of a kind.
func (th *throttle) gaps(key kmsg.Key) (all []time.Duration) {
	th.mu.Lock()
	defer th.mu.Unlock()
	for i, at := range th.at[key.Int16()] {
		if i > 0 {
			all = append(all, at.Sub(th.at[key.Int16()][i-1]))
		}
	}
	return all
}

// KAFKA-6028, sarama 2536, kafka-python 2506: the throttle time is ignored. Here every connection
// to the broker waits for it, and no other connection is opened to evade it. Nothing is sent twice,
// and the counters are right. If a message misses its deadline, the error has the reason. A forced
// stop does not wait. TestApacheKafkaThrottle is the same with a quota.
func TestR42ThrottleIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 2)
		p := newProducer(t, b, Config{Topic: topic, Balancer: new(kafka.RoundRobin), DeliveryTimeout: 20 * time.Second})
		th := throttled(b, topic)
		start(t, p)
		before := p.Counters()
		th.set(func() { th.produce = 3 * time.Second })
		want := map[string]int{}
		const n = 10
		for i := range n {
			want[fmt.Sprint(i)] = 1
			if err := p.WriteMessages(bg, message(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		}
		for i, gap := range th.gaps(kmsg.Produce) {
			if gap < 3*time.Second || gap > 3100*time.Millisecond {
				t.Errorf("request %d came %v after the one before, which was throttled for 3s", i+1, gap)
			}
		}
		after, s := p.Counters(), p.Totals()
		if after.Requests != n || after.Throttled != n*3*time.Second || s.WaitTime.Count != n || s.WaitTime.Sum != n*3*time.Second || s.Retries != 0 {
			t.Errorf("%d messages: %+v, waited %+v", n, after, s.WaitTime)
		}

		// Both connections have a request under way: the longer throttle counts, whichever comes last.
		time.Sleep(10 * time.Second)
		th.set(func() { th.produce, th.again, th.at = 6*time.Second, time.Second, make(map[int16][]time.Time) })
		for range 3 {
			b.Net.Freeze() // until both are under way
			one, other := send(t, p, message("one")), send(t, p, message("other"))
			synctest.Wait()
			b.Net.Thaw()
			if err := errors.Join(outcome(t, one), outcome(t, other)); err != nil {
				t.Error(err)
			}
		}
		if gaps := th.gaps(kmsg.Produce); len(gaps) < 3 || gaps[0] != 0 || gaps[1] < 6*time.Second || gaps[1] > 6100*time.Millisecond {
			t.Errorf("the requests came %v apart; want the second pair 6 s after the first", gaps)
		}

		// A message whose deadline comes first says why; a Ping waits; a forced Stop does not.
		th.set(func() { th.produce, th.again = 30*time.Second, 0 })
		time.Sleep(10 * time.Second)
		if err := p.WriteMessages(bg, message("throttles")); err != nil {
			t.Error(err)
		}
		err := p.WriteMessages(bg, message("in vain"))
		if classOf(t, err) != ErrNotSent || !strings.Contains(err.Error(), "quota") {
			t.Errorf("a message that a throttle has cost its deadline: %v", err)
		}
		if c := p.Counters(); c.Connects != before.Connects || c.Connections != before.Connections || c.ConnectFailures != 0 {
			t.Errorf("%d connections were made to evade a throttle", c.Connects-before.Connects)
		}
		d := send(t, p, message("cut"))
		began := time.Now()
		if err := p.Stop(endedContext()); err == nil || time.Since(began) > 50*time.Millisecond {
			t.Errorf("a forced Stop while a broker wants no request: %v after %v", err, time.Since(began))
		}
		mustBe(t, outcome(t, d), ErrNotSent)
		want["one"], want["other"], want["throttles"] = 3, 3, 1
		if found := values(t, b, topic); !maps.Equal(found, want) {
			t.Errorf("found %v, want %v", found, want)
		}
	})
}

// A quota of requests also throttles requests for metadata: the next one waits, on the same
// connection.
func TestR42ThrottledMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 3)
		th := throttled(b, topic)
		th.set(func() { th.others = 5 * time.Second })
		p := newProducer(t, b, Config{Topic: topic})
		began := time.Now()
		start(t, p)
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second { // between metadata and producer id
			t.Errorf("the Start took %v", took)
		}
		for range 5 {
			if err := p.Ping(bg); err != nil {
				t.Error(err)
			}
		}
		gaps := th.gaps(kmsg.Metadata)
		for i, gap := range gaps {
			if gap < 5*time.Second || gap > 11*time.Second {
				t.Errorf("question %d came %v after the one before, which was throttled for 5s", i+1, gap)
			}
		}
		if c := p.Counters(); len(gaps) != 5 || c.Throttled < 6*5*time.Second {
			t.Errorf("%d questions, throttled for %v", len(gaps)+1, c.Throttled)
		}
	})
}
