package producer

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/resilience"
)

// tries are the tries of a producer's starts, as its Tracer saw them fail.
type tries struct{ steps []fsm.Step }

func (s *tries) Step(step fsm.Step) {
	if step.Kind == fsm.StepRetry {
		s.steps = append(s.steps, step)
	}
}

func (s *tries) Transition(fsm.Transition) {}

func (s *tries) parts() (parts []string) {
	for _, step := range s.steps {
		parts = append(parts, step.Part)
	}
	return parts
}

// persistent makes a producer that tries again after each pause, and its tries.
func persistent(t *testing.T, b *testbroker.Broker, pause time.Duration, cfg Config) (*Producer, *tries) {
	t.Helper()
	seen := new(tries)
	cfg.Retry = resilience.NewRetry(resilience.RetryConfig{Pauses: backoff.NewConstantBackOff(pause)})
	cfg.Lifecycle = []fsm.Option{fsm.WithTracer(seen)}
	return newProducer(t, b, cfg), seen
}

// pausing fails unless the producer waits between two tries, and nothing of the one before is left:
// no part, no connection, no goroutine except the attempt's own.
func pausing(t *testing.T, b *testbroker.Broker, p *Producer) {
	t.Helper()
	synctest.Wait()
	s := p.Status()
	if s.State != fsm.Starting || len(s.Held) > 0 || s.Acquiring != "" || s.Cause == nil {
		t.Fatalf("it does not pause between two tries, with nothing held: %v", s)
	}
	if now, _ := connections(p); now != 0 || b.Open() != 0 || b.Sockets(t) != 0 {
		t.Errorf("in the pause %d connections are open, the broker has %d, the process %d", now, b.Open(), b.Sockets(t))
	}
	noGoroutines(t, "tryAgain", "async")
}

// Nothing listens; then it does. One Start returns nil.
func TestRetryNothingListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		p, seen := persistent(t, b, time.Second, Config{Topic: b.CreateTopic(t, 2)})
		b.Net.Kill(0)
		began := time.Now()
		started := async(func() error { return p.Start(bg) })
		sessions := make(map[*session]bool)
		time.Sleep(500 * time.Millisecond)
		for range 3 {
			pausing(t, b, p)
			mustBe(t, p.Status().Cause, syscall.ECONNREFUSED)
			sessions[p.current.Load()] = true
			time.Sleep(time.Second)
		}
		b.Net.Revive(0)
		joined := async(func() error { return p.Start(bg) })
		if err := errors.Join(get(t, started), get(t, joined)); err != nil {
			t.Fatal(err)
		}
		sessions[p.current.Load()] = true
		if took := time.Since(began).Round(100 * time.Millisecond); took != 4*time.Second || len(sessions) != 4 {
			t.Errorf("it took %v, and of 5 tries the first three and the last had %d sessions", took, len(sessions))
		}
		if s := p.Status(); s.Attempt != 1 || strings.Join(seen.parts(), " ") != "metadata metadata metadata metadata" {
			t.Errorf("attempt %d, tries that failed at %v", s.Attempt, seen.parts())
		}
		if err := p.WriteMessages(bg, messages("m", 10)...); err != nil {
			t.Error(err)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
	})
}

// A try that got further, to two of three brokers, also releases what it holds.
func TestRetryOneOfThreeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 3)
		for i := range int32(3) {
			if err := b.Fake.MoveTopicPartition(topic, i, i); err != nil {
				t.Fatal(err)
			}
		}
		p, seen := persistent(t, b, time.Second, Config{Topic: topic})
		b.Net.Kill(1)
		before := b.Accepted()
		started := async(func() error { return p.Start(bg) })
		pausing(t, b, p)
		if b.Accepted() == before {
			t.Error("the try has reached no broker: the test shows nothing")
		}
		b.Net.Revive(1)
		if err := get(t, started); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(seen.parts(), []string{"leaders"}) {
			t.Errorf("tries failed at %v; want once, at the leaders", seen.parts())
		}
		// Two to each broker; the try that failed had reached two of the three.
		if now, ever := connections(p); now != 6 || ever != 10 {
			t.Errorf("%d connections to leaders, %d ever; want 6 and 10", now, ever)
		}
		if err := p.WriteMessages(bg, messages("m", 30)...); err != nil {
			t.Error(err)
		}
	})
}

