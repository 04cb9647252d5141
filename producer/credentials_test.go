package producer

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	franzplain "github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A vault holds the password that the producer gets.
type vault struct {
	password atomic.Pointer[string]
	asked    atomic.Int64
}

func newVault(password string) *vault {
	v := new(vault)
	v.set(password)
	return v
}

func (v *vault) set(password string) { v.password.Store(&password) }

func (v *vault) ask(context.Context) (user, password string, err error) {
	v.asked.Add(1)
	return "user", *v.password.Load(), nil
}

// Every connect asks for the credentials. The password is rotated under load, first
// at the broker and a while later at the client, and the connections are cut before,
// between and after; sessions expire too. No write fails and nothing restarts.
func TestRotatePassword(t *testing.T) {
	for _, m := range []struct {
		name      string
		mechanism func(v *vault) sasl.Mechanism
		rotate    func(t *testing.T, b *testbroker.Broker) func(password string)
	}{
		{"PLAIN", func(v *vault) sasl.Mechanism { return PlainFrom(v.ask) }, plainPassword},
		{"SCRAM-SHA-256", func(v *vault) sasl.Mechanism { return ScramFrom(scram.SHA256, v.ask) }, scramPassword(1, sha256.New)},
		{"SCRAM-SHA-512", func(v *vault) sasl.Mechanism { return ScramFrom(scram.SHA512, v.ask) }, scramPassword(2, sha512.New)},
	} {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.Superuser(m.name, "user", "first"), kfake.Superuser("PLAIN", "admin", "admin"))
				b.Options = []kgo.Opt{kgo.SASL(franzplain.Auth{User: "admin", Pass: "admin"}.AsMechanism())}
				topic := b.CreateTopic(t, 3)
				rotate := m.rotate(t, b)
				v := newVault("first")
				p := newProducer(t, b, Config{Topic: topic, SASL: m.mechanism(v), Logger: slog.New(slog.DiscardHandler)})
				start(t, p)
				if asked, opened := v.asked.Load(), p.opened()+1; int(asked) != opened { // one for the metadata
					t.Errorf("asked %d times for %d connections", asked, opened)
				}
				l := newLedger()
				under := l.load(t, p, 4, 20*time.Millisecond)
				rotations := 0
				for i, cutBetween := range []bool{false, true, true} {
					next := fmt.Sprintf("password-%d", i)
					time.Sleep(time.Second)
					rotate(next)
					if cutBetween { // now no login succeeds
						b.Net.Cut()
						time.Sleep(5 * time.Second)
					}
					v.set(next)
					b.Net.Cut()
					time.Sleep(5 * time.Second)
					rotations++
				}
				b.Net.Lifetime(2 * time.Second) // sessions expire
				before := v.asked.Load()
				time.Sleep(10 * time.Second)
				under.end()
				if n := v.asked.Load() - before; n < 4 {
					t.Errorf("asked %d times while sessions expired every 2 s for 10 s", n)
				}
				if err := p.Ping(bg); err != nil {
					t.Error(err)
				}
				if a := p.Status().Attempt; a != 1 || p.State() != fsm.Started {
					t.Errorf("%v, attempt %d; want the first to be Started still", p.State(), a)
				}
				b.Net.Lifetime(0)
				if err := p.Stop(bg); err != nil {
					t.Error(err)
				}
				c := l.verify(t, b, topic)
				if c.failed() > 0 || c.acked < 500 {
					t.Error(c)
				}
				t.Logf("CHECKED producer-credentials %s rotations=%d asked=%d %v", m.name, rotations, v.asked.Load(), c)
				nothingLeft(t, b, p)
			})
		})
	}
}

// plainPassword makes the embedded broker, whose PLAIN passwords are fixed, take
// another one, and answer as Apache Kafka does when it is the wrong one.
func plainPassword(t *testing.T, b *testbroker.Broker) func(string) {
	var mu sync.Mutex
	right := "first"
	b.Fake.ControlKey(kmsg.SASLAuthenticate.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		req := kreq.(*kmsg.SASLAuthenticateRequest)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case !bytes.Contains(req.SASLAuthBytes, []byte("\x00user\x00")): // the admin
		case string(req.SASLAuthBytes) == "\x00user\x00"+right:
			req.SASLAuthBytes = []byte("\x00user\x00first")
		default:
			res := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			res.ErrorCode = kerr.SaslAuthenticationFailed.Code
			res.ErrorMessage = kmsg.StringPtr("Authentication failed: Invalid username or password")
			return res, nil, true
		}
		return nil, nil, false
	})
	return func(password string) {
		mu.Lock()
		defer mu.Unlock()
		right = password
	}
}

func scramPassword(mechanism int8, h func() hash.Hash) func(t *testing.T, b *testbroker.Broker) func(string) {
	return func(t *testing.T, b *testbroker.Broker) func(string) {
		return func(password string) { setScramPassword(t, b, "user", mechanism, h, password) }
	}
}

