package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// each runs the test on the embedded broker and on Apache Kafka.
func each(t *testing.T, test func(t *testing.T, b *testbroker.Broker)) {
	t.Run("kfake", func(t *testing.T) { test(t, testbroker.Fake(t)) })
	t.Run("kafka", func(t *testing.T) { test(t, testbroker.Real(t)) })
}

func nothingLeft(t *testing.T, b *testbroker.Broker, l *fsm.Lifecycle[*client]) {
	t.Helper()
	if held := l.Status().Held; len(held) > 0 {
		t.Errorf("held: %q", held)
	}
	leakcheck.Eventually(t, "no connection left", func() string {
		if n := b.Sockets(t); n > 0 {
			return fmt.Sprintf("%d sockets", n)
		}
		return ""
	})
	leakcheck.Nothing(t, nil, []string{"franz-go/pkg/kgo"})
}

func to(b *testbroker.Broker, topic string, more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(b.Addrs...), kgo.DefaultProduceTopic(topic)}, more...)
}

func started(t *testing.T, with []kgo.Opt) *fsm.Lifecycle[*client] {
	t.Helper()
	l := lifecycle(with)
	t.Cleanup(func() { l.Close() })
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// First nothing listens there; the start that failed leaves no client, and the same
// lifecycle comes up later.
func TestDownThenUp(t *testing.T) {
	b := testbroker.Fake(t)
	topic := b.CreateTopic(t, 1)
	b.Net.Kill(0)
	l := lifecycle(to(b, topic))
	defer l.Close()
	for range 5 {
		var failed *fsm.StartError
		if err := l.Start(t.Context()); !errors.As(err, &failed) || failed.Part != "broker" {
			t.Fatalf("Start: %v; want that no broker answers", err)
		}
		nothingLeft(t, b, l)
	}
	b.Net.Revive(0)
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	nothingLeft(t, b, l)
}

// The last caller leaves while the broker hangs: the attempt is given up (G6).
func TestStartIsLeft(t *testing.T) {
	b := testbroker.Fake(t)
	hang := b.Hang()
	l := lifecycle(to(b, "orders"))
	defer l.Close()
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Start(ctx) }()
	leakcheck.Eventually(t, "the broker is asked", func() string {
		if hang.Hits() == 0 {
			return "no"
		}
		return ""
	})
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Start: %v", err)
	}
	if _, err := l.Wait(t.Context(), fsm.Idle); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, b, l)
}

// Answers to Produce get lost, and the client sends again. With idempotence each
// record is there once; without it some are there twice.
func TestIdempotent(t *testing.T) {
	each(t, func(t *testing.T, b *testbroker.Broker) {
		for _, c := range []struct {
			name       string
			more       []kgo.Opt
			duplicates bool
		}{
			{"idempotent", nil, false},
			{"not", []kgo.Opt{kgo.DisableIdempotentWrite()}, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				topic := b.CreateTopic(t, 1)
				var lossy lossy
				with := to(b, topic, append(c.more, kgo.Dialer(lossy.dial), kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }))...)
				l := lifecycle(with)
				if c.duplicates { // it has no producer id
					l = withoutID(with)
				}
				defer l.Close()
				if err := l.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				const n = 20
				for i := range n {
					lossy.lose.Store(i%2 == 0)
					if err := l.Use(t.Context(), func(ctx context.Context, c *client) error {
						return c.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr()
					}); err != nil {
						t.Fatal(err)
					}
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				if lossy.lost.Load() != n/2 {
					t.Fatalf("%d answers were lost; want %d", lossy.lost.Load(), n/2)
				}
				var got, want []string
				for _, r := range b.Read(t, topic) {
					got = append(got, string(r.Value))
				}
				for i := range n {
					want = append(want, fmt.Sprint(i))
					if c.duplicates && i%2 == 0 {
						want = append(want, fmt.Sprint(i))
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("read %q; want %q", got, want)
				}
				nothingLeft(t, b, l)
			})
		}
	})
}

func withoutID(with []kgo.Opt) *fsm.Lifecycle[*client] {
	return fsm.New(func(_ context.Context, s *fsm.Scope) (*client, error) {
		cl, err := kgo.NewClient(with...)
		if err == nil {
			s.Defer("client", func(context.Context) error { cl.Close(); return nil })
		}
		return &client{Client: cl}, err
	})
}

