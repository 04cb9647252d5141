package promproducer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/observe/prometheus/promproducer"
	"github.com/seed3893aba4/surestart/producer"
)

// A watched is a producer, and what its collector says of it.
type watched struct {
	*producer.Producer
	t        *testing.T
	registry *prometheus.Registry
}

func watch(t *testing.T, b *testbroker.Broker, topic string) watched {
	c := promproducer.NewCollector("orders")
	p, err := producer.New(producer.Config{Brokers: b.Addrs, Dial: b.Dial, Topic: topic, Lifecycle: []fsm.Option{c.Option()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	c.Watch(p)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	return watched{p, t, r}
}

// get returns the one metric of this name that has the label value, if one is given.
func (w watched) get(name string, label ...string) *dto.Metric {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "surestart_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(label) == 0 || strings.Contains(fmt.Sprint(m.GetLabel()), label[0]) {
				return m
			}
		}
	}
	w.t.Fatalf("there is no %s %v", name, label)
	return nil
}

func (w watched) want(name string, want float64, label ...string) {
	w.t.Helper()
	m := w.get(name, label...)
	got := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount()) + m.GetSummary().GetSampleSum()
	if strings.HasSuffix(name, "_duration_seconds") && m.Summary != nil {
		got = float64(m.GetSummary().GetSampleCount())
	}
	if got != want {
		w.t.Errorf("%s %v is %v; want %v", name, label, got, want)
	}
}

func messages(n int) []kafka.Message {
	msgs := make([]kafka.Message, n)
	for i := range msgs {
		msgs[i].Value = []byte("value")
	}
	return msgs
}

// What a producer sent, over a restart, as the broker saw it.
func TestSent(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 1)
		w := watch(t, b, topic)
		ctx := context.Background()
		w.want("lifecycle_state", 1, "idle")
		w.want("producer_sent_messages_total", 0)
		for range 2 {
			if err := w.Start(ctx); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := w.WriteMessages(ctx, messages(10)...); err != nil {
					t.Fatal(err)
				}
			}
			w.want("lifecycle_state", 1, "started")
			if err := w.Stop(ctx); err != nil {
				t.Fatal(err)
			}
		}
		read := len(b.Read(t, topic))
		w.want("producer_sent_messages_total", float64(read))
		w.want("producer_batch_messages", float64(read))
		w.want("producer_attempt_errors_total", 0)
		w.want("producer_retries_total", 0)
		w.want("producer_in_flight_bytes", 0)
		w.want("producer_admitted_messages_total", float64(read))
		w.want("producer_verdicts_total", float64(read), "delivered")
		for _, verdict := range []string{"not_sent", "maybe_delivered", "rejected"} {
			w.want("producer_verdicts_total", 0, verdict)
		}
		w.want("producer_withdrawn_messages_total", 0)
		w.want("producer_throttled_seconds_total", 0)
		w.want("producer_connections", 0) // it is stopped
		w.want("producer_connects_total", 4)
		w.want("producer_connect_failures_total", 0)
		w.want("producer_epochs_total", 2) // one a session
		w.want("producer_cluster_losses_total", 0)
		w.want("producer_leaderless_partitions", 0)
		w.want("producer_waiting_calls", 0)
		w.want("producer_oldest_message_age_seconds", 0)
		requests, batches := w.get("producer_request_duration_seconds").GetSummary(), w.get("producer_batch_bytes").GetSummary()
		if requests.GetSampleCount() != batches.GetSampleCount() || batches.GetSampleCount() < 6 || requests.GetSampleSum() < 0 {
			t.Errorf("%v requests in %v s; %v batches; want one each, 6 or more", requests.GetSampleCount(), requests.GetSampleSum(), batches.GetSampleCount())
		}
		if sent := w.get("producer_sent_bytes_total").GetCounter().GetValue(); sent != batches.GetSampleSum() || sent < float64(read*len("value")) {
			t.Errorf("%v bytes sent, %v in batches, of %d messages", sent, batches.GetSampleSum(), read)
		}
		if problems, err := testutil.GatherAndLint(w.registry); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
		t.Logf("CHECKED prometheus messages-read-back=%d", read)
	})
}

// Errors, retries, and the bytes that wait, while the broker refuses.
func TestRefused(t *testing.T) {
	testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
		w := watch(t, b, b.CreateTopic(t, 1))
		ctx := context.Background()
		if err := w.Start(ctx); err != nil {
			t.Fatal(err)
		}
		now := make(chan [3]float64, 1) // of a message in flight
		asked := 0
		b.Fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if asked++; asked > 2 {
				gauge := func(name string) float64 { return w.get(name).GetGauge().GetValue() }
				now <- [3]float64{gauge("producer_in_flight_bytes"), gauge("producer_oldest_message_age_seconds"), gauge("producer_connections")}
				return nil, nil, false
			}
			req := kreq.(*kmsg.ProduceRequest)
			res := req.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range req.Topics {
				rt := kmsg.NewProduceResponseTopic()
				rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
				for _, p := range topic.Partitions {
					rp := kmsg.NewProduceResponseTopicPartition()
					rp.Partition, rp.ErrorCode = p.Partition, 19 // NOT_ENOUGH_REPLICAS
					rt.Partitions = append(rt.Partitions, rp)
				}
				res.Topics = append(res.Topics, rt)
			}
			res.ThrottleMillis = 50
			return res, nil, true
		})
		if err := w.WriteMessages(ctx, messages(10)...); err != nil {
			t.Fatal(err)
		}
		w.want("producer_attempt_errors_total", 2)
		w.want("producer_retries_total", 2)
		w.want("producer_sent_messages_total", 10)
		w.want("producer_request_duration_seconds", 3)
		w.want("producer_verdicts_total", 10, "delivered")
		w.want("producer_batch_messages", 10)
		if n := <-now; n[0] < 50 || n[1] < 0.1 || n[2] != 2 {
			t.Errorf("while the broker was asked: %v bytes in flight, the oldest message %v s old, %v connections; want 50 or more, 0.1 or more, 2", n[0], n[1], n[2])
		}
		w.want("producer_throttled_seconds_total", 0.1)
		w.want("producer_in_flight_bytes", 0)
	}, kfake.SleepOutOfOrder())
}

// A broker that is not there: the attempt, its part, and no state but Idle.
func TestNoBroker(t *testing.T) {
	c := promproducer.NewCollector("orders")
	p, err := producer.New(producer.Config{Brokers: []string{"127.0.0.1:1"}, Topic: "t", StartTimeout: 10 * time.Second,
		Lifecycle: []fsm.Option{c.Option()}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c.Watch(p)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	if err := p.Start(context.Background()); err == nil {
		t.Fatal("it started without a broker")
	}
	if err := p.FlushObservers(context.Background()); err != nil {
		t.Fatal(err)
	}
	w := watched{p, t, registry}
	w.want("lifecycle_attempts_total", 1, "failed")
	w.want("lifecycle_start_failures_total", 1, "metadata")
	w.want("lifecycle_state", 1, "idle")
	w.want("lifecycle_rollback_duration_seconds", 1)
	c.Watch(nil)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "surestart_producer_") {
			t.Errorf("without a source there is %s", f.GetName())
		}
	}
}
