// Package otelproducer exports OpenTelemetry metrics and traces of a Kafka producer: those of
// package otelfsm for the lifecycle, and metrics of the messages sent.
//
//	o, err := otelproducer.New("orders")
//	...
//	p, err := producer.New(producer.Config{..., Lifecycle: []fsm.Option{o.Option()}})
//	...
//	o.Watch(p)
//
// The metrics read the producer's own counters. Messages have no spans, so sending a message
// costs nothing extra.
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
	"github.com/seed3893aba4/surestart/producer"
)

// Scope is the name of the instrumentation.
const Scope = "github.com/seed3893aba4/surestart/observe/otel/otelproducer"

// verdictKey is the attribute of surestart.producer.verdicts: delivered, not_sent, maybe_delivered or rejected.
const verdictKey = attribute.Key("surestart.producer.verdict")

// A Source is read at each collection: a *producer.Producer, or a wrapper.
type Source interface {
	otelfsm.Source
	Totals() kafka.WriterStats
	Counters() producer.Counters
	InFlightBytes() int64
}

// An Option sets a provider of metrics or spans. The defaults are the global providers of
// package otel.
type Option func(*config)

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
}

// WithMeterProvider makes p the provider of the metrics.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithTracerProvider makes p the provider of the spans.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// An Observer observes one producer. New makes one. Its methods may be called
// concurrently.
type Observer struct {
	lifecycle    *otelfsm.Observer
	source       atomic.Pointer[Source]
	registration metric.Registration
}

// New returns an observer whose metrics and spans have the producer's name. It returns an
// error if the provider refuses an instrument.
func New(name string, opts ...Option) (*Observer, error) {
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, opt := range opts {
		opt(&c)
	}
	lifecycle, err := otelfsm.New(name, otelfsm.WithMeterProvider(c.meters), otelfsm.WithTracerProvider(c.tracers),
		otelfsm.WithParts("metadata", "producer id", "leaders", "permission", "engine"))
	if err != nil {
		return nil, err
	}
	o := &Observer{lifecycle: lifecycle}
	if o.registration, err = o.register(c.meters.Meter(Scope), otelfsm.NameKey.String(name)); err != nil {
		return nil, errors.Join(err, lifecycle.Close())
	}
	return o, nil
}

// Option returns the option for the producer's Config.Lifecycle that makes the lifecycle report
// its transitions and steps to the observer.
func (o *Observer) Option() fsm.Option { return o.lifecycle.Option() }

// Watch makes the observer read p at each collection. Without Watch, and after Watch(nil),
// only the metrics of the lifecycle's transitions and steps are present.
func (o *Observer) Watch(p Source) {
	if p == nil {
		o.lifecycle.Watch(nil)
		o.source.Store(nil)
		return
	}
	o.lifecycle.Watch(p)
	o.source.Store(&p)
}

