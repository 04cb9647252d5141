package docs

import (
	"context"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/producer"
)

// What the documents show and no other file has. It is compiled; nothing runs it.

var _ = aProducer

func aProducer(ctx context.Context) error {
	p, err := producer.New(producer.Config{Brokers: []string{"localhost:9092"}, Topic: "orders"})
	if err != nil {
		return err // the error names the field to correct
	}
	defer p.Close() // drains, 20 seconds at most

	if err := p.Start(ctx); err != nil {
		return err // not reachable, no such topic, ...; Start may be called again
	}
	err = p.WriteMessages(ctx, kafka.Message{Key: []byte("k"), Value: []byte("v")})
	return err
}
