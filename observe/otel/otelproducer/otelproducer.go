// Package otelproducer has OpenTelemetry's metrics and traces of a Kafka producer: of its
// lifecycle, as package otelfsm has them, and of what it sends.
//
//	o, err := otelproducer.New("orders")
//	...
//	p, err := producer.New(producer.Config{..., Lifecycle: []fsm.Option{o.Option()}})
//	...
//	o.Watch(p)
//
// What is sent is counted, and has no spans: there is nothing on the path of a message.
package otelproducer

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/otel/otelfsm"
)

// Scope is the name of the instrumentation.
const Scope = "github.com/seed3893aba4/surestart/observe/otel/otelproducer"

// A Source is what is asked at each collection: a *producer.Producer, or what wraps one.
type Source interface {
	otelfsm.Source
	Totals() kafka.WriterStats
	InFlightBytes() int64
}

// An Option says where metrics and spans go; the default is what package otel has
// registered globally.
type Option func(*config)

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
}

// WithMeterProvider makes metrics go to p.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithTracerProvider makes spans go to p.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// An Observer observes one producer. Make it with New; its methods may be called
// concurrently.
type Observer struct {
	lifecycle    *otelfsm.Observer
	source       atomic.Pointer[Source]
	registration metric.Registration
}

// New returns an observer of the producer that is called name. It returns an error
// if the provider refuses an instrument.
func New(name string, opts ...Option) (*Observer, error) {
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, opt := range opts {
		opt(&c)
	}
	lifecycle, err := otelfsm.New(name, otelfsm.WithMeterProvider(c.meters), otelfsm.WithTracerProvider(c.tracers))
	if err != nil {
		return nil, err
	}
	o := &Observer{lifecycle: lifecycle}
	if o.registration, err = o.register(c.meters.Meter(Scope), otelfsm.NameKey.String(name)); err != nil {
		return nil, errors.Join(err, lifecycle.Close())
	}
	return o, nil
}

// Option makes a lifecycle tell the observer what happens to it; it belongs into
// the producer's Config.Lifecycle.
func (o *Observer) Option() fsm.Option { return o.lifecycle.Option() }

// Watch makes the observer ask p at each collection. Without it there are only the
// metrics of what happened to the lifecycle. A nil p takes it back.
func (o *Observer) Watch(p Source) {
	if p == nil {
		o.lifecycle.Watch(nil)
		o.source.Store(nil)
		return
	}
	o.lifecycle.Watch(p)
	o.source.Store(&p)
}

// Close takes the observer out of the collections of its provider.
func (o *Observer) Close() error {
	return errors.Join(o.lifecycle.Close(), o.registration.Unregister())
}

func (o *Observer) register(meter metric.Meter, name attribute.KeyValue) (metric.Registration, error) {
	var errs []error
	var all []metric.Observable
	count := func(name, unit, description string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs, all = append(errs, err), append(all, c)
		return c
	}
	seconds := func(name, description string) metric.Float64ObservableCounter {
		c, err := meter.Float64ObservableCounter(name, metric.WithUnit("s"), metric.WithDescription(description))
		errs, all = append(errs, err), append(all, c)
		return c
	}
	// The name and the attributes of the semantic conventions for messaging, where they have one.
	messages := count("messaging.client.sent.messages", "{message}", "Messages in produce requests; one that is sent again counts again.")
	sent := count("surestart.producer.sent.io", "By", "Bytes of keys and values in produce requests; what is sent again counts again.")
	requests := count("surestart.producer.requests", "{request}", "Produce requests.")
	failed := count("surestart.producer.request.errors", "{request}", "Produce requests that failed, those that are tried again included.")
	retries := count("surestart.producer.retries", "{request}", "Produce requests that sent a batch again.")
	requestTime := seconds("surestart.producer.request.time", "How long the produce requests took, together.")
	throttleTime := seconds("surestart.producer.throttle.time", "How long the brokers asked to wait, together.")
	batches := count("surestart.producer.batches", "{batch}", "Batches.")
	batchMessages := count("surestart.producer.batch.messages", "{message}", "Messages in batches: each counts once.")
	batchBytes := count("surestart.producer.batch.io", "By", "Bytes in batches: each counts once.")
	batchWait := seconds("surestart.producer.batch.wait.time", "How long batches waited, from their first message to their first request, together.")
	inFlight, err := meter.Int64ObservableUpDownCounter("surestart.producer.in_flight", metric.WithUnit("By"),
		metric.WithDescription("What the messages without a result count for, of MaxInFlightBytes."))
	errs, all = append(errs, err), append(all, inFlight)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	mine := metric.WithAttributes(name)
	messaging := metric.WithAttributes(name, attribute.String("messaging.system", "kafka"), attribute.String("messaging.operation.name", "send"))
	return meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		source := o.source.Load()
		if source == nil {
			return nil
		}
		s := (*source).Totals()
		to.ObserveInt64(messages, s.Messages, messaging)
		to.ObserveInt64(sent, s.Bytes, mine)
		to.ObserveInt64(requests, s.Writes, mine)
		to.ObserveInt64(failed, s.Errors, mine)
		to.ObserveInt64(retries, s.Retries, mine)
		to.ObserveFloat64(requestTime, s.WriteTime.Sum.Seconds(), mine)
		to.ObserveFloat64(throttleTime, s.WaitTime.Sum.Seconds(), mine)
		to.ObserveInt64(batches, s.BatchSize.Count, mine)
		to.ObserveInt64(batchMessages, s.BatchSize.Sum, mine)
		to.ObserveInt64(batchBytes, s.BatchBytes.Sum, mine)
		to.ObserveFloat64(batchWait, s.BatchTime.Sum.Seconds(), mine)
		to.ObserveInt64(inFlight, (*source).InFlightBytes(), mine)
		return nil
	}, all...)
}
