// Package otelfsm has OpenTelemetry's metrics and traces of a lifecycle.
//
//	o, err := otelfsm.New("database")
//	...
//	l := fsm.New(open, o.Option())
//	o.Watch(l)
//
// It is in a module of its own, so that only who imports it pays for it. Of a
// producer package otelproducer has the statistics, too. What each metric means, and
// what to do, is in the repository's docs/operating.md.
//
// Each attempt to start is a span, the root of a trace of its own: it lasts until the
// resource is open or, if that failed, until everything is given back. With
//
//	fsm.WithCallerContext(otelfsm.CallerContext)
//
// it is linked to the span of the caller that the attempt began for. It is not below that
// span, which may end long before: the caller may leave while others wait. The release of
// a resource that was open is another root, linked to the attempt's span. Both have an
// event for each part that comes and goes, and record what failed; a try that failed and
// is made again (fsm.WithRetry) is an event of its attempt's, which that alone does not
// make an error.
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
	NameKey    = attribute.Key("surestart.lifecycle.name")    // as given to New
	AttemptKey = attribute.Key("surestart.lifecycle.attempt") // counted from 1; of spans
	StateKey   = attribute.Key("surestart.lifecycle.state")   // idle, starting, started, stopping, closed
	ResultKey  = attribute.Key("surestart.lifecycle.result")  // the event that ended an attempt to start; opened is success
	PartKey    = attribute.Key("surestart.lifecycle.part")    // as open named it
	CutOffKey  = attribute.Key("surestart.lifecycle.cut_off") // the uses that a forced release cut off
	PauseKey   = attribute.Key("surestart.lifecycle.pause")   // until the next try, in seconds; of events
)

// A Source is what is asked at each collection: a *fsm.Lifecycle, a *producer.Producer,
// or what wraps one.
type Source interface{ Status() fsm.Status }

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

// An Observer observes one lifecycle. Make it with New; its methods may be called
// concurrently.
type Observer struct {
	metrics *metrics
	tracer  *tracer
}

// New returns an observer of the lifecycle that is called name. It returns an error
// if the provider refuses an instrument.
func New(name string, opts ...Option) (*Observer, error) {
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, opt := range opts {
		opt(&c)
	}
	m, err := newMetrics(name, c.meters.Meter(Scope))
	if err != nil {
		return nil, err
	}
	return &Observer{m, newTracer(name, c.tracers.Tracer(Scope), m)}, nil
}

// Option makes a lifecycle tell the observer what happens to it. It is for one
// lifecycle. It costs nothing but while that starts or stops.
func (o *Observer) Option() fsm.Option { return fsm.WithTracer(o.tracer) }

// CallerContext is for fsm.WithCallerContext: it keeps of a caller's context which span
// it is in, and nothing else, so that the span of the attempt is linked to that, and what
// open does with its context is below it. The result does not refer to caller.
func CallerContext(caller context.Context) context.Context {
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.SpanContextFromContext(caller))
}

// Watch makes the observer ask s at each collection what it is doing: which state it
// is in, and how many use it. Without it these metrics are absent. A nil s takes it back.
func (o *Observer) Watch(s Source) {
	if s == nil {
		o.metrics.source.Store(nil)
		return
	}
	o.metrics.source.Store(&s)
}

// Close takes the observer out of the collections of its provider. What happens to
// the lifecycle is told as before.
func (o *Observer) Close() error { return o.metrics.registration.Unregister() }
