package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

func openOn(t *testing.T, b *testbroker.Broker, cfg Config) *Cluster {
	t.Helper()
	if cfg.Brokers == nil {
		cfg.Brokers = b.Addrs
	}
	if cfg.Connection == nil {
		cfg.Connection = &connection.Config{Dial: b.Dial, Timeout: 5 * time.Second}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	c := Open(context.Background(), cfg)
	t.Cleanup(func() {
		c.Close()
		leakcheck.Eventually(t, "nothing left", func() string { return leakcheck.Goroutine([]string{"producer/internal/c"}) })
	})
	return c
}

// counted counts the requests for metadata.
func counted(b *testbroker.Broker) *atomic.Int64 {
	n := new(atomic.Int64)
	b.Fake.ControlKey(kmsg.Metadata.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		n.Add(1)
		return nil, nil, false
	})
	return n
}

// bubble runs a test on an embedded cluster in virtual time.
func bubble(t *testing.T, n int, test func(t *testing.T, b *testbroker.Broker), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, testbroker.VirtualCluster(t, n, opts...)) })
}

// Any number of callers share a question, and those that come while it is under way the
// next one.
func TestOneQuestionForAll(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		questions := counted(b)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := c.Update(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := questions.Load(); n > 2 {
			t.Errorf("%d questions for 100 who asked at the same time", n)
		}
		for range 1000 {
			c.Refresh()
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		if n := questions.Load(); n > 4 {
			t.Errorf("%d questions", n)
		}
	})
}

// Who asks again and again gets an answer twice a second.
func TestQuestionsArePaced(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		questions := counted(b)
		began := time.Now()
		for time.Since(began) < time.Minute {
			if err := c.Update(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := questions.Load(); n < 100 || n > 140 {
			t.Errorf("%d questions in a minute", n)
		}
		// Only topics that a caller asked about are requested.
		began = time.Now()
		for i := range 50 {
			if _, err := c.Topic(t.Context(), fmt.Sprint("new-", i)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the first use of 50 topics took %v", took)
		}
	})
}

// What was never asked for does not wait for the pause of a question that is due.
func TestNewRequestsDoNotWait(t *testing.T) {
	for name, first := range map[string]func(*testing.T, *Cluster) error{
		"producer id": func(t *testing.T, c *Cluster) error { _, _, err := c.InitProducerID(t.Context()); return err },
		"topic":       func(t *testing.T, c *Cluster) error { _, err := c.Topic(t.Context(), "new"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
				c := openOn(t, b, Config{})
				for range 6 {
					if err := c.Update(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				questions := counted(b)
				c.Refresh()
				synctest.Wait()
				if questions.Load() != 0 {
					t.Fatal("the question is not due later: the test shows nothing")
				}
				began := time.Now()
				if err := first(t, c); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > firstPause {
					t.Errorf("it took %v", took)
				}
				time.Sleep(longestPause)
				if questions.Load() != 1 {
					t.Errorf("%d questions; want the one that was due", questions.Load())
				}
			})
		})
	}
}

// After a bad address the next one is tried, whatever the failure (R45).
func TestD9BadAddresses(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		for range 10 { // they are tried in any order
			c := openOn(t, b, Config{
				Brokers: []string{"refused:1", "silent:1", "http:1", b.Addrs[0]},
				Connection: &connection.Config{Timeout: time.Second, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					switch address {
					case b.Addrs[0]:
						return b.Dial(ctx, network, address)
					case "silent:1":
						<-ctx.Done()
						return nil, ctx.Err()
					case "http:1":
						client, server := net.Pipe()
						go func() { // net.Pipe is not buffered
							defer server.Close()
							server.Read(make([]byte, 100))
							server.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
						}()
						return client, nil
					}
					return nil, errors.New("refused")
				}},
			})
			if err := c.Update(t.Context()); err != nil {
				t.Error(err)
			}
			c.Close()
		}
	})
}

// Addresses that do not answer do not hold up the next for long.
func TestSilentAddresses(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		for range 10 { // they are tried in any order
			c := openOn(t, b, Config{
				Brokers: []string{"silent:1", "silent:2", b.Addrs[0]},
				Connection: &connection.Config{Timeout: 10 * time.Second, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if address == b.Addrs[0] {
						return b.Dial(ctx, network, address)
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}},
			})
			began := time.Now()
			if err := c.Update(t.Context()); err != nil || time.Since(began) > 2*headStart+100*time.Millisecond {
				t.Errorf("Update: %v after %v", err, time.Since(began))
			}
			c.Close()
		}
	})
}

