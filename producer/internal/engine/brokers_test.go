package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/cluster"
)

// Two connections to each broker that leads, and one for metadata, opened before the first
// write: writing dials nothing, however many partitions and callers there are (D8, R47).
func TestD8Connections(t *testing.T) {
	bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
		bad := testbroker.NewLossy(b, nil)
		var refuses atomic.Bool
		cfg := config(b, "t")
		cfg.Connection.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if refuses.Load() {
				return nil, errors.New("refused by the test")
			}
			return bad.Dial(ctx, network, address)
		}
		e := start(t, cfg)
		if n := bad.Connections.Load(); n != 3*2+1 {
			t.Errorf("%d connections after Start", n)
		}
		refuses.Store(true)
		deliver(t, e, 50, 10, 3)
		verify(t, b, "t", 50, 30)
		time.Sleep(time.Hour) // idle ones are kept alive
		deliver(t, e, 1, 1, 1)
		if n := bad.Connections.Load(); n != 3*2+1 {
			t.Errorf("%d connections", n)
		}
		refuses.Store(false)
		b.Net.Cut()
		time.Sleep(time.Second) // they are dialled again in the background
		if n := bad.Connections.Load(); n < 2*3*2+1 {
			t.Errorf("%d connections after all were cut", n)
		}
	}, kfake.SeedTopics(100, "t"))
}

// A throttled producer asks no more before the time is over, on any connection (R42).
func TestThrottle(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		var mu sync.Mutex
		var at []time.Time
		b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			res := req.ResponseKind().(*kmsg.ProduceResponse)
			res.ThrottleMillis = 700
			for _, rt := range req.(*kmsg.ProduceRequest).Topics {
				t := kmsg.ProduceResponseTopic{Topic: rt.Topic}
				for _, rp := range rt.Partitions {
					p := kmsg.NewProduceResponseTopicPartition()
					p.Partition = rp.Partition
					t.Partitions = append(t.Partitions, p)
				}
				res.Topics = append(res.Topics, t)
			}
			return res, nil, true
		})
		e := start(t, config(b, "t"))
		for range 5 {
			deliver(t, e, 8, 1, 1)
		}
		for i := 1; i < len(at); i++ {
			if d := at[i].Sub(at[i-1]); d != 0 && d < 700*time.Millisecond {
				t.Errorf("a request came %v after the one before", d)
			}
		}
		if len(at) < 5 {
			t.Errorf("%d requests", len(at))
		}
	}, kfake.SeedTopics(8, "t"))
}

// A start that finds another cluster at the same addresses asks for a new producer id.
func TestAnotherCluster(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := New(config(b, "t"))
		for i := range 3 {
			if i == 2 {
				e.clusterID = "another" // as if the last start had found it
			}
			if err := e.Start(t.Context(), ignore); err != nil {
				t.Fatal(err)
			}
			if err := e.Write(t.Context(), time.Now(), message("x")); err != nil {
				t.Error(err)
			}
			if err := e.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		var ids []int64
		for _, r := range b.Read(t, "t") {
			ids = append(ids, r.ProducerID)
		}
		if len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] {
			t.Errorf("the producer ids are %v", ids)
		}
	}, kfake.SeedTopics(1, "t"))
}

// When the epochs of a producer id run out, another id is requested, and the order is kept.
func TestAnotherID(t *testing.T) {
	bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
		bad := testbroker.NewLossy(b, nil)
		cfg := config(b, "t")
		cfg.DeliveryTimeout = 300 * time.Millisecond
		cfg.WriteTimeout = 50 * time.Millisecond
		cfg.Connection.Dial = bad.Dial
		e := New(cfg)
		e.limits = core.Limits{MaxSequence: 200, EpochLimit: 5, MaxEpoch: 1000}
		if err := e.Start(t.Context(), ignore); err != nil {
			t.Fatal(err)
		}
		l := newLedger()
		for round := range 60 {
			var wg sync.WaitGroup
			bad.Losses.Store(uint64(900 * (round % 2))) // every other round ends batches in doubt
			for w := range 6 {
				wg.Go(func() { l.write(t.Context(), t, e, w, 3) })
			}
			wg.Wait()
		}
		bad.Losses.Store(0)
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		l.judge(t, b, "t")
		ids := make(map[int64]bool)
		for _, r := range b.Read(t, "t") {
			ids[r.ProducerID] = true
		}
		if len(ids) < 2 {
			t.Errorf("%d producer ids", len(ids))
		}
		leavesNothing(t, e)
	}, kfake.SeedTopics(3, "t"))
}

