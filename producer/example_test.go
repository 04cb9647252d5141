package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/producer"
)

func Example() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	defer cluster.Close()

	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close() // drains, for at most Config.StopTimeout

	ctx := context.Background()
	if err := p.Start(ctx); err != nil { // from anywhere, any number of times
		log.Fatal(err)
	}
	if err := p.WriteMessages(ctx, kafka.Message{Key: []byte("42"), Value: []byte("paid")}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.State(), p.Totals().Messages)
	fmt.Println(p.Stop(ctx), p.State())
	// Output:
	// Started 1
	// <nil> Idle
}

// To send without waiting for each result, and to learn it all the same.
func ExampleProducer_Send() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders", StartOnWrite: true})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close() // drains what was sent

	ctx := context.Background()
	var sent []*producer.Delivery
	for _, text := range []string{"placed", "paid", "shipped"} {
		d, err := p.Send(ctx, kafka.Message{Key: []byte("42"), Value: []byte(text)})
		if err != nil {
			log.Fatal(err) // not let in: not started, no room before ctx ended, ...
		}
		sent = append(sent, d)
	}
	for _, d := range sent {
		err := d.Wait(ctx)
		_, offset := d.Position(0)
		fmt.Println(err, offset)
	}
	// Output:
	// <nil> 0
	// <nil> 1
	// <nil> 2
}

// What became of each message of a write that failed.
func ExampleWriteError() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{
		Brokers: cluster.ListenAddrs(), Topic: "orders", BatchBytes: 100, StartOnWrite: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	err = p.WriteMessages(context.Background(),
		kafka.Message{Value: []byte("small")},
		kafka.Message{Value: make([]byte, 1000)})
	var each kafka.WriteErrors
	if errors.As(err, &each) {
		for i, err := range each {
			switch {
			case err == nil:
				fmt.Println(i, "delivered")
			case errors.Is(err, producer.ErrRejected):
				fmt.Println(i, "refused; the same again will be too:", errors.Is(err, kafka.MessageSizeTooLarge))
			case errors.Is(err, producer.ErrNotSent):
				fmt.Println(i, "not sent; send it again")
			case errors.Is(err, producer.ErrMaybeDelivered):
				fmt.Println(i, "maybe delivered; sending it again may duplicate it")
			}
		}
	}
	// Output:
	// 0 delivered
	// 1 refused; the same again will be too: true
}
