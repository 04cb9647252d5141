package otelproducer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/otel/otelproducer"
	"github.com/seed3893aba4/surestart/producer"
)

func Example() {
	o, err := otelproducer.New("orders") // to the global providers
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
	p, err := producer.New(producer.Config{
		Brokers:   []string{"localhost:9092"},
		Topic:     "orders",
		Lifecycle: []fsm.Option{o.Option()},
	})
	if err != nil {
		log.Fatal(err) // a field is wrong; the error names it
	}
	defer p.Close()
	o.Watch(p)
	fmt.Println(p)
	// Output: producer(orders) Idle
}

// Spans only: a provider that keeps them, and no metrics.
func ExampleOption() {
	spans := tracetest.NewSpanRecorder()
	to := []otelproducer.Option{
		otelproducer.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))),
		otelproducer.WithMeterProvider(noop.NewMeterProvider()),
	}
	o, err := otelproducer.New("orders", to...)
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders",
		Lifecycle: []fsm.Option{o.Option()}})
	if err != nil {
		log.Fatal(err)
	}
	var source otelproducer.Source = p
	o.Watch(source)
	ctx := context.Background()
	if err := p.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := p.WriteMessages(ctx, kafka.Message{Value: []byte("paid")}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Totals().Messages, source.InFlightBytes(), p.Close())
	p.FlushObservers(ctx) // o sees a transition after the call
	for _, s := range spans.Ended() {
		fmt.Println(s.Name(), s.InstrumentationScope().Name != otelproducer.Scope) // the lifecycle's
	}
	// Output:
	// 1 0 <nil>
	// start orders true
	// stop orders true
}
