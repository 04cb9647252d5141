package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed3893aba4/surestart/producer"
)

// A client is a way to send messages to a broker. Each is used as its documentation shows, with its
// own defaults unless its name says otherwise.
type client struct {
	name string
	open func(ctx context.Context, to target) (sender, error)
}

// A target is the destination of a client, and the connection to it.
type target struct {
	Addr, Topic string
	Codec       string        // none, gzip, snappy, lz4 or zstd; "": what the client does by default
	Delay       time.Duration // added to a round trip: see slow
	watch       *stopwatch    // of its connections; nil: none
}

// A stopwatch has the latest times of a producer's connections.
type stopwatch struct{ wrote, read atomic.Int64 } // when a write began, and when a read ended, in Unix nanoseconds

type watched struct {
	net.Conn
	*stopwatch
}

func (w watched) Write(b []byte) (int, error) {
	w.wrote.Store(time.Now().UnixNano())
	return w.Conn.Write(b)
}

func (w watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.read.Store(time.Now().UnixNano())
	return n, err
}

// inside calls write, and returns how many µs of it passed before the last request was written and after its
// answer was read.
func (w *stopwatch) inside(write func() error) (us float64, err error) {
	began := time.Now().UnixNano()
	err = write()
	return float64(time.Now().UnixNano()-began-(w.read.Load()-w.wrote.Load())) / 1e3, err
}

// A sender sends the values and returns when all of them are acknowledged.
type sender interface {
	send(ctx context.Context, values [][]byte) error
	close() error
}

const (
	theProducer  = "surestart"
	bySend       = "surestart, Send"
	theWriter    = "kafka-go, tuned"
	bareWriter   = "kafka-go, its defaults"
	theFranz     = "franz-go"
	franzAtOnce  = "franz-go, linger 0"
	theSarama    = "sarama, SyncProducer"
	noCompressed = "none"
)

// clients are the clients of this build: confluent.go may add one.
var clients = []client{
	{theProducer, func(ctx context.Context, to target) (sender, error) { return openProducer(ctx, to, tuning{}) }},
	{bySend, func(ctx context.Context, to target) (sender, error) {
		s, err := openProducer(ctx, to, tuning{})
		if err != nil {
			return nil, err
		}
		return &sendSender{s}, nil
	}},
	{theWriter, openWriter},
	{bareWriter, func(_ context.Context, to target) (sender, error) {
		transport := new(kafka.Transport) // not the shared default, so that it can be closed
		w := &kafka.Writer{Addr: kafka.TCP(to.Addr), Topic: to.Topic, Transport: transport}
		return &writerSender{write: w.WriteMessages, end: func() error {
			defer transport.CloseIdleConnections()
			return w.Close()
		}}, nil
	}},
	{theFranz, func(_ context.Context, to target) (sender, error) { return openFranz(to) }},
	{franzAtOnce, func(_ context.Context, to target) (sender, error) { return openFranz(to, kgo.ProducerLinger(0)) }},
	{theSarama, openSarama},
}

func clientNamed(name string) (client, error) {
	for _, c := range clients {
		if c.name == name {
			return c, nil
		}
	}
	return client{}, fmt.Errorf("this program has no client %q", name)
}

// tuning has the tuned settings of a Producer; zero is the default.
type tuning struct {
	Linger time.Duration
	Batch  int
}

// codecs are the names of the compressions in each client.
var codecs = map[string]struct {
	ours  kafka.Compression
	franz kgo.CompressionCodec
}{
	noCompressed: {0, kgo.NoCompression()},
	"gzip":       {kafka.Gzip, kgo.GzipCompression()},
	"snappy":     {kafka.Snappy, kgo.SnappyCompression()},
	"lz4":        {kafka.Lz4, kgo.Lz4Compression()},
	"zstd":       {kafka.Zstd, kgo.ZstdCompression()},
}

// dial connects to the target.
func (to target) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil && to.Delay > 0 {
		c = slowly(c, to.Delay)
	}
	if err == nil && to.watch != nil {
		c = watched{c, to.watch}
	}
	return c, err
}