// A topic that does not exist may be created yet: Temporary says so, and it is.
func TestRetryUnknownTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := testbroker.TopicName()
		p, seen := persistent(t, b, time.Second, Config{Topic: topic})
		started := async(func() error { return p.Start(bg) })
		pausing(t, b, p)
		mustBe(t, p.Status().Cause, kafka.UnknownTopicOrPartition)
		b.CreateTopicNamed(t, topic, 3)
		if err := get(t, started); err != nil || len(seen.steps) == 0 {
			t.Errorf("Start: %v, after %d tries that failed", err, len(seen.steps))
		}
	})
}

// What is final is not tried again: a wrong password might lock the account.
func TestRetryNotOfWhatIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "mine", "theirs", "read"),
			kfake.Superuser("PLAIN", "admin", "right"),
			kfake.User("PLAIN", "user", "right", topicACL("mine", kmsg.ACLOperationWrite), topicACL("mine", kmsg.ACLOperationDescribe), topicACL("read", kmsg.ACLOperationDescribe)),
			kfake.User("PLAIN", "reader", "right", topicACL("read", kmsg.ACLOperationDescribe)))
		for _, c := range []struct {
			cfg  Config
			want error // nil: a panic
		}{
			{Config{Topic: "mine", SASL: plain.Mechanism{Username: "user", Password: "wrong"}}, kafka.SASLAuthenticationFailed},
			{Config{Topic: "mine", SASL: PlainFrom(newVault("wrong").ask)}, kafka.SASLAuthenticationFailed},
			{Config{Topic: "mine", Topics: []string{"theirs"}, SASL: plain.Mechanism{Username: "user", Password: "right"}}, kafka.TopicAuthorizationFailed},
			{Config{Topic: "read", CheckWritePermission: true, SASL: plain.Mechanism{Username: "user", Password: "right"}}, kafka.TopicAuthorizationFailed},
			{Config{Topic: "read", SASL: plain.Mechanism{Username: "reader", Password: "right"}}, ErrNoIdempotence},
			{Config{Topic: "mine", SASL: PlainFrom(func(context.Context) (string, string, error) { panic("boom") })}, nil},
		} {
			p, seen := persistent(t, b, time.Second, c.cfg)
			if c.want == kafka.SASLAuthenticationFailed { // what Apache Kafka answers; the embedded broker closes
				defer b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: kerr.SaslAuthenticationFailed, Count: 1}).Remove()
			}
			began := time.Now()
			err := p.Start(bg)
			if c.want != nil {
				mustBe(t, err, c.want)
			} else if panicked := new(fsm.PanicError); !errors.As(err, &panicked) {
				t.Errorf("Start: %v; want the panic", err)
			}
			if took := time.Since(began); took >= time.Second || len(seen.steps) > 0 || Temporary(err) {
				t.Errorf("%v: it took %v, %d tries were to be made again, Temporary is %t", err, took, len(seen.steps), Temporary(err))
			}
			nothingLeft(t, b, p)
		}
	})
}

// A Stop, a Close and the end of the last caller's context do not wait for a pause.
func TestRetryPauseIsCancelled(t *testing.T) {
	for name, end := range map[string]struct {
		end  func(p *Producer, leave func()) error
		want error
	}{
		"Stop":  {func(p *Producer, _ func()) error { return p.Stop(bg) }, ErrStopped},
		"Close": {func(p *Producer, _ func()) error { return p.Close() }, ErrClosed},
		"leave": {func(_ *Producer, leave func()) error { leave(); return nil }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				p, _ := persistent(t, b, time.Hour, Config{Topic: b.CreateTopic(t, 1), StartTimeout: 2 * time.Hour})
				b.Net.Kill(0)
				ctx, leave := context.WithCancel(bg)
				defer leave()
				started := async(func() error { return p.Start(ctx) })
				pausing(t, b, p)
				began := time.Now()
				if err := end.end(p, leave); err != nil {
					t.Error(err)
				}
				mustBe(t, get(t, started), end.want)
				synctest.Wait()
				if took := time.Since(began); took != 0 {
					t.Errorf("it took %v", took)
				}
				nothingLeft(t, b, p)
			})
		})
	}
}

