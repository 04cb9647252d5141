package producer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// failsThenStarts shows a start that fails: at which part, as what, that nothing is
// left, and that the same producer starts and writes as soon as the cause is gone.
func failsThenStarts(t *testing.T, b *testbroker.Broker, p *Producer, part string, repair func(), want ...error) error {
	t.Helper()
	err := p.Start(bg)
	var failed *fsm.StartError
	if !errors.As(err, &failed) || part != anyPart && failed.Part != part || failed.Rollback != nil {
		t.Fatalf("Start: %v, want a StartError of part %s", err, part)
	}
	mustBe(t, err, want...)
	mustBe(t, p.Status().Cause, want...)
	nothingLeft(t, b, p)
	repair()
	startsAndWrites(t, b, p)
	return err
}

// anyPart is for a fault whose instant is not exact.
const anyPart = ""

// startsAndWrites starts the producer, writes, reads it back, and stops.
func startsAndWrites(t *testing.T, b *testbroker.Broker, p *Producer) {
	t.Helper()
	began := time.Now()
	start(t, p)
	if took := time.Since(began); b.Name == "virtual" && took > 100*time.Millisecond {
		t.Errorf("the start took %v when nothing was in its way any more", took)
	}
	l := newLedger()
	if err := l.write(bg, t, p, message(testbroker.TopicName()), message(testbroker.TopicName())); err != nil {
		t.Error(err)
	}
	if err := p.Stop(bg); err != nil {
		t.Error(err)
	}
	nothingLeft(t, b, p)
	found := values(t, b, p.cfg.Topic)
	for v, err := range l.told {
		if err == nil && found[v] != 1 {
			t.Errorf("%s was acknowledged and found %d times", v, found[v])
		}
	}
}

// timedOut fails unless the error is a timeout, for errors.Is and for net.Error.
func timedOut(t *testing.T, err error) {
	t.Helper()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
}

func TestStartNothingListens(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2)})
		b.Net.Kill(0)
		err := failsThenStarts(t, b, p, "metadata", func() { b.Net.Revive(0) }, syscall.ECONNREFUSED)
		if !strings.Contains(err.Error(), b.Addrs[0]) {
			t.Errorf("%v does not name the broker", err)
		}
	})
}

// Whoever accepts and never answers is given up after the DialTimeout.
func TestStartBlackHole(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		cfg := Config{Topic: b.CreateTopic(t, 1)}
		if b.Name != "virtual" {
			cfg.DialTimeout = time.Second // else 5 s
		}
		p := newProducer(t, b, cfg)
		b.Net.Freeze()
		began := time.Now()
		err := failsThenStarts(t, b, p, "metadata", func() {
			if took := time.Since(began); b.Name == "virtual" && took.Round(time.Second) != 5*time.Second {
				t.Errorf("Start took %v, want the DialTimeout, 5 s", took)
			}
			b.Net.Thaw()
		}, context.DeadlineExceeded)
		timedOut(t, err)
	})
}

// Slow is not dead: answers that come byte by byte are waited for, within the
// timeouts.
func TestStartSlowBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 2), CheckWritePermission: true})
		b.Net.Drip(5 * time.Millisecond)
		began := time.Now()
		start(t, p)
		if took := time.Since(began); took < 2*time.Second {
			t.Errorf("Start took %v: nothing was slow", took)
		}
		if err := p.WriteMessages(bg, message("slow")); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)

		b.Net.Drip(time.Second) // some bytes within the DialTimeout, never all
		began = time.Now()
		timedOut(t, failsThenStarts(t, b, p, "metadata", func() {
			if took := time.Since(began); took.Round(time.Second) != 5*time.Second {
				t.Errorf("Start took %v, want the DialTimeout, 5 s", took)
			}
			b.Net.Drip(0)
		}, context.DeadlineExceeded))
	})
}

