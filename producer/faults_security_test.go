package producer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	franzplain "github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// TLS to a port that does not speak TLS. A broker closes the connection, because it reads a request
// of 369 MB; other programs wait for more.
func TestStartTLSToPlaintextPort(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"Closes": func(c net.Conn) { io.ReadFull(c, make([]byte, 4)); c.Close() },
		"Waits":  func(c net.Conn) { io.Copy(io.Discard, c); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			plaintext := testbroker.Listen(t, serve)
			// The right port is another one: that is the mistake.
			server, roots := testbroker.Certificate(t)
			b := testbroker.Fake(t, kfake.TLS(server), kfake.SeedTopics(1, "t"))
			b.Options = []kgo.Opt{kgo.DialTLSConfig(&tls.Config{RootCAs: roots})}
			var wrong atomic.Bool
			wrong.Store(true)
			p := newProducer(t, b, Config{
				Topic: "t", TLS: &tls.Config{RootCAs: roots}, DialTimeout: 2 * time.Second,
				Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if wrong.Load() {
						address = plaintext
					}
					return new(net.Dialer).DialContext(ctx, network, address)
				},
			})
			err := failsThenStarts(t, b, p, "metadata", func() { wrong.Store(false) })
			if name == "Waits" {
				timedOut(t, err)
				mustBe(t, err, context.DeadlineExceeded)
			} else if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%v, want to see that the broker closed", err)
			}
		})
	}
}

// A certificate that is no good is found out at the start, by the error of
// crypto/x509 that says why; with a good one the start works.
func TestStartBadCertificate(t *testing.T) {
	ca := newAuthority(t)
	good := ca.issue(t, time.Now().Add(time.Hour), "127.0.0.1")
	for _, c := range []struct {
		name string
		bad  *tls.Certificate
		is   func(error) bool
	}{
		{"Expired", ca.issue(t, time.Now().Add(-time.Hour), "127.0.0.1"), func(err error) bool {
			var invalid x509.CertificateInvalidError
			return errors.As(err, &invalid) && invalid.Reason == x509.Expired
		}},
		{"WrongHost", ca.issue(t, time.Now().Add(time.Hour), "127.0.0.9"), func(err error) bool {
			var host x509.HostnameError
			return errors.As(err, &host)
		}},
		{"UnknownAuthority", newAuthority(t).issue(t, time.Now().Add(time.Hour), "127.0.0.1"), func(err error) bool {
			var unknown x509.UnknownAuthorityError
			return errors.As(err, &unknown)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var current atomic.Pointer[tls.Certificate]
			current.Store(c.bad)
			b := testbroker.Fake(t, kfake.SeedTopics(1, "t"), kfake.TLS(&tls.Config{
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
			}))
			b.Options = []kgo.Opt{kgo.DialTLSConfig(&tls.Config{RootCAs: ca.pool})}
			p := newProducer(t, b, Config{Topic: "t", TLS: &tls.Config{RootCAs: ca.pool}})
			err := failsThenStarts(t, b, p, "metadata", func() { current.Store(good) })
			var verification *tls.CertificateVerificationError
			if !c.is(err) || !errors.As(err, &verification) {
				t.Errorf("%v (%T)", err, err)
			}
			if Temporary(err) {
				t.Errorf("%v would be tried again by a write", err)
			}
		})
	}
}

