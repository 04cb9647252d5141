package promproducer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/prometheus/promproducer"
	"github.com/seed3893aba4/surestart/producer"
)

func Example() {
	c := promproducer.NewCollector("orders")
	p, err := producer.New(producer.Config{
		Brokers:   []string{"localhost:9092"},
		Topic:     "orders",
		Lifecycle: []fsm.Option{c.Option()},
	})
	if err != nil {
		log.Fatal(err) // a field is wrong; the error names it
	}
	defer p.Close()
	c.Watch(p)
	fmt.Println(prometheus.Register(c))
	prometheus.Unregister(c)
	// Output: <nil>
}

// The collector reads the counts that a producer keeps.
func ExampleSource() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	ctx := context.Background()
	if err := p.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := p.WriteMessages(ctx, kafka.Message{Value: []byte("paid")}); err != nil {
		log.Fatal(err)
	}
	var source promproducer.Source = p
	fmt.Println(source.Status().State, source.Totals().Messages, source.Counters().Delivered, source.InFlightBytes())
	// Output: Started 1 1 0
}