// A topic without writes is no longer in the requests for metadata, and is found again by the next
// write. Connections to brokers that lead no partition in use are closed.
func TestIdleTopics(t *testing.T) {
	bubble(t, 2, func(t *testing.T, b *testbroker.Broker) {
		if err := b.Fake.MoveTopicPartition("declared", 0, 0); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"idle", "busy"} {
			if err := b.Fake.MoveTopicPartition(name, 0, 1); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		asked := make(map[string]int)
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			for _, rt := range req.(*kmsg.MetadataRequest).Topics {
				asked[*rt.Topic]++
			}
			return nil, nil, false
		})
		e := start(t, config(b, "declared"))
		for round := range 2 {
			write := func(name string) {
				t.Helper()
				if err := e.Write(t.Context(), time.Now(), kafka.Message{Topic: name, Value: []byte("x")}); err != nil {
					t.Error(err)
				}
			}
			write("idle")
			for range 60 {
				write("busy")
				time.Sleep(time.Minute)
			}
			mu.Lock()
			clear(asked)
			mu.Unlock()
			for range 60 {
				write("busy")
				time.Sleep(time.Minute)
			}
			mu.Lock()
			if asked["idle"] > 0 || asked["busy"] < 10 || asked["declared"] < 10 {
				t.Errorf("round %d: asked for %v in an hour", round, asked)
			}
			mu.Unlock()
		}
		time.Sleep(time.Hour) // broker 1 leads nothing in use
		if n := e.Counters().Open.Load(); n != 2 {
			t.Errorf("%d connections to leaders", n)
		}
		if n := len(values(t, b, "idle")[0]); n != 2 {
			t.Errorf("%d messages", n)
		}
	}, kfake.SeedTopics(1, "declared", "idle", "busy"))
}

// A message that comes while its topic is let go is sent.
func TestTopicIsLetGoMeanwhile(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		e := start(t, config(b, "declared"))
		m := kafka.Message{Topic: "idle", Value: []byte("x")}
		if err := e.Write(t.Context(), time.Now(), m); err != nil {
			t.Fatal(err)
		}
		s, topic := e.started.Load(), (*e.topics.Load())["idle"]
		c := new(call)
		c.Expect(1)
		if err := c.route(t.Context(), s, []kafka.Message{m}, time.Now()); err != nil {
			t.Fatal(err)
		}
		topic.used.Store(0)
		s.sweepTopics()
		if !topic.idle.Load() {
			t.Error("the topic is not let go")
		}
		c.admit(s, []kafka.Message{m})
		<-c.Done()
		if c.Failures() != nil {
			t.Error(c.Failures())
		}
	}, kfake.SeedTopics(1, "declared", "idle"))
}