// No TLS to a port that speaks TLS, and no client certificate where one is required.
func TestStartWithoutTLSWhereItIsNeeded(t *testing.T) {
	ca := newAuthority(t)
	server := &tls.Config{Certificates: []tls.Certificate{*ca.issue(t, time.Now().Add(time.Hour), "127.0.0.1")}}
	start := func(b *testbroker.Broker, cfg *tls.Config) error {
		p := newProducer(t, b, Config{Topic: "t", TLS: cfg})
		err := p.Start(bg)
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
		return err
	}
	b := testbroker.Fake(t, kfake.SeedTopics(1, "t"), kfake.TLS(server))
	mustBe(t, start(b, nil), io.ErrUnexpectedEOF)
	if err := start(b, &tls.Config{RootCAs: ca.pool}); err != nil {
		t.Error(err)
	}

	mutual := server.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
	b = testbroker.Fake(t, kfake.SeedTopics(1, "t"), kfake.TLS(mutual))
	var alert *net.OpError
	if err := start(b, &tls.Config{RootCAs: ca.pool}); !errors.As(err, &alert) || alert.Op != "remote error" || Temporary(err) {
		t.Errorf("without a client's certificate: %v, want the broker's alert, and that it is final", err)
	}
	if err := start(b, &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{*ca.issue(t, time.Now().Add(time.Hour), "client")}}); err != nil {
		t.Error(err)
	}
}

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate for a host, an address or a name.
func (a *authority) issue(t *testing.T, until time.Time, host string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// login is a mechanism whose credentials can be changed, and are fetched at each connect.
type login struct {
	current atomic.Pointer[sasl.Mechanism]
	asked   atomic.Int32
}

func (l *login) set(m sasl.Mechanism) { l.current.Store(&m) }
func (l *login) Name() string         { return (*l.current.Load()).Name() }
func (l *login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	l.asked.Add(1)
	return (*l.current.Load()).Start(ctx)
}

var (
	rightPassword = plain.Mechanism{Username: "user", Password: "right"}
	wrongPassword = plain.Mechanism{Username: "user", Password: "wrong"}
	franzPassword = []kgo.Opt{kgo.SASL(franzplain.Auth{User: "user", Pass: "right"}.AsMechanism())}
)

// otherMechanism is one that the broker does not know.
type otherMechanism struct{ plain.Mechanism }

func (otherMechanism) Name() string { return "OTHER" }

// Credentials that are refused fail a start; with the right ones the same producer
// starts. Apache Kafka answers a wrong password, the embedded broker closes.
func TestStartRefusedCredentials(t *testing.T) {
	for _, c := range []struct {
		name   string
		bad    sasl.Mechanism
		answer *kerr.Error
		want   error
	}{
		{"WrongMechanism", otherMechanism{rightPassword}, nil, kafka.UnsupportedSASLMechanism},
		{"WrongPassword", wrongPassword, kerr.SaslAuthenticationFailed, kafka.SASLAuthenticationFailed},
		{"WrongPasswordClosed", wrongPassword, nil, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				b.Options = franzPassword
				mechanism := new(login)
				mechanism.set(c.bad)
				p := newProducer(t, b, Config{Topic: "t", SASL: mechanism, AllowPlaintextPassword: true})
				remove := func() {}
				if c.answer != nil {
					remove = b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: c.answer, Count: -1}).Remove
				}
				failsThenStarts(t, b, p, "metadata", func() {
					remove()
					mechanism.set(rightPassword)
				}, c.want)
			}, kfake.EnableSASL(), kfake.SeedTopics(1, "t"), kfake.Superuser("PLAIN", "user", "right"))
		})
	}
}

// There is no permission to write; then it is granted. A user who may write to no topic at all gets
// no producer id. A user who may write to another topic gets one.
func TestStartNoWritePermissionThenGranted(t *testing.T) {
	for _, c := range []struct {
		name, user string
		cfg        Config
		part       string
		want       error
	}{
		{"AnotherTopic", "writer", Config{}, "permission", kafka.TopicAuthorizationFailed},
		{"NoTopic", "reader", Config{}, "producer id", kafka.ClusterAuthorizationFailed},
		{"NotIdempotent", "reader", Config{Idempotence: IdempotenceOff}, "permission", kafka.TopicAuthorizationFailed},
		{"AcksOne", "reader", Config{Acks: AcksOne}, "permission", kafka.TopicAuthorizationFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				b.Options = franzPassword // a superuser's
				cfg := c.cfg
				cfg.Topic, cfg.CheckWritePermission, cfg.SASL = "t", true, plain.Mechanism{Username: c.user, Password: "pw"}
				p := newProducer(t, b, cfg)
				err := failsThenStarts(t, b, p, c.part, func() { grantWrite(t, b, c.user, "t") }, c.want)
				if errors.Is(err, ErrNoIdempotence) != (c.part == "producer id") || Temporary(err) || !strings.Contains(err.Error(), b.Addrs[0]) {
					t.Errorf("%v: want it to be final, and to name the broker", err)
				}
			}, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "t", "other"), kfake.Superuser("PLAIN", "user", "right"),
				kfake.User("PLAIN", "reader", "pw", topicACL("t", kmsg.ACLOperationDescribe)),
				kfake.User("PLAIN", "writer", "pw", topicACL("t", kmsg.ACLOperationDescribe), topicACL("other", kmsg.ACLOperationWrite)))
		})
	}
}

// topicACL allows an operation on a topic.
func topicACL(topic string, op kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
}

