//go:build unix

package producer

import (
	"context"
	"crypto/sha512"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A broker that wants passwords, closes idle connections after a second, and those
// whose session is older than that.
func TestApacheKafkaSecurity(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the broker of this test takes several seconds to start")
	}
	b := testbroker.Own(t, 1, "connections.max.idle.ms=1000", "connections.max.reauth.ms=1000")
	t.Run("WrongCredentials", func(t *testing.T) { wrongCredentials(t, b) })
	t.Run("LoginAtTheWrongPort", func(t *testing.T) {
		loginAtTheWrongPort(t, b.Broker, b.SASL, nil, io.ErrUnexpectedEOF)
		loginAtTheWrongPort(t, b.Broker, b.Addrs, alice, kafka.IllegalSASLState)
	})
	t.Run("NoWritePermission", func(t *testing.T) { noWritePermission(t, b) })
	t.Run("SessionExpires", func(t *testing.T) { sessionExpires(t, b) })
	t.Run("PasswordRotates", func(t *testing.T) { passwordRotates(t, b) })
	t.Run("IdleClose", func(t *testing.T) { idleClose(t, b) })
}

var (
	alice = plain.Mechanism{Username: "alice", Password: "alice-secret"}
	bob   = plain.Mechanism{Username: "bob", Password: "bob-secret"}
)

