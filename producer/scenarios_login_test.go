package producer

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// withLogins is a cluster that wants the right password of the user.
func withLogins(t *testing.T, nodes int, partitions int32) *testbroker.Broker {
	b := testbroker.VirtualCluster(t, nodes, kfake.EnableSASL(), kfake.SeedTopics(partitions, "t"), kfake.Superuser("PLAIN", "user", "right"))
	b.Options = franzPassword
	for i := range partitions {
		if err := b.Fake.MoveTopicPartition("t", i, i%int32(nodes)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// dials counts the dials, in all and by address.
type dials struct {
	all atomic.Int32
	to  sync.Map // string: *atomic.Int32
}

func (d *dials) by(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d.all.Add(1)
		n, _ := d.to.LoadOrStore(address, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
		return dial(ctx, network, address)
	}
}

// since returns how many were dialled since the last call.
func (d *dials) since() int { return int(d.all.Swap(0)) }

// kafka-go 304, 645: a connection for each partition, and storms of dials. Here Start opens two to
// each broker that leads something, and one for metadata, for any number of partitions and callers.
// Writing dials nothing. A lost connection is dialled once, and a broker that is gone no longer.
func TestR47StormsOfDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := withLogins(t, 4, 99)
		for i := range int32(99) { // one of four leads nothing
			if err := b.Fake.MoveTopicPartition("t", i, i%3); err != nil {
				t.Fatal(err)
			}
		}
		const each = 3*2 + 1
		d := new(dials)
		p := newProducer(t, b, Config{Topic: "t", SASL: rightPassword, Dial: d.by(b.Dial), Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		if n := d.since(); n != each {
			t.Errorf("Start has dialled %d times, want %d", n, each)
		}
		l := newLedger()
		under := l.load(t, p, 20, 250*time.Millisecond)
		time.Sleep(5 * time.Second)
		if n := d.since(); n != 0 {
			t.Errorf("the writes have dialled %d times", n)
		}
		b.Net.Cut()
		time.Sleep(5 * time.Second)
		if n := d.since(); n != each {
			t.Errorf("when all connections were cut %d were dialled, want %d", n, each)
		}
		b.Net.Kill(0)
		time.Sleep(20 * time.Second)
		if n := d.since(); n > 80 {
			t.Errorf("while a broker was down for 20 s %d connections were dialled", n)
		}
		b.Net.Revive(0)
		time.Sleep(5 * time.Second)
		d.since()
		b.Remove(0)
		time.Sleep(5 * time.Second)
		n := d.since()
		time.Sleep(time.Minute)
		if more := d.since(); n > 20 || more != 0 {
			t.Errorf("when a broker was removed %d connections were dialled, and %d in the minute after", n, more)
		}
		under.end()
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, "t"); c.failed() > 0 || c.acked < 1000 {
			t.Errorf("%v; one failed as: %v", c, l.failure())
		}
	})
}

// A broker, or what stands before it, ends each connection as soon as that is ready: it is dialled
// again as after a failed connect, and not without a pause.
func TestR47ConnectionsThatEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		d := new(dials)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Logger: slog.New(slog.DiscardHandler),
			Dial: d.by(func(ctx context.Context, network, address string) (net.Conn, error) {
				time.Sleep(time.Millisecond) // so that time passes
				return b.Dial(ctx, network, address)
			})})
		start(t, p)
		d.since()
		b.Net.Answered(b.Net.Cut)
		b.Net.Cut()
		write := async(func() error { return p.WriteMessages(bg, message("x")) })
		time.Sleep(10 * time.Second)
		if n := d.since(); n < 10 || n > 100 {
			t.Errorf("in 10 s %d connections were dialled", n)
		}
		if failed := p.Counters().ConnectFailures; failed < 10 {
			t.Errorf("%d of them count as failed", failed)
		}
		b.Net.Answered(nil)
		time.Sleep(3 * time.Second)
		select {
		case err := <-write:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the write has not gone through 3 s after the end of the fault")
		}
		d.since()
		b.Net.Cut() // one that served is dialled at once
		time.Sleep(50 * time.Millisecond)
		if n := d.since(); n != 3 {
			t.Errorf("when all connections were cut %d were dialled, want 3", n)
		}
	})
}