// The name of the broker cannot be resolved; then it can.
func TestStartNameNotFound(t *testing.T) {
	b := testbroker.Fake(t)
	names := new(testbroker.Names)
	p := newProducer(t, b, Config{
		Topic: b.CreateTopic(t, 1), Brokers: []string{strings.Replace(b.Addrs[0], "127.0.0.1", "broker.test", 1)},
		Dial: (&net.Dialer{Resolver: names.Resolver()}).DialContext,
	})
	err := failsThenStarts(t, b, p, "metadata", func() { names.Set("broker.test", "127.0.0.1") })
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound || dns.Name != "broker.test" {
		t.Errorf("%v, want a net.DNSError of a name that is not found", err)
	}
}

// The name has a dead address and a live one. The start finds the live one, whether the dead one
// refuses connections or never answers.
func TestStartNameWithADeadAddress(t *testing.T) {
	for name, dead := range map[string]func(context.Context) error{
		"Refuses":  func(context.Context) error { return syscall.ECONNREFUSED },
		"Swallows": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			b := testbroker.Fake(t)
			names := new(testbroker.Names)
			var mu sync.Mutex
			var tried []string
			p := newProducer(t, b, Config{
				Topic: b.CreateTopic(t, 1), Brokers: []string{strings.Replace(b.Addrs[0], "127.0.0.1", "broker.test", 1)},
				Dial: (&net.Dialer{Resolver: names.Resolver(), ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
					mu.Lock()
					tried = append(tried, address)
					mu.Unlock()
					if strings.HasPrefix(address, "127.0.0.2:") {
						return dead(ctx)
					}
					return nil
				}}).DialContext,
			})
			names.Set("broker.test", "127.0.0.2", "127.0.0.1")
			startsAndWrites(t, b, p)
			if !strings.HasPrefix(tried[0], "127.0.0.2:") {
				t.Errorf("tried %q, want the dead address first", tried)
			}
			if name == "Refuses" { // alone, the other one takes all of the DialTimeout
				names.Set("broker.test", "127.0.0.2")
				failsThenStarts(t, b, p, "metadata", func() { names.Set("broker.test", "127.0.0.1") }, syscall.ECONNREFUSED)
			}
		})
	}
}

// A topic that does not exist yet; then it does.
func TestStartUnknownTopicThenCreated(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := testbroker.TopicName()
		p := newProducer(t, b, Config{Topic: topic})
		err := failsThenStarts(t, b, p, "metadata", func() { b.CreateTopicNamed(t, topic, 3) }, kafka.UnknownTopicOrPartition)
		var topicErr *TopicError
		if !errors.As(err, &topicErr) || topicErr.Topic != topic {
			t.Errorf("%v does not name the topic", err)
		}
	})
}

// One of three brokers is down: the start names the broker and the partitions that it leads. It
// works when the others have taken over, and when the broker is back.
func TestStartOneOfThreeDown(t *testing.T) {
	testbroker.EachCluster(t, 3, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		spread := func() {
			for i := range int32(3) {
				if err := b.Fake.MoveTopicPartition(topic, i, i); err != nil {
					t.Fatal(err)
				}
			}
		}
		p := newProducer(t, b, Config{Topic: topic})
		for name, repair := range map[string]func(){
			"elected": func() {
				if err := b.Fake.MoveTopicPartition(topic, 1, 2); err != nil {
					t.Fatal(err)
				}
			},
			"back": func() { b.Net.Revive(1) },
		} {
			spread()
			b.Net.Kill(1)
			err := failsThenStarts(t, b, p, "leaders", repair, syscall.ECONNREFUSED)
			var topicErr *TopicError
			if !errors.As(err, &topicErr) || topicErr.Topic != topic || fmt.Sprint(topicErr.Partitions) != "[1]" || !strings.Contains(err.Error(), "broker 1") {
				t.Errorf("%s: %v does not name the broker and a partition of it", name, err)
			}
			b.Net.Revive(1)
		}
	})
}
