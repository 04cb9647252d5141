package shop

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/conformance"
	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
)

// fake is a Store in memory.
type fake struct{ close func(context.Context) error }

func (fake) Price(context.Context, string) (int64, error) { return 42, nil }
func (f fake) Close(ctx context.Context) error            { return f.close(ctx) }

// server is a fake of what dial reaches.
type server struct {
	refuses int // the number of dials that fail first
	dialled int
	open    int
	lost    func(error) // breaks the connection
}

var errRefused = errors.New("connection refused")

func (s *server) dial(_ context.Context, lost func(error)) (Store, error) {
	if s.dialled++; s.dialled <= s.refuses {
		return nil, errRefused
	}
	s.open++
	s.lost = lost
	return fake{func(context.Context) error { s.open--; return nil }}, nil
}

// A start is tried again each second. In a bubble of synctest the clock jumps: the test takes no time.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{refuses: 2}
		store := open(srv.dial, patient()...)
		began := time.Now()
		if err := store.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); srv.dialled != 3 || took != 2*time.Second {
			t.Errorf("%d dials in %v; want 3 in 2 s", srv.dialled, took)
		}
		if err := store.Close(); err != nil || srv.open != 0 {
			t.Errorf("Close: %v, and %d connections are open", err, srv.open)
		}
	})
}

// The server never answers. The start ends after a minute, and its error names the part.
func TestStartTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := open(func(ctx context.Context, _ func(error)) (Store, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, patient()...)
		began := time.Now()
		err := store.Start(t.Context())
		var failed *fsm.StartError
		if !errors.As(err, &failed) || failed.Part != "connection" || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v; want the connection's deadline after a minute", time.Since(began), err)
		}
		if s := store.Status(); s.State != fsm.Idle || len(s.Held) > 0 {
			t.Errorf("%v; want nothing held", s)
		}
	})
}

// A lost connection is made again, a second after the loss and after each failure.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := new(server)
		store := open(srv.dial, patient()...)
		defer store.Close()
		if err := store.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		srv.refuses = 3 // the dials 2 and 3 fail
		began := time.Now()
		srv.lost(errors.New("reset by peer"))
		synctest.Wait() // it is released now, and a restart is due
		if s := store.Status(); s.State != fsm.Idle || s.RestartAt.IsZero() || srv.open != 0 {
			t.Errorf("%v, and %d connections are open; want that it waits for its restart", s, srv.open)
		}
		if err := store.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); srv.dialled != 4 || took != 3*time.Second {
			t.Errorf("%d dials, ready after %v; want 4 and 3 s", srv.dialled, took)
		}
	})
}

// An order is in the topic, with its price.
func TestOrder(t *testing.T) {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	shop := started(t, producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders"})
	if err := shop.Order(t.Context(), "tea"); err != nil {
		t.Fatal(err)
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	records := consumer.PollRecords(ctx, 1).Records()
	if len(records) != 1 {
		t.Fatalf("the topic has %d records; want 1", len(records))
	}
	if key, value := string(records[0].Key), string(records[0].Value); key != "tea" || value != "42" {
		t.Errorf("the topic has %s for %s; want tea for 42", key, value)
	}
}

// started returns a shop that is open until the test ends.
func started(t *testing.T, c producer.Config) *Shop {
	t.Helper()
	orders, err := producer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	shop := &Shop{open(new(server).dial), orders}
	for _, l := range []interface {
		Start(context.Context) error
		Close() error
	}{shop.store, shop.orders} {
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		if err := l.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return shop
}

// The broker takes the order and never answers. Order returns after 30 seconds, and the verdict
// says that the order may be in the topic.
func TestOrderWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		cluster := kfake.MustCluster(kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SeedTopics(1, "orders"))
		defer cluster.Close()
		shop := started(t, producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders", Dial: network.DialContext})
		cluster.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			return nil, nil, true // handled, without an answer
		})
		began := time.Now()
		err := shop.Order(t.Context(), "tea")
		if !errors.Is(err, producer.ErrMaybeDelivered) || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %v; want maybe delivered after 30 s", time.Since(began), err)
		}
	})
}

// tested is the lifecycle as the suite calls it.
type tested struct{ *fsm.Lifecycle[Store] }

func (l tested) Use(ctx context.Context, f func(context.Context) error) error {
	return l.Lifecycle.Use(ctx, func(ctx context.Context, _ Store) error { return f(ctx) })
}

// open keeps every guarantee, also when a dial fails, hangs or panics, a caller leaves, or the
// connection is lost.
func TestConformance(t *testing.T) {
	quiet := fsm.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	conformance.Test(t, conformance.Subject{
		New: func(h *conformance.Hooks) conformance.Lifecycle {
			return tested{open(func(ctx context.Context, lost func(error)) (Store, error) {
				h.OnDeath(lost)
				if err := h.Open(ctx); err != nil {
					return nil, err
				}
				return fake{h.Release}, nil
			}, quiet)}
		},
		Capabilities: conformance.Everything,
	})
}