// sarama 1940: in a rolling restart a broker refuses logins for a moment, because it has not loaded
// the credentials yet, and the writes fail with that.
func TestR50LoginRefusedInARollingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes = 3
		b := withLogins(t, nodes, 6)
		var until [nodes]atomic.Int64
		var refused atomic.Int32
		b.Fake.ControlKey(kmsg.SASLAuthenticate.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if time.Now().UnixNano() >= until[b.Fake.CurrentNode()].Load() {
				return nil, nil, false
			}
			refused.Add(1)
			return loginRefused(req), nil, true
		})
		p := newProducer(t, b, Config{Topic: "t", SASL: rightPassword, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		l := newLedger()
		under := l.load(t, p, 6, 50*time.Millisecond)
		for node := range nodes {
			time.Sleep(time.Second)
			b.Net.Kill(node)
			time.Sleep(3 * time.Second)
			until[node].Store(time.Now().Add(5 * time.Second).UnixNano())
			b.Net.Revive(node)
			time.Sleep(15 * time.Second)
		}
		longest := l.reset()
		time.Sleep(time.Second)
		under.end()
		if longest > 3*time.Second+2*5*time.Second+2*time.Second || l.longest > 20*time.Millisecond {
			t.Errorf("a write took %v during the restart, and %v after it", longest, l.longest)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, "t"); c.failed() > 0 || c.acked < 500 || refused.Load() < 3*3 {
			t.Errorf("%d logins were refused; %v; one failed as: %v", refused.Load(), c, l.failure())
		}
		nothingLeft(t, b, p)
	})
}

// loginRefused is the answer of a broker that does not know the user, or another password.
func loginRefused(req kmsg.Request) kmsg.Response {
	res := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	res.ErrorCode = kerr.SaslAuthenticationFailed.Code
	return res
}

// The same report: the credentials are rotated, and the new ones are wrong. The connections that are
// open stay in use, and if those to a leader are lost, those to the next one are.
func TestR50RotationThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := withLogins(t, 3, 6)
		asked := newStale(b) // none is
		b.Fake.ControlKey(kmsg.SASLAuthenticate.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes) == "\x00user\x00wrong" {
				return loginRefused(req), nil, true
			}
			return nil, nil, false
		})
		credentials, d := new(login), new(dials)
		credentials.set(rightPassword)
		p := newProducer(t, b, Config{Topic: "t", SASL: credentials, AllowPlaintextPassword: true, Dial: d.by(b.Dial), Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		l := newLedger()
		under := l.load(t, p, 6, 250*time.Millisecond)
		d.since()
		credentials.set(wrongPassword)
		time.Sleep(2 * time.Minute)
		if n := d.since(); n != 0 {
			t.Errorf("%d connections were dialled", n)
		}
		if err := p.Ping(bg); err != nil {
			t.Error(err)
		}
		node := (asked.asked.Load() + 1) % 3 // not that of the connection for metadata
		b.Net.Kill(int(node))
		b.Net.Revive(int(node))
		time.Sleep(10 * time.Second) // no login succeeds there
		leave(b, "t", node)
		time.Sleep(2 * time.Minute)
		credentials.set(rightPassword)
		time.Sleep(10 * time.Second)
		if err := b.Fake.MoveTopicPartition("t", 0, node); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		under.end()
		if l.longest > 12*time.Second {
			t.Errorf("a write took %v", l.longest)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b, "t"); c.failed() > 0 || c.acked < 500 {
			t.Errorf("%v; one failed as: %v", c, l.failure())
		}
		nothingLeft(t, b, p)
	})
}

// A login that is refused is tried again after pauses that grow, for as long as the producer runs; when
// the credentials are right again that is found soon. Other faults are found as soon as ever.
func TestRefusedLoginsAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := withLogins(t, 1, 2)
		d := new(dials)
		p := newProducer(t, b, Config{Topic: "t", SASL: rightPassword, Dial: d.by(b.Dial), Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		refused := b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: kerr.SaslAuthenticationFailed, Count: -1})
		b.Net.Cut()
		time.Sleep(time.Minute)
		d.since()
		time.Sleep(time.Hour)
		if n := d.since(); n < 3*300 || n > 3*600 {
			t.Errorf("%d logins in an hour, over three connections", n)
		}
		began := time.Now()
		mustBe(t, p.Ping(bg), kafka.SASLAuthenticationFailed)
		if took := time.Since(began); took > time.Second {
			t.Errorf("Ping took %v", took)
		}
		refused.Remove()
		if err := p.WriteMessages(bg, message("x")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the first write took %v", took)
		}
		time.Sleep(10 * time.Second)
		if err := p.Ping(bg); err != nil {
			t.Error(err)
		}
		b.Net.Kill(0)
		time.Sleep(time.Minute)
		b.Net.Revive(0)
		began = time.Now()
		if err := p.WriteMessages(bg, message("y")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 1200*time.Millisecond {
			t.Errorf("the write after a broker was down took %v", took)
		}
	})
}