// Close removes the metrics that Watch provides from the collections. It returns the
// provider's error.
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
	now := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		c, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs, all = append(errs, err), append(all, c)
		return c
	}
	// The name and the attributes of the semantic conventions for messaging, where they have one.
	messages := count("messaging.client.sent.messages", "{message}", "Messages that were sent. A message that is sent again counts once.")
	sent := count("surestart.producer.sent.io", "By", "Bytes of the batches that were sent, encoded and compressed. A batch that is sent again counts once.")
	requests := count("surestart.producer.requests", "{request}", "Produce requests.")
	failed := count("surestart.producer.attempt.errors", "{attempt}", "Failed attempts to send a batch, including those that another attempt followed.")
	retries := count("surestart.producer.retries", "{attempt}", "Attempts to send a batch after the first one.")
	requestTime := seconds("surestart.producer.request.time", "Total duration of the produce requests.")
	throttleTime := seconds("surestart.producer.throttle.time", "Total time for which brokers throttled requests.")
	batches := count("surestart.producer.batches", "{batch}", "Batches.")
	batchMessages := count("surestart.producer.batch.messages", "{message}", "Messages in batches. Each counts once.")
	batchBytes := count("surestart.producer.batch.io", "By", "Bytes in batches. Each counts once.")
	batchWait := seconds("surestart.producer.batch.wait.time", "Total time that batches waited, from their first message to their first request.")
	inFlight := now("surestart.producer.in_flight", "By", "Bytes of MaxInFlightBytes that messages without a verdict take.")
	admitted := count("surestart.producer.admitted.messages", "{message}", "Messages that were admitted to the queues. Each gets one verdict.")
	verdicts := count("surestart.producer.verdicts", "{message}", "Messages, by their verdict.")
	withdrawn := count("surestart.producer.withdrawn.messages", "{message}", "Messages that got their verdict because their caller left, or their DeliveryTimeout passed.")
	connections := now("surestart.producer.connections", "{connection}", "Connections to brokers that lead partitions.")
	connects := count("surestart.producer.connects", "{connection}", "Connections to such brokers that were made.")
	connectFailures := count("surestart.producer.connect.failures", "{connection}", "Failed attempts to make such a connection.")
	epochs := count("surestart.producer.epochs", "{epoch}", "Epochs that partitions began, including the first.")
	losses := count("surestart.producer.cluster.losses", "{answer}", "Answers which show that the log lost acknowledged messages, or that the cluster lost its state of the producer.")
	leaderless := now("surestart.producer.leaderless", "{partition}", "Partitions in use that have no leader.")
	waiting := now("surestart.producer.waiting", "{call}", "Calls that wait for room in MaxInFlightBytes.")
	oldest, err := meter.Float64ObservableGauge("surestart.producer.oldest.age", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest message without a verdict; 0 if there is none."))
	errs, all = append(errs, err), append(all, oldest)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	mine := metric.WithAttributes(name)
	verdict := func(v string) metric.MeasurementOption { return metric.WithAttributes(name, verdictKey.String(v)) }
	delivered, notSent, maybe, rejected := verdict("delivered"), verdict("not_sent"), verdict("maybe_delivered"), verdict("rejected")
	messaging := metric.WithAttributes(name, attribute.String("messaging.system", "kafka"), attribute.String("messaging.operation.name", "send"))
	return meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		source := o.source.Load()
		if source == nil {
			return nil
		}
		s, n := (*source).Totals(), (*source).Counters()
		to.ObserveInt64(messages, s.Messages, messaging)
		to.ObserveInt64(sent, s.Bytes, mine)
		to.ObserveInt64(requests, n.Requests, mine)
		to.ObserveInt64(failed, s.Errors, mine)
		to.ObserveInt64(retries, s.Retries, mine)
		to.ObserveFloat64(requestTime, s.WriteTime.Sum.Seconds(), mine)
		to.ObserveFloat64(throttleTime, n.Throttled.Seconds(), mine)
		to.ObserveInt64(batches, s.BatchSize.Count, mine)
		to.ObserveInt64(batchMessages, s.BatchSize.Sum, mine)
		to.ObserveInt64(batchBytes, s.BatchBytes.Sum, mine)
		to.ObserveFloat64(batchWait, s.BatchTime.Sum.Seconds(), mine)
		to.ObserveInt64(inFlight, (*source).InFlightBytes(), mine)
		to.ObserveInt64(admitted, n.Admitted, mine)
		to.ObserveInt64(verdicts, n.Delivered, delivered)
		to.ObserveInt64(verdicts, n.NotSent, notSent)
		to.ObserveInt64(verdicts, n.Maybe, maybe)
		to.ObserveInt64(verdicts, n.Rejected, rejected)
		to.ObserveInt64(withdrawn, n.Withdrawn, mine)
		to.ObserveInt64(connections, n.Connections, mine)
		to.ObserveInt64(connects, n.Connects, mine)
		to.ObserveInt64(connectFailures, n.ConnectFailures, mine)
		to.ObserveInt64(epochs, n.Epochs, mine)
		to.ObserveInt64(losses, n.LostByCluster, mine)
		to.ObserveInt64(leaderless, n.Leaderless, mine)
		to.ObserveInt64(waiting, n.Waiting, mine)
		to.ObserveFloat64(oldest, n.Oldest.Seconds(), mine)
		return nil
	}, all...)
}