// If no address is good, the error has them all.
func TestNoGoodAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		c := openOn(t, new(testbroker.Broker), Config{Brokers: []string{"a:1", "b:2"}, Connection: &connection.Config{
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused },
		}})
		err := c.Update(t.Context())
		var all AddressErrors
		if !errors.As(err, &all) || len(all) != 2 || !errors.Is(err, refused) {
			t.Errorf("Update: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Topic(ctx, "t"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, refused) {
			t.Errorf("Topic: %v", err)
		}
	})
}

// The addresses that the user named are gone, and the brokers are elsewhere by now: one
// that was ever learnt is enough (R39).
func TestD9FindsTheClusterAgain(t *testing.T) {
	bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
		name := b.CreateTopic(t, 1)
		c := openOn(t, b, Config{Brokers: b.Addrs[:1]})
		if _, err := c.Topic(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		b.Net.Kill(0) // the only one that was named
		for _, dead := range []int{1, 2} {
			b.Net.Kill(dead)
			if err := c.Update(t.Context()); err != nil {
				t.Errorf("with nodes 0 and %d dead: %v", dead, err)
			}
			b.Net.Revive(dead)
		}
	})
}

// The latest answer has only a broker that is gone by now: one that was learnt before is enough.
func TestD9AsksEveryBrokerLearnt(t *testing.T) {
	bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
		name := b.CreateTopic(t, 1)
		c := openOn(t, b, Config{Brokers: b.Addrs[:1]})
		if _, err := c.Topic(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		var alone atomic.Bool
		alone.Store(true)
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			res := req.ResponseKind().(*kmsg.MetadataResponse)
			id := c.ID()
			res.ClusterID = &id
			host, port, _ := net.SplitHostPort(b.Addrs[0])
			number, _ := strconv.Atoi(port)
			res.Brokers = append(res.Brokers, kmsg.MetadataResponseBroker{NodeID: 0, Host: host, Port: int32(number)})
			return res, nil, alone.Load()
		})
		if err := c.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, known := c.Address(1); known {
			t.Fatal("the cluster knows more than one broker: the test shows nothing")
		}
		alone.Store(false)
		b.Net.Kill(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Update(ctx); err != nil {
			t.Errorf("D9 Survives: %v", err)
		}
	})
}

// However many addresses were learnt before and are dead now, a broker that comes back is found soon. The others are
// tried, too.
func TestD9DeadAddressesLearntBefore(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		const gone = 60
		var down atomic.Bool
		tried := make(map[string]bool)
		var mu sync.Mutex
		c := openOn(t, b, Config{Connection: &connection.Config{Timeout: 5 * time.Second, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !down.Load() && address == b.Addrs[0] {
				return b.Dial(ctx, network, address)
			}
			mu.Lock()
			tried[address] = true
			mu.Unlock()
			<-ctx.Done()
			return nil, ctx.Err()
		}}})
		if err := c.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		for i := range gone {
			c.learnt = slices.Insert(c.learnt, 0, fmt.Sprint("gone:", i))
		}
		c.mu.Unlock()
		update := func(most time.Duration) {
			t.Helper()
			began := time.Now()
			if err := c.Update(t.Context()); err != nil || time.Since(began) > most {
				t.Errorf("Update: %v after %v", err, time.Since(began))
			}
		}
		for range 10 {
			time.Sleep(2 * calm)
			b.Net.Cut()
			update(time.Second) // the broker that is left, although its connection has ended
		}
		down.Store(true)
		b.Net.Cut()
		c.Refresh()
		time.Sleep(20 * time.Second)
		down.Store(false)
		update(12 * time.Second)
		down.Store(true)
		b.Net.Cut()
		c.Refresh()
		time.Sleep(5 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(tried) != gone+1 {
			t.Errorf("%d addresses were tried in five minutes", len(tried))
		}
	})
}

// A broker of another cluster that has taken over an address is not believed.
func TestOtherCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.ClusterID("one"), kfake.SeedTopics(1, "t"))
		c := openOn(t, b, Config{})
		if _, err := c.Topic(t.Context(), "t"); err != nil || c.ID() != "one" {
			t.Fatalf("%v, cluster %q", err, c.ID())
		}
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			res := req.ResponseKind().(*kmsg.MetadataResponse)
			res.ClusterID = kmsg.StringPtr("two")
			return res, nil, true
		})
		if err := c.Update(t.Context()); !errors.Is(err, errOtherCluster) || c.ID() != "one" {
			t.Errorf("Update: %v, cluster %q", err, c.ID())
		}
	})
}

