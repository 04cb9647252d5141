package otelfsm_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/otel/otelfsm"
)

func Example() {
	o, err := otelfsm.New("answer") // to the global providers
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, o.Option())
	defer l.Close()
	o.Watch(l)
	fmt.Println(l.Start(context.Background()))
	// Output: <nil>
}

// The span of a start that fails, and the metrics after it.
func ExampleOption() {
	spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	to := []otelfsm.Option{
		otelfsm.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))),
		otelfsm.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
	}
	o, err := otelfsm.New("answer", to...)
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
	told := make(chan struct{}) // an observer hears of a transition after the call
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		s.Part("question")
		return 0, errors.New("forgotten")
	}, o.Option(), fsm.WithObserver(func(t fsm.Transition) {
		if t.To == fsm.Idle {
			close(told)
		}
	}))
	var source otelfsm.Source = l
	o.Watch(source)
	l.Start(context.Background())
	<-told

	span := spans.Ended()[0]
	fmt.Println(span.Name()+":", span.Status().Description)
	for _, a := range span.Attributes() {
		switch a.Key {
		case otelfsm.NameKey, otelfsm.AttemptKey, otelfsm.PartKey, otelfsm.ResultKey:
			fmt.Println(a.Key, a.Value.String())
		}
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		log.Fatal(err)
	}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			if s.Scope.Name == otelfsm.Scope && m.Name == "surestart.lifecycle.start.failures" {
				fmt.Println(m.Name, m.Unit)
			}
		}
	}
	// Output:
	// start answer: failed: forgotten
	// surestart.lifecycle.name answer
	// surestart.lifecycle.attempt 1
	// surestart.lifecycle.result failed
	// surestart.lifecycle.part question
	// surestart.lifecycle.start.failures {attempt}
}
