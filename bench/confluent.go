//go:build librdkafka && cgo

package main

import (
	"context"
	"fmt"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// Confluent's client is librdkafka, in C. Only a build with -tags librdkafka has it.
func init() {
	clients = append(clients, client{"confluent-kafka-go", func(_ context.Context, to target) (sender, error) {
		p, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": to.Addr, "go.delivery.reports": true})
		if err != nil {
			return nil, err
		}
		return &rdSender{p, to.Topic}, nil
	}})
}

type rdSender struct {
	p     *kafka.Producer
	topic string
}

func (r *rdSender) send(ctx context.Context, values [][]byte) error {
	results := make(chan kafka.Event, len(values))
	for _, v := range values {
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &r.topic, Partition: kafka.PartitionAny}, Value: v}
		for {
			err := r.p.Produce(m, results)
			if err == nil {
				break
			}
			if full, ok := err.(kafka.Error); !ok || full.Code() != kafka.ErrQueueFull {
				return err
			}
			r.p.Flush(1) // its queue is full: as its documentation says, wait
		}
	}
	for range values {
		select {
		case e := <-results:
			m, ok := e.(*kafka.Message)
			if !ok {
				return fmt.Errorf("a result that is no message: %v", e)
			}
			if m.TopicPartition.Error != nil {
				return m.TopicPartition.Error
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (r *rdSender) close() error {
	r.p.Flush(10_000)
	r.p.Close()
	return nil
}
