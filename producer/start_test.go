package producer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/spec"
)

// Every declared topic is proved; one error names each bad one.
func TestStartNamesEveryBadTopic(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		good, bad1, bad2 := b.CreateTopic(t, 1), testbroker.TopicName(), testbroker.TopicName()
		p := newProducer(t, b, Config{Topic: bad1, Topics: []string{good, bad2}})
		err := p.Start(bg)
		mustBe(t, err, kafka.UnknownTopicOrPartition)
		for _, topic := range []string{bad1, bad2} {
			if !strings.Contains(err.Error(), topic) {
				t.Errorf("%v does not name %s", err, topic)
			}
		}
		if strings.Contains(err.Error(), good) {
			t.Errorf("%v names %s, which is there", err, good)
		}
	})
}

// Every broker that leads a partition is connected when Start returns, once.
func TestStartConnectsEveryLeader(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 12)
		for i := range int32(12) {
			if err := b.Fake.MoveTopicPartition(topic, i, i%3); err != nil {
				t.Fatal(err)
			}
		}
		p := newProducer(t, b, Config{Topic: topic})
		start(t, p)
		s := p.current.Load()
		if now, ever := s.dialer.open(); now != 4 || ever != 4 {
			t.Errorf("%d connections, %d ever; want 3 leaders and one for the metadata", now, ever)
		}
		if err := p.WriteMessages(bg, messages("m", 120)...); err != nil {
			t.Fatal(err)
		}
		if found := values(t, b, topic); len(found) != 120 {
			t.Errorf("%d messages found, want 120", len(found))
		}
	}, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094))
}

// leaderless makes the cluster say that partition 0 of the topic has no leader.
func leaderless(b *testbroker.Broker, topic string, on *atomic.Bool) {
	b.Fake.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		if !on.Load() {
			return nil, nil, false
		}
		req := kreq.(*kmsg.MetadataRequest)
		res := req.ResponseKind().(*kmsg.MetadataResponse)
		host, port, _ := net.SplitHostPort(b.Addrs[0])
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host = host
		for _, c := range port {
			broker.Port = broker.Port*10 + c - '0'
		}
		res.Brokers = append(res.Brokers, broker)
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic = kmsg.StringPtr(topic)
		for i := range int32(2) {
			rp := kmsg.NewMetadataResponseTopicPartition()
			rp.Partition, rp.Leader = i, 0
			if i == 0 {
				rp.Leader, rp.ErrorCode = -1, kerr.LeaderNotAvailable.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
		return res, nil, true
	})
}

// A partition without a leader is waited for; it may come.
func TestStartWaitsForLeader(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 2)
		var on atomic.Bool
		on.Store(true)
		leaderless(b, topic, &on)
		p := newProducer(t, b, Config{Topic: topic})
		starting := async(func() error { return p.Start(bg) })
		until(t, "a second look", func() bool {
			s := p.current.Load()
			if s == nil {
				return false
			}
			_, ever := s.dialer.open()
			return ever > 1
		})
		on.Store(false)
		if err := get(t, starting); err != nil {
			t.Fatal(err)
		}
		if err := p.WriteMessages(bg, messages("m", 4)...); err != nil {
			t.Error(err)
		}
	})
}

// A partition that gets no leader until the start timeout is named.
func TestStartNamesLeaderlessPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 2)
		var on atomic.Bool
		on.Store(true)
		leaderless(b, topic, &on)
		p := newProducer(t, b, Config{Topic: topic})
		began := time.Now()
		err := p.Start(bg)
		mustBe(t, err, kafka.LeaderNotAvailable)
		var topicErr *TopicError
		if !errors.As(err, &topicErr) || topicErr.Topic != topic || !slices.Equal(topicErr.Partitions, []int{0}) {
			t.Errorf("%v does not name partition 0", err)
		}
		if took := time.Since(began); took < 29*time.Second || took > 30*time.Second {
			t.Errorf("Start took %v, want just less than the StartTimeout", took)
		}
		nothingLeft(t, b, p)

		q := newProducer(t, b, Config{Topic: topic, AllowPartial: true, Logger: slog.New(slog.DiscardHandler)})
		start(t, q)
		if err := q.Ping(bg); err != nil {
			t.Errorf("Ping of one that started with the rest: %v", err)
		}
		on.Store(false)
	})
}

