package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// sessionsLast sets how long the session of a login lasts, and calls login for each.
func sessionsLast(b *testbroker.Broker, session time.Duration, login func()) {
	b.Net.Altered(func(res []byte) { // behind code, message and bytes
		if len(res) == 4+4+2+2+4+8 {
			login()
			binary.BigEndian.PutUint64(res[len(res)-8:], uint64(session.Milliseconds()))
		}
	})
}

// The session of a login is renewed before the broker ends it: no request is cut. If the login is
// refused for a moment, the connection serves until the session ends.
func TestLoginExpires(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		began := time.Now()
		var refused atomic.Int32
		b.Fake.ControlKey(kmsg.SASLAuthenticate.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if since := time.Since(began); since < 5*time.Second || since > 9600*time.Millisecond {
				return nil, nil, false
			}
			refused.Add(1)
			res := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			res.ErrorCode = kerr.SaslAuthenticationFailed.Code
			return res, nil, true
		})
		sessionsLast(b, 10*time.Second, func() {})
		b.Net.Lifetime(10 * time.Second)
		cfg := config(b, "t")
		cfg.Connection.SASL = plain.Mechanism{Username: "u", Password: "p"}
		e := start(t, cfg)
		for range 300 {
			began := time.Now()
			if err := e.Write(t.Context(), began, message("x")); err != nil || time.Since(began) > 10*time.Millisecond {
				t.Errorf("a write: %v, after %v", err, time.Since(began))
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := e.Counters(); n.Retries.Load() != 0 || n.Connects.Load() < 6 || refused.Load() < 4 {
			t.Errorf("%d retries, %d connections, %d logins refused", n.Retries.Load(), n.Connects.Load(), refused.Load())
		}
	}, kfake.SeedTopics(1, "t"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
}

// Sessions of any length cause a bounded number of logins, over three connections, and writes go on.
func TestShortSessions(t *testing.T) {
	for _, session := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 80 * time.Millisecond, 105 * time.Millisecond, 300 * time.Millisecond} {
		for _, ends := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, ended by the broker: %t", session, ends), func(t *testing.T) {
				bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
					var logins atomic.Int64
					sessionsLast(b, session, func() { logins.Add(1) })
					if ends {
						b.Net.Lifetime(session)
					}
					cfg := config(b, "t")
					cfg.Connection.SASL = plain.Mechanism{Username: "u", Password: "p"}
					e := start(t, cfg)
					for name, write := range map[string]bool{"idle": false, "writing": true} {
						logins.Store(0)
						longest := time.Duration(0)
						for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
							if !write {
								continue
							}
							now := time.Now()
							if err := e.Write(t.Context(), now, message("x")); err != nil {
								t.Error(err)
							}
							longest = max(longest, time.Since(now))
						}
						if n := logins.Load(); n > 20*25 {
							t.Errorf("%s: %d logins in 20 seconds", name, n)
						}
						if longest > 1500*time.Millisecond {
							t.Errorf("%s: a write took %v", name, longest)
						}
					}
				}, kfake.SeedTopics(1, "t"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
			})
		}
	}
}

// A stop closes a connection that was made to renew a login and has sent nothing yet (D7).
func TestD7StopDuringARenewal(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		sessionsLast(b, 10*time.Second, func() {})
		var started atomic.Bool
		completing, release := make(chan struct{}), make(chan struct{})
		cfg := config(b, "t")
		cfg.ConnectionsPerBroker = 1
		cfg.Connection.SASL = plain.Mechanism{Username: "u", Password: "p"}
		cfg.Connection.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if started.Load() {
				time.Sleep(time.Second)
			}
			return b.Dial(ctx, network, address)
		}
		cfg.Completion = func([]kafka.Message, sender.Failure) {
			close(completing)
			<-release
		}
		e := start(t, cfg)
		n := e.Counters()
		started.Store(true)
		time.Sleep(9500 * time.Millisecond) // the sender has been connecting for half a second
		if _, err := send(t.Context(), e, message("x")); err != nil {
			t.Fatal(err)
		}
		<-completing
		time.Sleep(time.Second)
		if n.Connects.Load() != 2 || n.Open.Load() != 1 {
			t.Fatalf("%d connects, %d of the connections are in use: the test does not show what it is to show", n.Connects.Load(), n.Open.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Stop(ctx); err == nil {
			t.Error("Stop did not wait for the Completion")
		}
		close(release)
		if err := e.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if open := b.Open(); open != 0 {
			t.Errorf("D7 DrainsAtOnce: %d connections are open after Stop and Wait", open)
		}
	}, kfake.SeedTopics(1, "t"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
}
