package producer

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/sender"
)

// G9 DrainFirst counts what was not delivered, and reports the verdict of each message (D2). A
// leader that loses its place after the append answers as one that never had it. The message is in
// the log, so its caller must not get ErrRejected. It is there once, however often it was sent
// (D3).
func TestD2AppendedIsNotRejected(t *testing.T) {
	for _, answer := range []*kerr.Error{
		kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.ReplicaNotAvailable, kerr.NetworkException,
		kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError, kerr.UnknownServerError, kerr.DuplicateSequenceNumber, {Message: "?", Code: 999},
	} {
		t.Run(answer.Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 1)
				p := newProducer(t, b, Config{Topic: topic, MaxAttempts: 2})
				start(t, p)
				fault := b.AppendThenAnswer(topic, answer, -1)
				l := newLedger()
				err := l.write(bg, t, p, message("appended"))
				fault.Remove()
				attempts := map[core.Answer]int{core.Ok: 1, core.Final: 1, core.Unsure: 2}[core.AnswerOf(kafka.Error(answer.Code))]
				if answer == kerr.DuplicateSequenceNumber { // that says that it is in the log
					if err != nil {
						t.Errorf("D2 Truth: a message that is in the log failed as %v", err)
					}
				} else {
					if class := classOf(t, err); class != ErrMaybeDelivered {
						t.Errorf("G9 DrainFirst: a message that is in the log failed as %v; want ErrMaybeDelivered", err)
					}
					mustBe(t, err, kafka.Error(answer.Code))
				}
				if n := values(t, b, topic)["appended"]; n != 1 || fault.Hits() != attempts {
					t.Errorf("D3 Once: it is %d times in the log, after %d attempts; want once, after %d", n, fault.Hits(), attempts)
				}
				// What comes next is not held up by the doubt, and stands behind it.
				if err := l.write(bg, t, p, message("next")); err != nil {
					t.Error(err)
				}
				l.verify(t, b, topic)
			})
		})
	}
}

// Once an attempt may have been appended, no later refusal, and no later attempt that is
// not sent, says anything else.
func TestD2AmbiguousStaysAmbiguous(t *testing.T) {
	for name, then := range map[string]func(b *testbroker.Broker, p *Producer){
		"then refused": func(b *testbroker.Broker, _ *Producer) {
			b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		},
		"then refused in parts": func(b *testbroker.Broker, _ *Producer) {
			b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: -1})
		},
		"then not sent":  func(b *testbroker.Broker, _ *Producer) { b.Net.Kill(0) },
		"then cut short": func(_ *testbroker.Broker, p *Producer) { p.Stop(endedContext()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 1)
				p := newProducer(t, b, Config{Topic: topic, Logger: slog.New(slog.DiscardHandler)})
				start(t, p)
				appended := b.AppendThenAnswer(topic, kerr.NotLeaderForPartition, 1)
				write := async(func() error { return p.WriteMessages(bg, messages("m", 2)...) })
				until(t, "an ambiguous attempt", func() bool { synctest.Wait(); return appended.Hits() == 1 })
				then(b, p)
				for _, err := range errorsOf(t, get(t, write), 2) {
					if class := classOf(t, err); class != ErrMaybeDelivered {
						t.Errorf("G9 DrainFirst: %v; want ErrMaybeDelivered", err)
					}
				}
				b.Net.Revive(0)
			})
		})
	}
}

// What says nothing of the partition is no answer: another attempt is made.
func TestAnswerWithoutThePartition(t *testing.T) {
	for name, change := range map[string]func(*kmsg.ProduceResponse){
		"no topic":          func(r *kmsg.ProduceResponse) { r.Topics = nil },
		"no partition":      func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions = nil },
		"another topic":     func(r *kmsg.ProduceResponse) { r.Topics[0].Topic = "other" },
		"another partition": func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions[0].Partition = 7 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				topic := b.CreateTopic(t, 1)
				p := newProducer(t, b, Config{Topic: topic, MaxAttempts: 2})
				start(t, p)
				answers := 0
				b.Fake.ControlKey(kmsg.Produce.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
					b.Fake.KeepControl()
					if answers++; answers > 3 {
						return nil, nil, false
					}
					res := r.ResponseKind().(*kmsg.ProduceResponse)
					rt, rp := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
					rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
					res.Topics = append(res.Topics, rt)
					change(res)
					return res, nil, true
				})
				err := p.WriteMessages(bg, message("never"))
				if class := classOf(t, err); class != ErrMaybeDelivered {
					t.Errorf("%v; want ErrMaybeDelivered", err)
				}
				mustBe(t, err, sender.ErrNoPartition)
				if err := p.WriteMessages(bg, message("in the end")); err != nil {
					t.Error(err)
				}
				if answers != 4 {
					t.Errorf("%d attempts; want two of each write", answers)
				}
			})
		})
	}
}