// A start that finds only silence ends, whatever it is that is not answered.
func TestStartTimeout(t *testing.T) {
	for name, at := range map[string]struct {
		keys []kmsg.Key
		part string
	}{
		"all":         {nil, "metadata"},
		"Metadata":    {[]kmsg.Key{kmsg.Metadata}, "metadata"},
		"ListOffsets": {[]kmsg.Key{kmsg.ListOffsets}, "leaders"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 1)
				b.Hang(at.keys...)
				p := newProducer(t, b, Config{Topic: topic, StartTimeout: 15 * time.Second})
				began := time.Now()
				err := p.Start(bg)
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("%v is no timeout", err)
				}
				var failed *fsm.StartError
				if !errors.As(err, &failed) || failed.Part != at.part {
					t.Errorf("%v, want part %s", err, at.part)
				}
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("Start took %v", took)
				}
				nothingLeft(t, b, p)
			})
		})
	}
}

func TestStartNothingListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	p, err := New(Config{Brokers: []string{ln.Addr().String()}, Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Start(bg)
	if err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("%v does not name the broker", err)
	}
	noGoroutines(t)
}

// A user who may look but not write is found out at the start, without a write.
func TestCheckWritePermission(t *testing.T) {
	acl := func(topic string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		who := func(name string) Config {
			return Config{Topic: "mine", Topics: []string{"theirs"}, SASL: plain.Mechanism{Username: name, Password: name + "-pw"}, CheckWritePermission: true}
		}
		p := newProducer(t, b, who("reader"))
		err := p.Start(bg)
		mustBe(t, err, kafka.TopicAuthorizationFailed)
		var failed *fsm.StartError
		if !errors.As(err, &failed) || failed.Part != "permission" {
			t.Errorf("%v, want part permission", err)
		}
		if !strings.Contains(err.Error(), "theirs") || strings.Contains(err.Error(), "mine") {
			t.Errorf("%v: want it to name the topic that may not be written, only", err)
		}
		nothingLeft(t, b, p)

		cfg := who("reader")
		cfg.CheckWritePermission = false
		q := newProducer(t, b, cfg)
		start(t, q)
		err = q.WriteMessages(bg, kafka.Message{Topic: "theirs", Value: []byte("x")})
		if classOf(t, err) != ErrRejected {
			t.Errorf("a write without permission: %v", err)
		}
		mustBe(t, err, kafka.TopicAuthorizationFailed)

		r := newProducer(t, b, who("admin"))
		start(t, r)
		if found := b.Fake.PartitionInfo("theirs", 0); found.HighWatermark != 0 {
			t.Errorf("checking wrote %d records", found.HighWatermark)
		}
	}, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "mine", "theirs"),
		kfake.Superuser("PLAIN", "admin", "admin-pw"),
		kfake.User("PLAIN", "reader", "reader-pw", acl("mine", kmsg.ACLOperationWrite), acl("mine", kmsg.ACLOperationDescribe), acl("theirs", kmsg.ACLOperationDescribe)))
}

func TestCheckWritePermissionKafka(t *testing.T) {
	b := testbroker.Real(t)
	topic := b.CreateTopic(t, 1)
	p := newProducer(t, b, Config{Topic: topic, CheckWritePermission: true})
	start(t, p)
	if records := b.Read(t, topic); len(records) != 0 {
		t.Errorf("checking wrote %d records", len(records))
	}
}