// A partition whose core was freed begins an epoch that it has not used: batches that are like earlier ones
// are in the log, and stand behind them. A broker would take them for duplicates, and lose them, if their
// sequences began anew in an epoch that it knows (D1, D3, D4).
func TestR49FreedCores(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		declared, idle := b.CreateTopic(t, 1), b.CreateTopic(t, 1)
		e := start(t, config(b, declared))
		const rounds, batches = 5, 3 // a broker remembers five batches
		var want []string
		for round := range rounds {
			for i := range batches {
				v := fmt.Sprintf("%d-%d", round, i)
				if err := e.Write(t.Context(), time.Now(), kafka.Message{Topic: idle, Value: []byte(v)}); err != nil {
					t.Error(err)
				}
				want = append(want, v)
			}
			topic := (*e.topics.Load())[idle]
			leakcheck.Eventually(t, "the topic to be let go", func() string { // when the sender has let go of it
				topic.used.Store(0)
				if e.started.Load().sweepTopics(); !topic.idle.Load() {
					return "it is in use"
				}
				return ""
			})
		}
		epochs := make(map[int16]bool)
		for _, r := range b.Read(t, idle) {
			epochs[r.ProducerEpoch] = true
		}
		if n := e.Counters().Sequences.Load(); len(epochs) != rounds || n > 0 {
			t.Errorf("%d epochs, want %d; %d answers that another sequence was expected", len(epochs), rounds, n)
		}
		if got := values(t, b, idle)[0]; !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
	})
}

// A start that fails leaves nothing, and says why.
func TestStartFails(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		for _, test := range []struct {
			name string
			harm func(cfg *Config)
			want error
		}{
			{"missing topic", func(cfg *Config) { cfg.Topics = []string{"missing"} }, kafka.UnknownTopicOrPartition},
			{"no id", func(*Config) {
				b.Fake.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
					res := req.ResponseKind().(*kmsg.InitProducerIDResponse)
					res.ErrorCode = kerr.ClusterAuthorizationFailed.Code
					return res, nil, true
				})
			}, cluster.ErrNoIdempotence},
			{"hangs", func(*Config) { b.Hang(kmsg.Metadata) }, context.DeadlineExceeded},
		} {
			cfg := config(b, "t")
			test.harm(&cfg)
			e := New(cfg)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			began := time.Now()
			if err := e.Start(ctx, ignore); !errors.Is(err, test.want) || time.Since(began) > 5*time.Second {
				t.Errorf("%s: %v after %v", test.name, err, time.Since(began))
			}
			cancel()
			if err := e.Write(t.Context(), time.Now(), message("x")); !errors.Is(err, fsm.ErrNotStarted) {
				t.Errorf("%s: Write: %v", test.name, err)
			}
			leavesNothing(t, e)
		}
	}, kfake.SeedTopics(1, "t"))
}

// An outage of a broker is one warning, however many connections it has.
func TestOneWarningForABroker(t *testing.T) {
	bubble(t, 2, func(t *testing.T, b *testbroker.Broker) {
		for i := range int32(2) {
			if err := b.Fake.MoveTopicPartition("t", i, i); err != nil {
				t.Fatal(err)
			}
		}
		warned := make(chan string, 100)
		cfg := config(b, "t")
		cfg.ConnectionsPerBroker = 3
		cfg.Warn = func(message, _ string, _ int, _ error) { warned <- message }
		start(t, cfg)
		b.Net.Kill(1)
		time.Sleep(time.Minute)
		b.Net.Revive(1)
		if n, first := len(warned), <-warned; n != 1 || !strings.Contains(first, "cannot be reached") {
			t.Errorf("%d warnings, the first is %q", n, first)
		}
	}, kfake.SeedTopics(2, "t"))
}

// Without a limit of attempts a message outlives an outage that ends before its deadline: brokers that are away, and
// brokers that refuse it for now (D9).
func TestD9OutlivesAnOutage(t *testing.T) {
	for name, begin := range map[string]func(b *testbroker.Broker) (end func()){
		"away": func(b *testbroker.Broker) func() { b.Net.Kill(0); return func() { b.Net.Revive(0) } },
		"refuses": func(b *testbroker.Broker) func() {
			return b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1}).Remove
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
				cfg := config(b, "t")
				cfg.DeliveryTimeout = 10 * time.Minute
				e := start(t, cfg)
				time.AfterFunc(5*time.Minute, begin(b))
				if err := e.Write(t.Context(), time.Now(), message("x")); err != nil {
					t.Error(err)
				}
			}, kfake.SeedTopics(1, "t"))
		})
	}
}