func openProducer(ctx context.Context, to target, t tuning) (*writerSender, error) {
	p, err := producer.New(producer.Config{
		Brokers: []string{to.Addr}, Topic: to.Topic, Linger: t.Linger, BatchSize: t.Batch,
		Compression: codecs[to.Codec].ours, Dial: to.dial,
	})
	if err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return &writerSender{write: p.WriteMessages, end: p.Close, producer: p}, nil
}

// dealt assigns messages to partitions in turn.
type dealt struct{ next atomic.Uint32 }

func (d *dealt) Balance(_ kafka.Message, partitions ...int) int {
	return partitions[int((d.next.Add(1)-1)%uint32(len(partitions)))]
}

// openWriter makes a Writer that waits for all replicas, with the settings that suit it best.
func openWriter(_ context.Context, to target) (sender, error) {
	transport := &kafka.Transport{IdleTimeout: 9 * time.Minute, MetadataTopics: []string{to.Topic}, Dial: to.dial}
	w := &kafka.Writer{
		Addr: kafka.TCP(to.Addr), Topic: to.Topic, Transport: transport, Balancer: new(dealt), RequiredAcks: kafka.RequireAll,
		BatchTimeout: writerLinger, BatchSize: writerBatch, BatchBytes: 1 << 20, Compression: codecs[to.Codec].ours,
	}
	return &writerSender{write: w.WriteMessages, end: func() error {
		defer transport.CloseIdleConnections()
		return w.Close()
	}}, nil
}

// writerSender is anything with kafka-go's WriteMessages.
type writerSender struct {
	write    func(context.Context, ...kafka.Message) error
	end      func() error
	producer *producer.Producer // nil: it is a Writer's
	msgs     sync.Pool          // *[]kafka.Message
}

// messages calls f with the values as messages. f may use them until it returns.
func (w *writerSender) messages(values [][]byte, f func([]kafka.Message) error) error {
	p, _ := w.msgs.Get().(*[]kafka.Message)
	if p == nil {
		p = new([]kafka.Message)
	}
	msgs := (*p)[:0]
	for _, v := range values {
		msgs = append(msgs, kafka.Message{Value: v})
	}
	*p = msgs
	err := f(msgs)
	w.msgs.Put(p)
	return err
}

func (w *writerSender) send(ctx context.Context, values [][]byte) error {
	return w.messages(values, func(msgs []kafka.Message) error { return w.write(ctx, msgs...) })
}

func (w *writerSender) close() error { return w.end() }

// sendSender is a Producer that calls Send for each message, and then waits for all of them.
type sendSender struct{ *writerSender }

func (s *sendSender) send(ctx context.Context, values [][]byte) error {
	return s.messages(values, func(msgs []kafka.Message) error {
		all := make([]*producer.Delivery, len(msgs))
		for i, m := range msgs {
			d, err := s.producer.Send(ctx, m)
			if err != nil {
				return err
			}
			all[i] = d
		}
		for _, d := range all {
			if err := d.Wait(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

type franzSender struct{ *kgo.Client }

func openFranz(to target, opts ...kgo.Opt) (sender, error) {
	opts = append(opts, kgo.SeedBrokers(to.Addr), kgo.DefaultProduceTopic(to.Topic), kgo.Dialer(to.dial))
	if to.Codec != "" {
		opts = append(opts, kgo.ProducerBatchCompression(codecs[to.Codec].franz))
	}
	c, err := kgo.NewClient(opts...)
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

func openSarama(_ context.Context, to target) (sender, error) {
	cfg := sarama.NewConfig()
	cfg.Producer.Return.Successes = true // SyncProducer wants it
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	p, err := sarama.NewSyncProducer([]string{to.Addr}, cfg)
	return saramaSender{p, to.Topic}, err
}

func (s saramaSender) send(_ context.Context, values [][]byte) error {
	msgs := make([]*sarama.ProducerMessage, len(values))
	for i, v := range values {
		msgs[i] = &sarama.ProducerMessage{Topic: s.topic, Value: sarama.ByteEncoder(v)}
	}
	return s.SendMessages(msgs)
}

func (s saramaSender) close() error { return s.Close() }
