package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed3893aba4/surestart/producer"
)

// A client is a way to get messages to a broker. Each is used as its documentation
// shows it, with its own defaults unless its name says otherwise.
type client struct {
	name string
	open func(ctx context.Context, addr, topic string) (sender, error)
}

// A sender sends the values and returns when all of them are acknowledged.
type sender interface {
	send(ctx context.Context, values [][]byte) error
	close() error
}

const (
	theProducer = "surestart"
	theWriter   = "kafka-go, tuned"
	bareWriter  = "kafka-go, its defaults"
)

// clients are those that this program was built with: confluent.go may add one.
var clients = []client{
	{theProducer, func(ctx context.Context, addr, topic string) (sender, error) {
		return openProducer(ctx, addr, topic, tuning{})
	}},
	{theWriter, openWriter},
	{bareWriter, func(_ context.Context, addr, topic string) (sender, error) {
		transport := new(kafka.Transport) // not the shared default, so that it can be closed
		w := &kafka.Writer{Addr: kafka.TCP(addr), Topic: topic, Transport: transport}
		return &writerSender{write: w.WriteMessages, end: func() error {
			defer transport.CloseIdleConnections()
			return w.Close()
		}}, nil
	}},
	{"franz-go", func(_ context.Context, addr, topic string) (sender, error) { return openFranz(addr, topic) }},
	{"franz-go, linger 0", func(_ context.Context, addr, topic string) (sender, error) {
		return openFranz(addr, topic, kgo.ProducerLinger(0))
	}},
	{"sarama, SyncProducer", openSarama},
}

func clientNamed(name string) (client, error) {
	for _, c := range clients {
		if c.name == name {
			return c, nil
		}
	}
	return client{}, fmt.Errorf("this program has no client %q", name)
}

// tuning is what is tuned of a Producer; zero is its default.
type tuning struct {
	Linger time.Duration
	Batch  int
}

func openProducer(ctx context.Context, addr, topic string, t tuning) (sender, error) {
	p, err := producer.New(producer.Config{Brokers: []string{addr}, Topic: topic, Linger: t.Linger, BatchSize: t.Batch})
	if err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return &writerSender{write: p.WriteMessages, end: p.Close}, nil
}

// dealt deals messages out in turn.
type dealt struct{ next atomic.Uint32 }

func (d *dealt) Balance(_ kafka.Message, partitions ...int) int {
	return partitions[int((d.next.Add(1)-1)%uint32(len(partitions)))]
}

// openWriter makes a Writer that waits for all replicas, with the settings that suit it best.
func openWriter(_ context.Context, addr, topic string) (sender, error) {
	transport := &kafka.Transport{IdleTimeout: 9 * time.Minute, MetadataTopics: []string{topic}}
	w := &kafka.Writer{
		Addr: kafka.TCP(addr), Topic: topic, Transport: transport, Balancer: new(dealt), RequiredAcks: kafka.RequireAll,
		BatchTimeout: writerLinger, BatchSize: writerBatch, BatchBytes: 1 << 20,
	}
	return &writerSender{write: w.WriteMessages, end: func() error {
		defer transport.CloseIdleConnections()
		return w.Close()
	}}, nil
}

// writerSender is anything with kafka-go's WriteMessages.
type writerSender struct {
	write func(context.Context, ...kafka.Message) error
	end   func() error
	msgs  sync.Pool // *[]kafka.Message
}

func (w *writerSender) send(ctx context.Context, values [][]byte) error {
	p, _ := w.msgs.Get().(*[]kafka.Message)
	if p == nil {
		p = new([]kafka.Message)
	}
	msgs := (*p)[:0]
	for _, v := range values {
		msgs = append(msgs, kafka.Message{Value: v})
	}
	*p = msgs
	err := w.write(ctx, msgs...)
	w.msgs.Put(p)
	return err
}

func (w *writerSender) close() error { return w.end() }

type franzSender struct{ *kgo.Client }

func openFranz(addr, topic string, opts ...kgo.Opt) (sender, error) {
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic))...)
	return franzSender{c}, err
}

func (f franzSender) send(ctx context.Context, values [][]byte) error {
	records := make([]kgo.Record, len(values))
	pointers := make([]*kgo.Record, len(values))
	for i, v := range values {
		records[i].Value, pointers[i] = v, &records[i]
	}
	return f.ProduceSync(ctx, pointers...).FirstErr()
}

func (f franzSender) close() error { f.Client.Close(); return nil }

type saramaSender struct {
	sarama.SyncProducer
	topic string
}

func openSarama(_ context.Context, addr, topic string) (sender, error) {
	cfg := sarama.NewConfig()
	cfg.Producer.Return.Successes = true // SyncProducer wants it
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	p, err := sarama.NewSyncProducer([]string{addr}, cfg)
	return saramaSender{p, topic}, err
}

func (s saramaSender) send(_ context.Context, values [][]byte) error {
	msgs := make([]*sarama.ProducerMessage, len(values))
	for i, v := range values {
		msgs[i] = &sarama.ProducerMessage{Topic: s.topic, Value: sarama.ByteEncoder(v)}
	}
	return s.SendMessages(msgs)
}

func (s saramaSender) close() error { return s.Close() }