// grantWrite allows a user to write to a topic.
func grantWrite(t *testing.T, b *testbroker.Broker, user, topic string) {
	t.Helper()
	grant := kmsg.NewCreateACLsRequestCreation()
	grant.ResourceType, grant.ResourceName, grant.ResourcePatternType = kmsg.ACLResourceTypeTopic, topic, kmsg.ACLResourcePatternTypeLiteral
	grant.Principal, grant.Host, grant.Operation, grant.PermissionType = "User:"+user, "*", kmsg.ACLOperationWrite, kmsg.ACLPermissionTypeAllow
	req := kmsg.NewPtrCreateACLsRequest()
	req.Creations = append(req.Creations, grant)
	cl := b.Client(t)
	defer cl.Close()
	res, err := req.RequestWith(bg, cl)
	if err == nil {
		err = kerr.ErrorForCode(res.Results[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Credentials expire under load. The broker closes each connection and requires another login,
// which gets the right credentials by then. No caller notices.
func TestCredentialsExpireUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.SeedTopics(3, "t"),
			kfake.Superuser("PLAIN", "user", "right"), kfake.Superuser("PLAIN", "user2", "right2"))
		b.Options = franzPassword
		mechanism := new(login)
		mechanism.set(rightPassword)
		p := newProducer(t, b, Config{Topic: "t", SASL: mechanism, Logger: slog.New(slog.DiscardHandler)})
		start(t, p)
		before := mechanism.asked.Load()
		l := newLedger()
		under := l.load(t, p, 8, 20*time.Millisecond)
		b.Net.Lifetime(time.Second)
		for i := range 20 {
			time.Sleep(time.Second)
			mechanism.set([]sasl.Mechanism{plain.Mechanism{Username: "user2", Password: "right2"}, rightPassword}[i%2])
		}
		under.end()
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
		c := l.verify(t, b, "t")
		logins := mechanism.asked.Load() - before
		if c.failed() > 0 || logins < 20 {
			t.Errorf("%v, %d logins; want no failure, and a login for each expiry", c, logins)
		}
		t.Logf("CHECKED producer-credentials-expire logins=%d %v", logins, c)
	})
}

// The credentials of a running producer are refused, fixed ones or those fetched at each connect,
// because the broker may have the new password first. The connects are repeated. A write waits
// until its DeliveryTimeout, and then has the reason. When the credentials are right again, the
// next write works, and so does a waiting one, without a new start.
func TestCredentialsRefusedWhileRunning(t *testing.T) {
	asked := new(login)
	asked.set(rightPassword)
	for name, mechanism := range map[string]sasl.Mechanism{"Fixed": rightPassword, "AskedFor": asked} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.SeedTopics(1, "t"), kfake.Superuser("PLAIN", "user", "right"))
				b.Options = franzPassword
				p := newProducer(t, b, Config{Topic: "t", SASL: mechanism, AllowPlaintextPassword: true, Logger: slog.New(slog.DiscardHandler)})
				start(t, p)
				l := newLedger()
				if err := l.write(bg, t, p, message("before")); err != nil {
					t.Error(err)
				}
				refuse := func() *kfake.FaultHandle {
					b.Net.Cut()
					return b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: kerr.SaslAuthenticationFailed, Count: -1})
				}
				refused := refuse()
				for _, m := range []string{"refused", "refused too"} {
					began := time.Now()
					err := l.write(bg, t, p, message(m))
					mustBe(t, err, kafka.SASLAuthenticationFailed, ErrNotSent, context.DeadlineExceeded)
					if took := time.Since(began); took != 30*time.Second || Temporary(err) {
						t.Errorf("after %v: %v; want the DeliveryTimeout, 30 s, and that it is final", took, err)
					}
					began = time.Now()
					mustBe(t, p.Ping(bg), kafka.SASLAuthenticationFailed)
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("the Ping took %v", took)
					}
				}
				refused.Remove()
				if err := l.write(bg, t, p, message("after")); err != nil {
					t.Error(err)
				}
				refused = refuse()
				write := async(func() error { return l.write(bg, t, p, message("in time")) })
				time.Sleep(20 * time.Second)
				refused.Remove()
				if err := get(t, write); err != nil {
					t.Error(err)
				}
				if s := p.Status(); s.State != fsm.Started || s.Attempt != 1 {
					t.Errorf("%v; want the first attempt to be Started still", s)
				}
				l.verify(t, b, "t")
			})
		})
	}
}
