package producer

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A topic that was deleted between two starts is found out at once; one that was created again,
// with fewer partitions or more, starts and is written to. What was written to without being
// declared does not hold up a start, and is asked for again.
func TestStartAfterTopicsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic, another := b.CreateTopic(t, 3), b.CreateTopic(t, 2)
		p := newProducer(t, b, Config{Topic: topic, AnyTopic: true, Balancer: new(kafka.RoundRobin)})
		writes := func() {
			t.Helper()
			start(t, p)
			msgs := messages("m", 12)
			msgs = append(msgs, kafka.Message{Topic: another, Value: []byte("m")})
			if err := p.WriteMessages(bg, msgs...); err != nil {
				t.Error(err)
			}
			if err := p.Ping(bg); err != nil {
				t.Error(err)
			}
			if err := p.Stop(bg); err != nil {
				t.Error(err)
			}
			if found := len(b.Read(t, topic)); found != 12 {
				t.Errorf("%d messages found, want 12", found)
			}
		}
		writes()
		for _, n := range []int{1, 5} {
			deleteTopic(t, b, topic)
			began := time.Now()
			err := p.Start(bg)
			var topicErr *TopicError
			if !errors.As(err, &topicErr) || topicErr.Topic != topic || !errors.Is(err, kafka.UnknownTopicOrPartition) {
				t.Errorf("Start without the topic: %v", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			nothingLeft(t, b, p)
			b.CreateTopicNamed(t, topic, n)
			writes()
		}
		deleteTopic(t, b, another)
		start(t, p)
		began := time.Now()
		mustBe(t, p.WriteMessages(bg, kafka.Message{Topic: another, Value: []byte("m")}), ErrNotSent, kafka.UnknownTopicOrPartition)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the write took %v", took)
		}
	})
}

func deleteTopic(t *testing.T, b *testbroker.Broker, topic string) {
	t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &topic
	req.TopicNames, req.Topics = []string{topic}, append(req.Topics, rt)
	cl := b.Client(t)
	defer cl.Close()
	res, err := req.RequestWith(bg, cl)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// With AllowPartial the permission is asked for where there is a connection.
func TestCheckWritePermissionWithABrokerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3)
		topic := b.CreateTopic(t, 3)
		for i := range int32(3) {
			if err := b.Fake.MoveTopicPartition(topic, i, i); err != nil {
				t.Fatal(err)
			}
		}
		for down := range 3 {
			b.Net.Kill(down)
			p := newProducer(t, b, Config{Topic: topic, AllowPartial: true, CheckWritePermission: true, Logger: slog.New(slog.DiscardHandler)})
			start(t, p)
			b.Net.Revive(down)
		}
	})
}
