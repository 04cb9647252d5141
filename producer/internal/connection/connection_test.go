package connection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

func open(t *testing.T, b *testbroker.Broker, cfg Config) (*Conn, error) {
	t.Helper()
	if cfg.Dial == nil {
		cfg.Dial = b.Dial
	}
	cfg.Timeout = 5 * time.Second
	c, err := Open(t.Context(), &cfg, b.Addrs[0], true)
	if err == nil {
		t.Cleanup(func() {
			c.Close()
			<-c.Done()
		})
	}
	return c, err
}

// A broker that lacks a request has no version of it.
func TestUnsupportedVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(t.Context(), &Config{Dial: dialTo(answerWith(nil))}, "host:1", true)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, theirs := range []span{{}, {0, 6}, {9, 12}} {
			c.versions[protocol.Produce] = theirs
			if v, err := c.Version(protocol.Produce); !errors.Is(err, kafka.UnsupportedVersion) {
				t.Errorf("the broker has %v: version %d, %v", theirs, v, err)
			}
		}
		delete(c.versions, protocol.Produce)
		if v, err := c.Version(protocol.Produce); !errors.Is(err, kafka.UnsupportedVersion) {
			t.Errorf("version %d, %v", v, err)
		}
		for theirs, want := range map[span]int16{{0, 7}: 7, {7, 8}: 8, {3, 12}: 8, {8, 8}: 8} {
			c.versions[protocol.Produce] = theirs
			if v, err := c.Version(protocol.Produce); err != nil || v != want {
				t.Errorf("the broker has %v: version %d, %v, want %d", theirs, v, err, want)
			}
		}
	})
}

func TestSASL(t *testing.T) {
	right, err := scram.Mechanism(scram.SHA256, "user", "right")
	if err != nil {
		t.Fatal(err)
	}
	panics := mechanism{name: "PLAIN", start: func(context.Context) (sasl.StateMachine, []byte, error) { panic("at the disco") }}
	fails := mechanism{name: "PLAIN", start: func(context.Context) (sasl.StateMachine, []byte, error) { return nil, nil, io.ErrNoProgress }}
	knows := mechanism{name: "PLAIN", start: func(ctx context.Context) (sasl.StateMachine, []byte, error) {
		if m := sasl.MetadataFromContext(ctx); m == nil || m.Host == "" || m.Port == 0 {
			return nil, nil, fmt.Errorf("metadata %+v", m)
		}
		return plain.Mechanism{Username: "user", Password: "right"}.Start(ctx)
	}}
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		for _, test := range []struct {
			m    sasl.Mechanism
			want error
		}{
			{right, nil},
			{plain.Mechanism{Username: "user", Password: "right"}, nil},
			{knows, nil},
			{plain.Mechanism{Username: "user", Password: "wrong"}, io.ErrUnexpectedEOF}, // Apache Kafka answers before it ends the connection
			{mechanism{name: "NONSENSE"}, kafka.UnsupportedSASLMechanism},
			{fails, io.ErrNoProgress},
		} {
			c, err := open(t, b, Config{SASL: test.m})
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%s: %v, want %v", test.m.Name(), err, test.want)
			}
			if err == nil {
				if _, err := c.RoundTrip(&metadata.Request{}, time.Minute); err != nil {
					t.Errorf("%s: %v", test.m.Name(), err)
				}
			}
			if err != nil && !strings.Contains(err.Error(), "SASL") {
				t.Errorf("%s: %v, want it to name SASL", test.m.Name(), err)
			}
			if err != nil && strings.Contains(err.Error(), "wrong") {
				t.Errorf("the password is shown: %v", err)
			}
		}
		_, err := open(t, b, Config{SASL: panics})
		var p *fsm.PanicError
		if !errors.As(err, &p) || p.Value != "at the disco" {
			t.Errorf("a mechanism that panics: %v", err)
		}
	}, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "user", "right"), kfake.Superuser("PLAIN", "user", "right"))
}