// setScramPassword changes the password of a user at the broker.
func setScramPassword(t *testing.T, b *testbroker.Broker, user string, mechanism int8, h func() hash.Hash, password string) {
	t.Helper()
	salt := []byte("salt of the test")
	salted, err := pbkdf2.Key(h, password, salt, 4096, h().Size())
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	up := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
	up.Name, up.Mechanism, up.Iterations, up.Salt, up.SaltedPassword = user, mechanism, 4096, salt, salted
	req.Upsertions = append(req.Upsertions, up)
	cl := b.Client(t)
	defer cl.Close()
	res, err := req.RequestWith(bg, cl)
	if err == nil {
		err = kerr.ErrorForCode(res.Results[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("rotate the password: %v", err)
	}
}

// At the start a wrong password is reported at once, wherever it comes from.
func TestStartWithWrongCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.SeedTopics(1, "t"), kfake.Superuser("PLAIN", "user", "right"))
		plainPassword(t, b)("right")
		denied := errors.New("the vault is sealed")
		for name, c := range map[string]struct {
			ask  func(context.Context) (string, string, error)
			want error
		}{
			"Wrong":   {newVault("wrong").ask, kafka.SASLAuthenticationFailed},
			"Failing": {func(context.Context) (string, string, error) { return "", "", denied }, denied},
			"Panicking": {func(context.Context) (string, string, error) {
				panic(denied)
			}, denied},
		} {
			p := newProducer(t, b, Config{Topic: "t", SASL: PlainFrom(c.ask)})
			began := time.Now()
			err := p.Start(bg)
			mustBe(t, err, c.want)
			var startErr *fsm.StartError
			if !errors.As(err, &startErr) || startErr.Part != "metadata" {
				t.Errorf("%s: %v, want part metadata", name, err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s: told after %v", name, took)
			}
			nothingLeft(t, b, p)
		}
	})
}

// A vault that hangs no longer delays anything when no caller waits for it: after a stop, and after
// DialTimeout.
func TestVaultHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.SeedTopics(1, "t"), kfake.Superuser("PLAIN", "user", "right"))
		asking := make(chan struct{}, 100)
		p := newProducer(t, b, Config{Topic: "t", SASL: PlainFrom(func(ctx context.Context) (string, string, error) {
			asking <- struct{}{}
			<-ctx.Done()
			return "", "", context.Cause(ctx)
		})})
		starting := async(func() error { return p.Start(bg) })
		get(t, asking)
		began := time.Now()
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		mustBe(t, get(t, starting), ErrStopped)
		if took := time.Since(began); took > 0 {
			t.Errorf("the stop took %v", took)
		}
		nothingLeft(t, b, p)
		began = time.Now()
		mustBe(t, p.Start(bg), context.DeadlineExceeded)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the start took %v, want DialTimeout, 5 s", took)
		}
		nothingLeft(t, b, p)
	})
}

// bearer is a mechanism for OAUTHBEARER as a user writes it.
type bearer struct{ token func() string }

func (bearer) Name() string { return "OAUTHBEARER" }

func (b bearer) Start(context.Context) (sasl.StateMachine, []byte, error) {
	return b, []byte("n,,\x01auth=Bearer " + b.token() + "\x01\x01"), nil
}

func (bearer) Next(context.Context, []byte) (bool, []byte, error) { return true, nil, nil }

// A mechanism of the user's own gets a token for each connect; tokens and sessions
// expire under load, and no write fails.
func TestOAuthBearer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 2)
		began := time.Now()
		token := func() string { return fmt.Sprintf("token-%d", time.Since(began)/time.Second) }
		var logins atomic.Int64
		b.Fake.ControlKey(kmsg.SASLHandshake.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			res := kreq.ResponseKind().(*kmsg.SASLHandshakeResponse)
			if kreq.(*kmsg.SASLHandshakeRequest).Mechanism != "OAUTHBEARER" {
				res.ErrorCode = kerr.UnsupportedSaslMechanism.Code
			}
			return res, nil, true
		})
		b.Fake.ControlKey(kmsg.SASLAuthenticate.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			res := kreq.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			if got := string(kreq.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes); got != "n,,\x01auth=Bearer "+token()+"\x01\x01" {
				res.ErrorCode = kerr.SaslAuthenticationFailed.Code
			} else {
				logins.Add(1)
			}
			return res, nil, true
		})
		p := newProducer(t, b, Config{Topic: topic, SASL: bearer{token}, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		b.Net.Lifetime(2 * time.Second)
		l := newLedger()
		under := l.load(t, p, 4, 20*time.Millisecond)
		time.Sleep(20 * time.Second)
		under.end()
		if n := logins.Load(); n < 8 {
			t.Errorf("%d logins, want one for each session, of 2 s in 20 s", n)
		}
		if c := l.verify(t, b, topic); c.failed() > 0 || c.acked < 500 {
			t.Error(c)
		} else {
			t.Logf("CHECKED producer-credentials OAUTHBEARER logins=%d %v", logins.Load(), c)
		}
	})
}