// Everything that is committed is there, and nothing that is aborted or cut off.
func TestTransactions(t *testing.T) {
	each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 2)
		l := started(t, to(b, topic, kgo.TransactionalID(topic)))
		produce := func(values ...string) func(context.Context, *kgo.Client) error {
			return func(ctx context.Context, cl *kgo.Client) error {
				for _, v := range values {
					if err := cl.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
						return err
					}
				}
				return nil
			}
		}
		if err := transact(t.Context(), l, produce("a1", "a2")); err != nil {
			t.Fatal(err)
		}
		changed := errors.New("changed its mind")
		if err := transact(t.Context(), l, func(ctx context.Context, cl *kgo.Client) error {
			return errors.Join(produce("b1", "b2")(ctx, cl), changed)
		}); !errors.Is(err, changed) {
			t.Errorf("the one that is aborted: %v", err)
		}

		// A stop waits for the transaction in flight.
		sent, finish := make(chan struct{}), make(chan struct{})
		ended, stopped := make(chan error, 1), make(chan error, 1)
		inFlight := func(value string) {
			ended <- transact(context.Background(), l, func(ctx context.Context, cl *kgo.Client) error {
				err := produce(value)(ctx, cl)
				sent <- struct{}{}
				select {
				case <-finish:
				case <-ctx.Done():
					err = context.Cause(ctx)
				}
				return err
			})
		}
		go inFlight("c")
		<-sent
		go func() { stopped <- l.Stop(context.Background()) }()
		if _, err := l.Wait(t.Context(), fsm.Stopping); err != nil {
			t.Fatal(err)
		}
		close(finish)
		if err := errors.Join(<-ended, <-stopped); err != nil {
			t.Errorf("the one in flight, and the stop: %v", err)
		}
		nothingLeft(t, b, l)

		// A forced stop cuts the transaction off. The next start ends the rest of it.
		if err := l.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		finish = make(chan struct{})
		go inFlight("d")
		<-sent
		now, cancel := context.WithCancel(context.Background())
		cancel()
		var cut *fsm.StopError
		if err := l.Stop(now); !errors.As(err, &cut) || cut.CutOff != 1 {
			t.Errorf("Stop: %v; want one transaction cut off", err)
		}
		if err := <-ended; !errors.Is(err, fsm.ErrStopped) {
			t.Errorf("the one that was cut off: %v", err)
		}
		if _, err := l.Wait(t.Context(), fsm.Idle); err != nil {
			t.Fatal(err)
		}
		nothingLeft(t, b, l)
		if err := l.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := transact(t.Context(), l, produce("end", "end")); err != nil {
			t.Fatal(err)
		}
		got := committed(t, b, topic)
		if want := []string{"a1", "a2", "c", "end", "end"}; !slices.Equal(got, want) {
			t.Errorf("a reader of what is committed gets %q; want %q", got, want)
		}

		// Another instance of the same id fences this one off: it cannot commit any more.
		other := started(t, to(b, topic, kgo.TransactionalID(topic)))
		if err := transact(t.Context(), l, produce("late")); !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
			t.Errorf("the one that is fenced off: %v", err)
		}
		if err := transact(t.Context(), other, produce("end", "end")); err != nil {
			t.Error(err)
		}
		if got := committed(t, b, topic); slices.Contains(got, "late") {
			t.Errorf("the one that was fenced off has committed: %q", got)
		}
	})
}

// committed reads until no "end" is missing: the last transaction puts two there in all.
func committed(t *testing.T, b *testbroker.Broker, topic string) []string {
	t.Helper()
	cl := b.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var values []string
	for n := 0; n < 2; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%v; read %q", err, values)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			values = append(values, string(r.Value))
			if string(r.Value) == "end" {
				n++
			}
		})
	}
	slices.Sort(values)
	return values
}

func TestProgram(t *testing.T) {
	each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		for _, id := range []string{"", topic} {
			if err := run(t.Context(), b.Addrs, topic, id); err != nil {
				t.Errorf("-id %q: %v", id, err)
			}
		}
		nothingLeft(t, b, lifecycle(nil)) // one that was never started holds nothing itself
	})
}

// lossy can lose the next answer to a Produce request: the broker has done the work, and the client
// does not learn of it.
type lossy struct {
	lose atomic.Bool
	lost atomic.Int32
}

func (l *lossy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &lossyConn{Conn: c, l: l}, err
}

type lossyConn struct {
	net.Conn
	l        *lossy
	produced atomic.Bool
}

func (c *lossyConn) Write(p []byte) (int, error) {
	if len(p) > 6 && p[4] == 0 && p[5] == 0 { // the API key is Produce's
		c.produced.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *lossyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.produced.Load() && c.l.lose.CompareAndSwap(true, false) {
		c.l.lost.Add(1)
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}