func TestSASL(t *testing.T) {
	mechanism, err := scram.Mechanism(scram.SHA256, "user", "right")
	if err != nil {
		t.Fatal(err)
	}
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: "t", SASL: mechanism})
		start(t, p)
		if err := p.WriteMessages(bg, message("x")); err != nil {
			t.Error(err)
		}
		q := newProducer(t, b, Config{Topic: "t", SASL: plain.Mechanism{Username: "user", Password: "wrong"}})
		if err := q.Start(bg); err == nil || strings.Contains(err.Error(), "wrong") {
			t.Errorf("Start with a wrong password: %v", err)
		}
		holdsNothing(t, q)
		unauthenticated := newProducer(t, b, Config{Topic: "t", ReadTimeout: time.Second, StartTimeout: time.Second})
		if err := unauthenticated.Start(bg); err == nil {
			t.Error("Start without credentials succeeded")
		}
	}, kfake.EnableSASL(), kfake.SeedTopics(1, "t"), kfake.Superuser("SCRAM-SHA-256", "user", "right"), kfake.Superuser("PLAIN", "user", "right"))
}

// kafka-go clears its deadline before the SASL exchange; a broker that hangs there
// is given up all the same, in DialTimeout.
func TestDialTimeoutCoversSASL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.SeedTopics(1, "t"), kfake.Superuser("PLAIN", "user", "right"))
		hung := b.Hang(kmsg.SASLAuthenticate)
		p := newProducer(t, b, Config{Topic: "t", SASL: plain.Mechanism{Username: "user", Password: "right"}})
		began := time.Now()
		if err := p.Start(bg); err == nil {
			t.Error("Start succeeded")
		}
		if took := time.Since(began); hung.Hits() == 0 || took > 6*time.Second {
			t.Errorf("Start took %v (%d requests hung), want DialTimeout, 5 s", took, hung.Hits())
		}
		nothingLeft(t, b, p)
	})
}

func TestTLS(t *testing.T) {
	server, roots := certificate(t)
	b := testbroker.Fake(t, kfake.TLS(server), kfake.SeedTopics(1, "t"))
	p := newProducer(t, b, Config{Topic: "t", TLS: &tls.Config{RootCAs: roots}})
	start(t, p)
	if err := p.WriteMessages(bg, message("x")); err != nil {
		t.Error(err)
	}
	q := newProducer(t, b, Config{Topic: "t", TLS: &tls.Config{}}) // the system's roots
	var unknown x509.UnknownAuthorityError
	if err := q.Start(bg); !errors.As(err, &unknown) {
		t.Errorf("Start with a certificate that nobody vouches for: %v", err)
	}
	r := newProducer(t, b, Config{Topic: "t", DialTimeout: time.Second})
	if err := r.Start(bg); err == nil {
		t.Error("Start without TLS succeeded")
	}
}

func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

// StartOnWrite starts on the first write, and only what was never stopped.
func TestStartOnWrite(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		p := newProducer(t, b, Config{Topic: topic, StartOnWrite: true})
		writes := make(chan error, 20)
		for range cap(writes) {
			go func() { writes <- p.WriteMessages(bg, message("x")) }()
		}
		for range cap(writes) {
			if err := get(t, writes); err != nil {
				t.Error(err)
			}
		}
		if n := p.Status().Attempt; n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		if err := p.Stop(bg); err != nil {
			t.Fatal(err)
		}
		mustBe(t, p.WriteMessages(bg, message("late")), ErrNotStarted, ErrNotSent)
		if p.State() != spec.Idle {
			t.Errorf("the write after a Stop started it: %v", p.State())
		}
		start(t, p)
		if err := p.WriteMessages(bg, message("again")); err != nil {
			t.Error(err)
		}
	})
}

// A write that is to start the producer, and cannot, says why.
func TestStartOnWriteFails(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: "missing", StartOnWrite: true})
		mustBe(t, p.WriteMessages(bg, message("x")), ErrNotSent, kafka.UnknownTopicOrPartition)
		nothingLeft(t, b, p)
	})
}
