package producer_test

import (
	"context"
	"errors"
	"log"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer"
)

// What docs/migrating.md shows. A test of the documents compares the two, line for
// line; the tests below run it.

func publishBefore(ctx context.Context, addr string) error {
	w := &kafka.Writer{
		Addr:         kafka.TCP(addr),
		Topic:        "orders",
		RequiredAcks: kafka.RequireAll,
		Balancer:     &kafka.Murmur2Balancer{},
	}
	defer w.Close()
	return publish(ctx, w)
}

func publishAfter(ctx context.Context, addr string) error {
	w, err := producer.New(producer.Config{
		Brokers: []string{addr},
		Topic:   "orders",
	})
	if err != nil {
		return err
	}
	if err := w.Start(ctx); err != nil {
		return err
	}
	defer w.Close()
	return publish(ctx, w)
}

// writer is what programs pass around; a *kafka.Writer and a *producer.Producer implement it.
type writer interface {
	WriteMessages(ctx context.Context, msgs ...kafka.Message) error
	Stats() kafka.WriterStats
	Close() error
}

var (
	_ writer = (*kafka.Writer)(nil)
	_ writer = (*producer.Producer)(nil)
)

func publish(ctx context.Context, w writer) error {
	return w.WriteMessages(ctx, kafka.Message{Key: []byte("42"), Value: []byte("paid")})
}

func retry(ctx context.Context, w writer, msgs []kafka.Message) error {
	err := w.WriteMessages(ctx, msgs...)
	var each kafka.WriteErrors
	if !errors.As(err, &each) {
		return err
	}
	var again []kafka.Message
	for i, err := range each {
		if errors.Is(err, producer.ErrNotSent) && producer.Temporary(err) {
			again = append(again, msgs[i])
		}
	}
	log.Printf("%d of %d failed; %d are sent again", each.Count(), len(msgs), len(again))
	return w.WriteMessages(ctx, again...)
}

func stream(ctx context.Context, p *producer.Producer, msgs <-chan kafka.Message) error {
	sent := make(chan *producer.Delivery, 10_000)
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for d := range sent {
			if err := d.Wait(context.Background()); err != nil { // within the DeliveryTimeout
				failed <- err
				break
			}
		}
		for range sent {
		}
	}()
	for m := range msgs {
		d, err := p.Send(ctx, m) // waits for room, not for the broker
		if err != nil {
			close(sent)
			return errors.Join(err, <-failed)
		}
		sent <- d
	}
	close(sent)
	return <-failed
}

func TestMigrationPage(t *testing.T) {
	b := testbroker.Fake(t, kfake.SeedTopics(3, "orders"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, publish := range map[string]func(context.Context, string) error{"before": publishBefore, "after": publishAfter} {
		if err := publish(ctx, b.Addrs[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	places := make(map[int32]int)
	for _, r := range b.Read(t, "orders") {
		places[r.Partition]++
	}
	if len(places) != 1 {
		t.Errorf("the key went to several partitions: %v", places)
	}

	p, err := producer.New(producer.Config{Brokers: b.Addrs, Topic: "orders", BatchBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := retry(ctx, p, []kafka.Message{{Value: []byte("x")}}); !errors.Is(err, producer.ErrNotStarted) {
		t.Errorf("retry before the start: %v", err)
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := retry(ctx, p, []kafka.Message{{Value: []byte("x")}, {Value: make([]byte, 2000)}}); err != nil {
		t.Errorf("retry: %v", err)
	}
	msgs := make(chan kafka.Message)
	go func() {
		defer close(msgs)
		for range 1000 {
			msgs <- kafka.Message{Value: []byte("y")}
		}
	}()
	if err := stream(ctx, p, msgs); err != nil {
		t.Errorf("stream: %v", err)
	}
	if n := len(b.Read(t, "orders")); n != 2+1+1000 {
		t.Errorf("%d messages found, want 1,003", n)
	}
	large := make(chan kafka.Message, 1)
	large <- kafka.Message{Value: make([]byte, 2000)}
	close(large)
	if err := stream(ctx, p, large); !errors.Is(err, producer.ErrRejected) {
		t.Errorf("stream of one too large: %v", err)
	}
}
