package producer

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// What Dial and the SASL mechanism get for a context has the values of the attempt's, now and when
// they are called again while the producer runs.
func TestDialHasTheValuesOfTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.SeedTopics(1, "t"), kfake.Superuser("PLAIN", "user", "right"))
		b.Options = franzPassword
		type key struct{}
		var with, without atomic.Int64
		look := func(ctx context.Context) {
			if ctx.Value(key{}) != nil {
				with.Add(1)
			} else {
				without.Add(1)
			}
		}
		p := newProducer(t, b, Config{Topic: "t", AllowPlaintextPassword: true,
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				look(ctx)
				return b.Dial(ctx, network, address)
			},
			SASL: PlainFrom(func(ctx context.Context) (string, string, error) {
				look(ctx)
				return "user", "right", nil
			}),
			Lifecycle: []fsm.Option{fsm.WithBaseContext(context.WithValue(bg, key{}, "of the attempt"))},
		})
		start(t, p)
		b.Net.Cut()
		if err := p.WriteMessages(bg, message("m")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if without.Load() != 0 || with.Load() < 10 { // a connection for metadata, two to the leader, and again
			t.Errorf("%d calls have the value, %d have not", with.Load(), without.Load())
		}
	})
}

// Nothing of the context of an attempt is kept while Idle, whether it came up or failed.
func TestNothingOfAnAttemptIsKept(t *testing.T) {
	b := testbroker.Fake(t, kfake.SeedTopics(1, "t"))
	var refuse atomic.Bool
	var from atomic.Pointer[context.Context]
	p := newProducer(t, b, Config{Topic: "t",
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if refuse.Load() {
				return nil, errRefused
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		Lifecycle: []fsm.Option{fsm.WithCallerContext(func(context.Context) context.Context { return *from.Swap(&bg) })},
	})
	type key struct{}
	begin := func() weak.Pointer[[1 << 10]byte] {
		large := new([1 << 10]byte)
		ctx := context.WithValue(bg, key{}, large)
		from.Store(&ctx)
		if err := p.Start(bg); err != nil {
			mustBe(t, err, errRefused)
		}
		return weak.Make(large)
	}
	for _, refused := range []bool{false, true} {
		refuse.Store(refused)
		kept := begin()
		if !refused {
			if err := p.WriteMessages(bg, message("m")); err != nil {
				t.Error(err)
			}
			if err := p.Stop(bg); err != nil {
				t.Error(err)
			}
		}
		eventually(t, "nothing kept", func() string {
			if runtime.GC(); kept.Value() != nil {
				return "a value of the attempt's context"
			}
			return ""
		})
	}
}