func scram512(t *testing.T, user, password string) sasl.Mechanism {
	t.Helper()
	m, err := scram.Mechanism(scram.SHA512, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A start has the broker's refusal, and the same producer starts with the right credentials.
func wrongCredentials(t *testing.T, b *testbroker.OwnBroker) {
	for _, c := range []struct {
		name         string
		wrong, right sasl.Mechanism
		want         error
	}{
		{"Password", plain.Mechanism{Username: "alice", Password: "wrong"}, alice, kafka.SASLAuthenticationFailed},
		{"User", plain.Mechanism{Username: "eve", Password: "alice-secret"}, alice, kafka.SASLAuthenticationFailed},
		{"ScramPassword", scram512(t, "alice", "wrong"), scram512(t, "alice", "alice-secret"), kafka.SASLAuthenticationFailed},
		{"Mechanism", otherMechanism{alice}, scram512(t, "bob", "bob-secret"), kafka.UnsupportedSASLMechanism},
	} {
		t.Run(c.name, func(t *testing.T) {
			mechanism := new(login)
			mechanism.set(c.wrong)
			p := newProducer(t, b.Broker, Config{Brokers: b.SASL, Topic: b.CreateTopic(t, 1), SASL: mechanism})
			failsThenStarts(t, b.Broker, p, "metadata", func() { mechanism.set(c.right) }, c.want)
		})
	}
}

// allow gives a user a permission on a topic, and returns when the broker knows.
func allow(t *testing.T, b *testbroker.Broker, topic, user string, operation kmsg.ACLOperation) {
	t.Helper()
	allowOn(t, b, kmsg.ACLResourceTypeTopic, topic, user, operation)
}

// allowOn is allow for any kind of resource.
func allowOn(t *testing.T, b *testbroker.Broker, kind kmsg.ACLResourceType, name, user string, operation kmsg.ACLOperation) {
	t.Helper()
	cl := b.Client(t)
	defer cl.Close()
	grant := kmsg.NewCreateACLsRequestCreation()
	grant.ResourceType, grant.ResourceName, grant.ResourcePatternType = kind, name, kmsg.ACLResourcePatternTypeLiteral
	grant.Principal, grant.Host, grant.Operation, grant.PermissionType = "User:"+user, "*", operation, kmsg.ACLPermissionTypeAllow
	create := kmsg.NewPtrCreateACLsRequest()
	create.Creations = append(create.Creations, grant)
	res, err := create.RequestWith(bg, cl)
	if err == nil {
		err = kerr.ErrorForCode(res.Results[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("allow %s to %v on %s: %v", user, operation, name, err)
	}
	until(t, "the permission to be known", func() bool {
		ask := kmsg.NewPtrDescribeACLsRequest()
		ask.ResourceType, ask.ResourceName, ask.ResourcePatternType = grant.ResourceType, &grant.ResourceName, grant.ResourcePatternType
		ask.Principal, ask.Operation, ask.PermissionType = &grant.Principal, operation, grant.PermissionType
		res, err := ask.RequestWith(bg, cl)
		return err == nil && len(res.Resources) > 0
	})
}

// denyProducerID denies a user what gives a producer id: writing to any topic, and idempotent
// writes as such.
func denyProducerID(t *testing.T, b *testbroker.Broker, user string) (undo func()) {
	t.Helper()
	cl := b.Client(t)
	create, remove := kmsg.NewPtrCreateACLsRequest(), kmsg.NewPtrDeleteACLsRequest()
	principal, host := "User:"+user, "*"
	for _, r := range []struct {
		kind      kmsg.ACLResourceType
		name      string
		operation kmsg.ACLOperation
	}{{kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationWrite}, {kmsg.ACLResourceTypeCluster, "kafka-cluster", kmsg.ACLOperationIdempotentWrite}} {
		rule, filter := kmsg.NewCreateACLsRequestCreation(), kmsg.NewDeleteACLsRequestFilter()
		rule.ResourceType, rule.ResourceName, rule.ResourcePatternType = r.kind, r.name, kmsg.ACLResourcePatternTypeLiteral
		rule.Principal, rule.Host, rule.Operation, rule.PermissionType = principal, host, r.operation, kmsg.ACLPermissionTypeDeny
		filter.ResourceType, filter.ResourceName, filter.ResourcePatternType = rule.ResourceType, &rule.ResourceName, rule.ResourcePatternType
		filter.Principal, filter.Host, filter.Operation, filter.PermissionType = &principal, &host, rule.Operation, rule.PermissionType
		create.Creations, remove.Filters = append(create.Creations, rule), append(remove.Filters, filter)
	}
	res, err := create.RequestWith(bg, cl)
	if err == nil {
		err = errors.Join(kerr.ErrorForCode(res.Results[0].ErrorCode), kerr.ErrorForCode(res.Results[1].ErrorCode))
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the rules to be known", func() bool {
		ask := kmsg.NewPtrDescribeACLsRequest()
		ask.ResourceType, ask.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeLiteral
		ask.Principal, ask.Operation, ask.PermissionType = &principal, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeDeny
		res, err := ask.RequestWith(bg, cl)
		return err == nil && len(res.Resources) == 2
	})
	return func() {
		defer cl.Close()
		if _, err := remove.RequestWith(bg, cl); err != nil {
			t.Error(err)
		}
	}
}

// A user who may write to no topic gets no producer id. A user who may write to others learns of
// the missing permission from a start with CheckWritePermission, otherwise from the write.
func noWritePermission(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 2)
	allow(t, b.Broker, topic, "alice", kmsg.ACLOperationAll)
	allow(t, b.Broker, topic, "bob", kmsg.ACLOperationDescribe)

	p := newProducer(t, b.Broker, Config{Brokers: b.SASL, Topic: topic, SASL: bob})
	undo := denyProducerID(t, b.Broker, "bob")
	err := p.Start(bg)
	var failed *fsm.StartError
	if !errors.As(err, &failed) || failed.Part != "producer id" || Temporary(err) {
		t.Errorf("Start: %v, want a StartError of part producer id, and that it is final", err)
	}
	mustBe(t, err, ErrNoIdempotence, kafka.ClusterAuthorizationFailed)
	undo() // what no rule is about is allowed here: other topics
	until(t, "the permission to be known", func() bool { return p.Start(bg) == nil })
	l := newLedger()
	err = l.write(bg, t, p, message("forbidden"))
	mustBe(t, err, ErrRejected, kafka.TopicAuthorizationFailed)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	startLearnsThatItMayNotWrite(t, b, topic)
}

// startLearnsThatItMayNotWrite: with CheckWritePermission a start of bob, who may not write to the
// topic, fails until he gets the permission. Messages that were rejected before are not in the log.
func startLearnsThatItMayNotWrite(t *testing.T, b *testbroker.OwnBroker, topic string) {
	t.Helper()
	q := newProducer(t, b.Broker, Config{Brokers: b.SASL, Topic: topic, SASL: bob, CheckWritePermission: true})
	failsThenStarts(t, b.Broker, q, "permission", func() { allow(t, b.Broker, topic, "bob", kmsg.ACLOperationWrite) },
		kafka.TopicAuthorizationFailed)
	if found := values(t, b.Broker, topic); found["forbidden"] > 0 {
		t.Error("what was rejected is there")
	}
}

// A session expires again and again under load: the broker closes the connection at
// the next request on it. No write fails.
func sessionExpires(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 2)
	mechanism := new(login)
	mechanism.set(scram512(t, "alice", "alice-secret"))
	p := newProducer(t, b.Broker, Config{Brokers: b.SASL, Topic: topic, SASL: mechanism})
	start(t, p)
	first := mechanism.asked.Load()
	l := newLedger()
	ld := l.load(t, p, 4, 5*time.Millisecond)
	until(t, "logins", func() bool { return mechanism.asked.Load() >= first+8 })
	ld.end()
	shutDown(t, b, p)
	counts := l.verify(t, b.Broker, topic)
	if counts.failed() > 0 {
		t.Errorf("%d writes failed, one as: %v", counts.failed(), l.failure())
	}
	t.Logf("CHECKED kafka session-expires logins=%d acknowledged=%d failed=%d duplicates=%d",
		mechanism.asked.Load(), counts.acked, counts.failed(), counts.duplicates)
}

// The password is rotated under load, at the broker first, while sessions expire every second.
// Logins are refused until the producer gets the new password. No write fails, and nothing
// restarts.
func passwordRotates(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 2)
	v := newVault("bob-secret")
	p := newProducer(t, b.Broker, Config{Brokers: b.SASL, Topic: topic, Logger: slog.New(slog.DiscardHandler),
		SASL: ScramFrom(scram.SHA512, func(ctx context.Context) (string, string, error) {
			_, password, err := v.ask(ctx)
			return "bob", password, err
		})})
	start(t, p)
	l := newLedger()
	ld := l.load(t, p, 4, 5*time.Millisecond)
	rotations, tried := 0, int64(0)
	for _, next := range []string{"bob-second", "bob-secret"} { // and back, for the other tests
		setScramPassword(t, b.Broker, "bob", 2, sha512.New, next)
		until(t, "log-ins to be refused", func() bool { return p.Ping(bg) != nil })
		before := v.asked.Load()
		until(t, "more log-ins", func() bool { return v.asked.Load() >= before+4 })
		v.set(next)
		acked := p.Totals().Messages - p.Totals().Errors
		until(t, "writes again", func() bool { return p.Ping(bg) == nil && p.Totals().Messages-p.Totals().Errors > acked+100 })
		rotations, tried = rotations+1, v.asked.Load()
	}
	ld.end()
	if a := p.Status().Attempt; a != 1 {
		t.Errorf("attempt %d, want the first still", a)
	}
	shutDown(t, b, p)
	counts := l.verify(t, b.Broker, topic)
	if counts.failed() > 0 {
		t.Errorf("%d writes failed, one as: %v", counts.failed(), l.failure())
	}
	t.Logf("CHECKED kafka password-rotates rotations=%d logins=%d acknowledged=%d failed=%d duplicates=%d",
		rotations, tried, counts.acked, counts.failed(), counts.duplicates)
}

// The broker closes connections that are idle for a second. They are dialled again at once, and the
// next write does not fail.
func idleClose(t *testing.T, b *testbroker.OwnBroker) {
	topic := b.CreateTopic(t, 1)
	p := newProducer(t, b.Broker, Config{Topic: topic})
	start(t, p)
	l := newLedger()
	const times = 4
	for range times {
		if err := l.write(bg, t, p, message(testbroker.TopicName())); err != nil {
			t.Errorf("a write after an idle close: %v", err)
		}
		made := p.opened()
		until(t, "the broker to close what is idle", func() bool { return p.opened() >= made+p.cfg.ConnectionsPerBroker })
	}
	if err := l.write(bg, t, p, message(testbroker.TopicName())); err != nil {
		t.Errorf("a write after an idle close: %v", err)
	}
	shutDown(t, b, p)
	counts := l.verify(t, b.Broker, topic)
	t.Logf("CHECKED kafka idle-close closed=%d acknowledged=%d failed=%d duplicates=%d", times, counts.acked, counts.failed(), counts.duplicates)
}