// Every connect asks for the client's certificate. It is rotated under load, first
// at the broker, and the connections are cut: no write fails, nothing restarts.
func TestRotateCertificate(t *testing.T) {
	t.Run("kfake", func(t *testing.T) { // real sockets: an alert arrives
		rotateCertificate(t, testbroker.Fake, 100*time.Millisecond, 2)
	})
	t.Run("virtual", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { rotateCertificate(t, testbroker.Virtual, 5*time.Second, 100) })
	})
}

func rotateCertificate(t *testing.T, broker func(testing.TB, ...kfake.Opt) *testbroker.Broker, pause time.Duration, atLeast int64) {
	server, roots := testbroker.Certificate(t)
	var accepted, presented atomic.Pointer[tls.Certificate]
	fresh := func() *tls.Certificate {
		c, _ := testbroker.Certificate(t)
		return &c.Certificates[0]
	}
	var refused atomic.Int64
	server.ClientAuth = tls.RequireAnyClientCert
	server.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		if !bytes.Equal(raw[0], accepted.Load().Certificate[0]) {
			refused.Add(1)
			return errors.New("not the certificate that is accepted now")
		}
		return nil
	}
	first := fresh()
	accepted.Store(first)
	presented.Store(first)
	client := &tls.Config{RootCAs: roots, ServerName: "localhost", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return presented.Load(), nil
	}}
	b := broker(t, kfake.TLS(server))
	plaintext := b.Dial
	if plaintext == nil {
		plaintext = new(net.Dialer).DialContext
	}
	b.Dial = func(ctx context.Context, network, address string) (net.Conn, error) { // the test's own clients
		c, err := plaintext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := client.Clone()
		own.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return accepted.Load(), nil }
		return tls.Client(c, own), nil
	}
	topic := b.CreateTopic(t, 2)
	p := newProducer(t, b, Config{Topic: topic, TLS: client, Dial: plaintext, Logger: slog.New(slog.DiscardHandler)})
	start(t, p)
	l := newLedger()
	under := l.load(t, p, 4, 20*time.Millisecond)
	writes := func() {
		time.Sleep(pause)
		want := p.Counters().Delivered + atLeast
		until(t, "messages to be delivered", func() bool { return p.Counters().Delivered >= want })
	}
	for range 3 {
		writes()
		next := fresh()
		accepted.Store(next)
		b.Net.Cut()
		before := refused.Load()
		until(t, "the old certificate to be refused", func() bool { return refused.Load() > before })
		time.Sleep(pause)
		presented.Store(next)
		b.Net.Cut()
	}
	writes()
	under.end()
	if a := p.Status().Attempt; a != 1 || p.State() != fsm.Started {
		t.Errorf("%v, attempt %d; want the first to be Started still", p.State(), a)
	}
	if c := l.verify(t, b, topic); c.failed() > 0 {
		t.Error(c)
	} else {
		t.Logf("CHECKED producer-credentials certificates=3 refused=%d %v", refused.Load(), c)
	}
}

// A client certificate that is refused is reported as such. (Not on the in-memory network, whose
// ends wait for each other: an end that writes cannot read the alert.)
func TestClientCertificateIsRefused(t *testing.T) {
	server, roots := testbroker.Certificate(t)
	server.ClientAuth = tls.RequireAndVerifyClientCert
	server.ClientCAs = roots
	b := testbroker.Fake(t, kfake.TLS(server), kfake.SeedTopics(1, "t"))
	unknown, _ := testbroker.Certificate(t)
	p := newProducer(t, b, Config{Topic: "t", TLS: &tls.Config{RootCAs: roots, Certificates: unknown.Certificates}})
	err := p.Start(bg)
	var alert *net.OpError
	if !errors.As(err, &alert) || !strings.Contains(err.Error(), "tls: ") {
		t.Errorf("a certificate without a trusted issuer: %v", err)
	}
	nothingLeft(t, b, p)
	q := newProducer(t, b, Config{Topic: "t", TLS: &tls.Config{RootCAs: roots, Certificates: server.Certificates}})
	start(t, q)
	if err := q.WriteMessages(bg, message("x")); err != nil {
		t.Error(err)
	}
}

// TLS 1.2 is the least, also for a tls.Config that says nothing of it.
func TestTLSVersion(t *testing.T) {
	server, roots := testbroker.Certificate(t)
	server.MinVersion, server.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	b := testbroker.Fake(t, kfake.TLS(server), kfake.SeedTopics(1, "t"))
	given := &tls.Config{RootCAs: roots}
	p := newProducer(t, b, Config{Topic: "t", TLS: given})
	if p.cfg.TLS.MinVersion != tls.VersionTLS12 || given.MinVersion != 0 {
		t.Errorf("the least version is %x, the caller's %x", p.cfg.TLS.MinVersion, given.MinVersion)
	}
	if err := p.Start(bg); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("Start with a broker of TLS 1.1: %v", err)
	}
	if _, err := New(Config{Brokers: b.Addrs, Topic: "t", TLS: &tls.Config{MinVersion: tls.VersionTLS11}}); err == nil {
		t.Error("New accepted TLS 1.1")
	}
}
