// Package otelfsm exports OpenTelemetry metrics and traces of a lifecycle.
//
//	o, err := otelfsm.New("database")
//	...
//	l := fsm.New(open, o.Option())
//	o.Watch(l)
//
// The package is in a module of its own, so only its importers depend on OpenTelemetry. The
// repository's docs/figures/metrics.md describes each metric. For a producer use package
// otelproducer, which includes these metrics and traces.
//
// Each attempt to start is a span, the root of a trace of its own. The span ends when the
// resource is open or, after a failure, when every part is released. With
//
//	fsm.WithCallerContext(otelfsm.CallerContext)
//
// it is linked to the span of the caller that started the attempt. It is not a child of that
// span, which may end much earlier: the caller may leave while others wait. The release of
// an open resource is another root span, linked to the attempt's span.
//
// The attempt's span has an event when open names the part that it acquires next (Scope.Part), and
// when a part is held (Scope.Defer). Both spans have an event when the release of a part starts and
// when it has returned, and record the errors. A failed try that is followed by another try
// (fsm.WithRetry) is an event of the attempt's span, and does not make its status an error.
package otelfsm

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed3893aba4/surestart/fsm"
)

// Scope is the name of the instrumentation.
const Scope = "github.com/seed3893aba4/surestart/observe/otel/otelfsm"

// Attributes of the metrics, spans and events.
const (
	NameKey    = attribute.Key("surestart.lifecycle.name")    // the name given to New
	AttemptKey = attribute.Key("surestart.lifecycle.attempt") // counted from 1; of spans
	StateKey   = attribute.Key("surestart.lifecycle.state")   // idle, starting, started, stopping, closed
	ResultKey  = attribute.Key("surestart.lifecycle.result")  // the event that ended an attempt to start; opened is success
	PartKey    = attribute.Key("surestart.lifecycle.part")    // as open named it
	CutOffKey  = attribute.Key("surestart.lifecycle.cut_off") // the uses that a forced release cut off
	PauseKey   = attribute.Key("surestart.lifecycle.pause")   // until the next try, in seconds; of events
)

// A Source is read at each collection: a *fsm.Lifecycle, a *producer.Producer, or a
// wrapper.
type Source interface{ Status() fsm.Status }

// An Option sets a provider of metrics or spans, or names parts. The default providers are
// the global ones of package otel.
type Option func(*config)

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
	parts   []string
}

// WithMeterProvider makes p the provider of the metrics.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithTracerProvider makes p the provider of the spans.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithParts names parts, as open gives them to Scope.Part and Scope.Defer. Their counters
// start at 0, so that an alert notices the first increase. The counters of other parts are
// absent until open first names the part.
func WithParts(names ...string) Option {
	return func(c *config) { c.parts = append(c.parts, names...) }
}

// An Observer observes one lifecycle. New makes one. Its methods may be called
// concurrently.
type Observer struct {
	metrics *metrics
	tracer  *tracer
}

// New returns an observer whose metrics and spans have this name of the lifecycle. It returns
// an error if the provider refuses an instrument.
func New(name string, opts ...Option) (*Observer, error) {
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, opt := range opts {
		opt(&c)
	}
	m, err := newMetrics(name, c.meters.Meter(Scope), c.parts)
	if err != nil {
		return nil, err
	}
	return &Observer{m, newTracer(name, c.tracers.Tracer(Scope), m)}, nil
}

// Option returns the option that makes a lifecycle report its transitions and steps to the
// observer. Use it for one lifecycle. It costs nothing except during starts and stops.
func (o *Observer) Option() fsm.Option { return fsm.WithTracer(o.tracer) }

// CallerContext is for fsm.WithCallerContext. It returns a context that has only the span
// of caller, as a remote parent, and does not refer to caller. The span of the attempt is
// then linked to that span, and spans that open starts are children of it.
func CallerContext(caller context.Context) context.Context {
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.SpanContextFromContext(caller))
}

// Watch makes the observer read the Status of s at each collection: its state, uses,
// waiters and parts. Without Watch, and after Watch(nil), these metrics are absent.
func (o *Observer) Watch(s Source) {
	if s == nil {
		o.metrics.source.Store(nil)
		return
	}
	o.metrics.source.Store(&s)
}

// Close removes the metrics that Watch provides from the collections. Transitions and
// steps are counted and traced as before. Close returns the provider's error.
func (o *Observer) Close() error { return o.metrics.registration.Unregister() }