type mechanism struct {
	name  string
	start func(ctx context.Context) (sasl.StateMachine, []byte, error)
}

func (m mechanism) Name() string { return m.name }
func (m mechanism) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	return m.start(ctx)
}

// Without TLS a password goes to this machine only.
func TestLocalOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{LocalOnly: true, Dial: dialTo(answerWith(nil))}
		for address, local := range map[string]bool{"localhost:1": true, "127.0.0.1:1": true, "[::1]:1": true, "host:1": false, "10.0.0.1:1": false, "nonsense": false} {
			c, err := Open(t.Context(), &cfg, address, true)
			if local != (err == nil) || !local && !errors.Is(err, ErrPlaintext) {
				t.Errorf("%s: %v", address, err)
			}
			if err == nil {
				c.Close()
			}
		}
	})
}

func TestTLS(t *testing.T) {
	server, roots := testbroker.Certificate(t)
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		c, err := open(t, b, Config{TLS: &tls.Config{RootCAs: roots, ServerName: "localhost"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.RoundTrip(&metadata.Request{}, time.Minute); err != nil {
			t.Error(err)
		}
		var unknown x509.UnknownAuthorityError
		if _, err := open(t, b, Config{TLS: &tls.Config{ServerName: "localhost"}}); !errors.As(err, &unknown) {
			t.Errorf("an unknown authority: %v", err)
		}
		var panicked *fsm.PanicError
		if _, err := open(t, b, Config{TLS: &tls.Config{RootCAs: roots, ServerName: "localhost", VerifyConnection: func(tls.ConnectionState) error { panic("here") }}}); !errors.As(err, &panicked) {
			t.Errorf("a function of TLS that panics: %v", err)
		}
		if _, err := open(t, b, Config{}); err == nil || !strings.Contains(err.Error(), "TLS") {
			t.Errorf("without TLS: %v", err)
		}
	}, kfake.TLS(server))
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		if _, err := open(t, b, Config{TLS: &tls.Config{ServerName: "localhost"}}); err == nil || !strings.Contains(err.Error(), "TLS") {
			t.Errorf("TLS, and the broker has none: %v", err)
		}
	})
}

// Open ends with its context, wherever it is, and a Dial that panics is an error.
func TestOpenEnds(t *testing.T) {
	cause := errors.New("enough")
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"dial":   func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		"answer": dialTo(func(c net.Conn) { io.Copy(io.Discard, c) }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(cause) })
				began := time.Now()
				_, err := Open(ctx, &Config{Dial: dial, Timeout: time.Minute}, "host:1", true)
				if err == nil || name == "answer" && !errors.Is(err, cause) || time.Since(began) != time.Second {
					t.Errorf("Open: %v after %v", err, time.Since(began))
				}
			})
		})
	}
	var p *fsm.PanicError
	if _, err := Open(t.Context(), &Config{Dial: func(context.Context, string, string) (net.Conn, error) { panic("x") }}, "host:1", true); !errors.As(err, &p) {
		t.Errorf("Open: %v", err)
	}
}

// Whoever ends the connection, Close returns once what was dialled is closed: so nothing is open after a stop (G7).
func TestG7CloseLeavesNothingOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		slow := new(slowClose)
		c, err := open(t, b, Config{Dial: func(ctx context.Context, network, address string) (nc net.Conn, err error) {
			slow.Conn, err = b.Dial(ctx, network, address)
			return slow, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		go c.end(io.ErrUnexpectedEOF)
		synctest.Wait()
		if c.Close(); !slow.closed.Load() {
			t.Error("G7 NoLeak is broken: Close has returned, and what was dialled is open")
		}
	})
}

// A slowClose takes a second to close.
type slowClose struct {
	net.Conn
	closed atomic.Bool
}

func (s *slowClose) Close() error {
	time.Sleep(time.Second)
	defer s.closed.Store(true)
	return s.Conn.Close()
}