// Changed gets the leaders when they have moved.
func TestChanged(t *testing.T) {
	bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
		name := b.CreateTopic(t, 1)
		var leader atomic.Int32
		c := openOn(t, b, Config{Changed: func(topics []*Topic) {
			for _, topic := range topics {
				leader.Store(topic.Partitions[0].Leader)
			}
		}})
		c.Use(name)
		for i := range int32(6) {
			if err := b.Fake.MoveTopicPartition(name, 0, i%3); err != nil {
				t.Fatal(err)
			}
			c.Refresh()
			time.Sleep(time.Second)
			if leader.Load() != i%3 {
				t.Errorf("the leader is %d, Changed got %d", i%3, leader.Load())
			}
		}
	})
}

// Close ends what waits.
func TestClose(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		hung := b.Hang()
		c := openOn(t, b, Config{})
		errs := make(chan error, 3)
		go func() { errs <- c.Update(t.Context()) }()
		go func() { _, err := c.Topic(t.Context(), "t"); errs <- err }()
		go func() { _, _, err := c.InitProducerID(t.Context()); errs <- err }()
		time.Sleep(time.Second)
		began := time.Now()
		c.Close()
		for range 3 {
			if err := <-errs; !errors.Is(err, errClosed) {
				t.Errorf("what waited got %v", err)
			}
		}
		if time.Since(began) > 0 || hung.Hits() == 0 {
			t.Errorf("Close took %v, %d requests hung", time.Since(began), hung.Hits())
		}
		if err := c.Update(t.Context()); !errors.Is(err, errClosed) {
			t.Errorf("Update after Close: %v", err)
		}
	})
}

// The addresses that are remembered are bounded.
func TestLearntIsBounded(t *testing.T) {
	c := Cluster{topics: map[string]*topic{}}
	for i := range int32(1000) {
		if _, err := c.apply(&metadata.Response{Brokers: []metadata.ResponseBroker{{NodeID: i % 3, Host: "h", Port: i}, {NodeID: 7, Host: "same", Port: 1}}}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.learnt) != rememberAtAll || c.learnt[len(c.learnt)-1] != "same:1" || len(c.brokers) != 2 {
		t.Errorf("%d addresses, the last is %s; %d brokers", len(c.learnt), c.learnt[len(c.learnt)-1], len(c.brokers))
	}
	if list, _ := c.candidates(); len(list) != rememberAtAll {
		t.Errorf("%d candidates", len(list))
	}
}

// An answer with very many brokers is stored in time in proportion: a broker that lies cannot hang the
// producer.
func TestManyBrokers(t *testing.T) {
	c := Cluster{topics: map[string]*topic{}}
	m := new(metadata.Response)
	for i := range int32(500_000) {
		m.Brokers = append(m.Brokers, metadata.ResponseBroker{NodeID: i, Host: "h" + strconv.Itoa(int(i)), Port: 1})
	}
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		for range 2 {
			_, _ = c.apply(m, time.Now())
		}
	}()
	select {
	case <-stored:
	case <-time.After(time.Minute): // it was hours
		t.Fatal("500,000 brokers are not stored after a minute")
	}
	if len(c.brokers) != 500_000 || len(c.learnt) != 500_000 {
		t.Errorf("%d brokers, %d addresses", len(c.brokers), len(c.learnt))
	}
}

// A broker that hangs holds up a question for two seconds, if there is another.
func TestHangingBroker(t *testing.T) {
	bubble(t, 3, func(t *testing.T, b *testbroker.Broker) {
		var hangs atomic.Pointer[string] // the address
		var latest atomic.Pointer[string]
		c := openOn(t, b, Config{Connection: &connection.Config{Timeout: 5 * time.Second, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := b.Dial(ctx, network, address)
			latest.Store(&address)
			return &hanging{nc, address, &hangs}, err
		}}})
		for range 10 {
			hangs.Store(nil)
			if err := c.Update(t.Context()); err != nil {
				t.Fatal(err)
			}
			hangs.Store(latest.Load())
			began := time.Now()
			if err := c.Update(t.Context()); err != nil || time.Since(began) > patience+2*headStart+100*time.Millisecond {
				t.Errorf("Update: %v after %v", err, time.Since(began))
			}
		}
	})
}

// A hanging connection gets no answers while its address is the one that hangs.
type hanging struct {
	net.Conn
	address string
	hangs   *atomic.Pointer[string]
}

func (h *hanging) Read(b []byte) (int, error) {
	for {
		n, err := h.Conn.Read(b)
		if a := h.hangs.Load(); err != nil || a == nil || *a != h.address {
			return n, err
		}
	}
}
