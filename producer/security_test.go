package producer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A user who may read the topic's metadata and not write is found at the start, without a write.
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

// For brokers before Kafka 2.4 the permission is found in another way, which writes nothing either.
func TestCheckWritePermissionBeforeKafka24(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		p := newProducer(t, b, Config{Topic: "t", CheckWritePermission: true})
		start(t, p)
		if err := p.WriteMessages(bg, message("x")); err != nil {
			t.Error(err)
		}
		if found := b.Fake.PartitionInfo("t", 0); found.HighWatermark != 1 {
			t.Errorf("%d records, want that of the write", found.HighWatermark)
		}
	}, kfake.SeedTopics(1, "t"), kfake.MaxVersions(kversion.V2_1_0()))
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
	server, roots := testbroker.Certificate(t)
	b := testbroker.Fake(t, kfake.TLS(server), kfake.SeedTopics(1, "t"))
	p := newProducer(t, b, Config{Topic: "t", TLS: &tls.Config{RootCAs: roots}})
	start(t, p)
	if err := p.WriteMessages(bg, message("x")); err != nil {
		t.Error(err)
	}
	q := newProducer(t, b, Config{Topic: "t", TLS: &tls.Config{}}) // the system's roots
	var unknown x509.UnknownAuthorityError
	if err := q.Start(bg); !errors.As(err, &unknown) {
		t.Errorf("Start with a certificate without a trusted issuer: %v", err)
	}
	r := newProducer(t, b, Config{Topic: "t", DialTimeout: time.Second})
	if err := r.Start(bg); err == nil {
		t.Error("Start without TLS succeeded")
	}
}