// The StartTimeout bounds all tries together, and the error of Start has the last cause. Start
// returns at once if there is no time for another try.
func TestRetryWithinTheStartTimeout(t *testing.T) {
	started := func(p *Producer) (took time.Duration, err error) {
		began := time.Now()
		err = p.Start(bg)
		return time.Since(began).Round(time.Second), err
	}
	for name, c := range map[string]struct {
		pause, took time.Duration
		tries       int // that failed and were made again
	}{
		"a pause too long": {time.Minute, 0, 0},
		"some pauses":      {7 * time.Second, 28 * time.Second, 4},
		"just too long":    {29900 * time.Millisecond, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				p, seen := persistent(t, b, c.pause, Config{Topic: b.CreateTopic(t, 1)})
				b.Net.Kill(0)
				took, err := started(p)
				mustBe(t, err, syscall.ECONNREFUSED)
				if took != c.took || len(seen.steps) != c.tries || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it took %v and %d tries that were made again; want %v and %d: %v", took, len(seen.steps), c.took, c.tries, err)
				}
				nothingLeft(t, b, p)
			})
		})
	}
	t.Run("as often as Retry says", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := testbroker.Virtual(t)
			p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1),
				Retry: resilience.NewRetry(resilience.RetryConfig{Tries: 3, Pauses: backoff.NewConstantBackOff(time.Second)})})
			b.Net.Kill(0)
			took, err := started(p)
			mustBe(t, err, syscall.ECONNREFUSED)
			if took != 2*time.Second {
				t.Errorf("three tries took %v: %v", took, err)
			}
			nothingLeft(t, b, p)
		})
	})
	// What is waited for within a try is waited for as long as the attempt lasts, and named.
	t.Run("a leader in a later try", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := testbroker.Virtual(t)
			topic := b.CreateTopic(t, 2)
			var without atomic.Bool
			without.Store(true)
			leaderless(b, topic, &without)
			p, seen := persistent(t, b, 20*time.Second, Config{Topic: topic})
			b.Net.Kill(0)
			time.AfterFunc(10*time.Second, func() { b.Net.Revive(0) })
			took, err := started(p)
			mustBe(t, err, kafka.LeaderNotAvailable)
			if took != 30*time.Second || len(seen.steps) != 1 || !strings.Contains(err.Error(), errStartTimeout.Error()) {
				t.Errorf("it took %v and %d tries that were made again: %v", took, len(seen.steps), err)
			}
		})
	})
}

// A write that starts the producer waits for its tries, and is delivered.
func TestRetryStartOnWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 1)
		p, _ := persistent(t, b, time.Second, Config{Topic: topic, StartOnWrite: true})
		b.Net.Kill(0)
		written := async(func() error { return p.WriteMessages(bg, message("patient")) })
		pausing(t, b, p)
		b.Net.Revive(0)
		if err := get(t, written); err != nil {
			t.Error(err)
		}
		if found := values(t, b, topic); found["patient"] != 1 {
			t.Errorf("found %v", found)
		}
	})
}

// After two failed starts the breaker refuses, and nothing is dialled. Then a single probe is made,
// for all callers.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		var dials atomic.Int64
		breaker := resilience.NewBreaker(resilience.BreakerConfig{Failures: 2, CoolDown: 10 * time.Second})
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Breaker: breaker, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return b.Dial(ctx, network, address)
		}})
		b.Net.Kill(0)
		for range 2 {
			mustBe(t, p.Start(bg), syscall.ECONNREFUSED)
		}
		before, began := dials.Load(), time.Now()
		for range 5 {
			err := p.Start(bg)
			var open *resilience.OpenError
			if !errors.As(err, &open) || open.Until.Sub(began).Round(time.Second) != 10*time.Second || !Temporary(err) {
				t.Errorf("Start: %v; want an OpenError", err)
			}
			mustBe(t, err, syscall.ECONNREFUSED) // why
			if err := p.Stop(bg); err != nil {
				t.Error(err)
			}
		}
		if n := dials.Load() - before; n != 0 || time.Since(began) != 0 {
			t.Errorf("%d dials, %v while the breaker is open", n, time.Since(began))
		}
		time.Sleep(10 * time.Second)
		if b.Net.Revive(0); breaker.State() != resilience.HalfOpen {
			t.Errorf("after the cool-down the breaker is %v", breaker.State())
		}
		var all []<-chan error
		for range 20 {
			all = append(all, async(func() error { return p.Start(bg) }))
		}
		for _, started := range all {
			if err := get(t, started); err != nil {
				t.Error(err)
			}
		}
		if s := p.Status(); breaker.State() != resilience.Closed || s.Attempt != 8 { // two that failed, five refused, the probe
			t.Errorf("the breaker is %v after attempt %d", breaker.State(), s.Attempt)
		}
		if err := p.WriteMessages(bg, message("m")); err != nil {
			t.Error(err)
		}
	})
}
