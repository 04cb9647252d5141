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
		otelfsm.WithParts("question"), // its counters begin at 0
	}
	o, err := otelfsm.New("answer", to...)
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		s.Part("question")
		return 0, errors.New("forgotten")
	}, o.Option())
	var source otelfsm.Source = l
	o.Watch(source)
	l.Start(context.Background())
	l.FlushObservers(context.Background()) // o sees a transition after the call

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

// The span of an attempt is linked to the span of the request that it began for.
func ExampleCallerContext() {
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	o, err := otelfsm.New("answer", otelfsm.WithTracerProvider(tracers))
	if err != nil {
		log.Fatal(err)
	}
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, o.Option(), fsm.WithCallerContext(otelfsm.CallerContext))
	ctx, request := tracers.Tracer("shop").Start(context.Background(), "request")
	l.Start(ctx)
	request.End()
	l.FlushObservers(context.Background())
	for _, span := range spans.Ended() {
		for _, link := range span.Links() {
			fmt.Println(span.Name(), "is linked to the request:", link.SpanContext.SpanID() == request.SpanContext().SpanID())
		}
	}
	// Output: start answer is linked to the request: true
}
