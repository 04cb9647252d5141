package otelfsm

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// tracer makes the spans, and tells the metrics in which of them it happened.
type tracer struct {
	name    string
	tracer  trace.Tracer
	metrics *metrics

	mu     sync.Mutex
	values context.Context // of the latest attempt, without a span of ours; nil: none yet
	ctx    context.Context // the same with the span; that remains when it has ended
	span   trace.Span      // what is under way; nil: nothing
	failed bool            // an error has been recorded in it that is its status
	again  bool            // a try has failed: what it cannot give back is not the attempt's failure
	start  trace.Span      // the attempt's
}

func newTracer(name string, t trace.Tracer, m *metrics) *tracer {
	return &tracer{name: name, tracer: t, metrics: m, ctx: context.Background()}
}

// Step implements fsm.Tracer.
func (t *tracer) Step(s fsm.Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.Kind == fsm.StepBegun {
		t.begin(s.Context, "start", s.Attempt, trace.WithTimestamp(s.At))
		t.start = t.span
	}
	t.metrics.step(t.ctx, s)
	if t.span == nil || s.Kind == fsm.StepBegun {
		return
	}
	at, part := trace.WithTimestamp(s.At), PartKey.String(s.Part)
	switch s.Kind {
	case fsm.StepForced:
		t.span.AddEvent("forced", at, trace.WithAttributes(CutOffKey.Int(s.CutOff)))
		return
	case fsm.StepRetry:
		t.again = true
		t.span.RecordError(s.Err, at, trace.WithAttributes(part))
		t.span.AddEvent("retry", at, trace.WithAttributes(part, PauseKey.Float64(s.Pause.Seconds())))
		return
	case fsm.StepTryAgain:
		t.span.AddEvent("try again", at)
		return
	}
	t.span.AddEvent("part "+s.Kind.String(), at, trace.WithAttributes(part))
	if s.Err != nil {
		t.fail("release of "+s.Part, s.Err, at, trace.WithAttributes(part))
	}
}

// fail records an error; the first is the span's status.
func (t *tracer) fail(what string, err error, opts ...trace.EventOption) {
	t.span.RecordError(err, opts...)
	if !t.failed && !t.again {
		t.failed = true
		t.span.SetStatus(codes.Error, what+": "+err.Error())
	}
}

// begin makes the span of an operation the one that is under way.
func (t *tracer) begin(values context.Context, operation string, attempt uint64, opts ...trace.SpanStartOption) {
	t.values, t.failed, t.again = values, false, false
	opts = append(opts, trace.WithAttributes(NameKey.String(t.name), AttemptKey.Int64(int64(attempt))))
	t.ctx, t.span = t.tracer.Start(values, operation+" "+t.name, opts...)
}

// Transition implements fsm.Tracer.
func (t *tracer) Transition(tr fsm.Transition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := trace.WithTimestamp(tr.At)
	if tr.From == spec.Started { // another trace: who stops it has nothing to do with who started it
		t.begin(t.values, "stop", tr.Attempt, at, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: t.start.SpanContext()}))
	}
	t.metrics.transition(t.ctx, tr)
	if t.span == nil {
		return // it was shut down before it was ever started
	}
	if tr.From == spec.Starting {
		t.again = false
		t.span.SetAttributes(ResultKey.String(tr.Event.String()))
		if tr.To != spec.Started && t.metrics.parts.Acquiring != "" {
			t.span.SetAttributes(PartKey.String(t.metrics.parts.Acquiring))
		}
	}
	switch tr.Event {
	case spec.EventFailed, spec.EventTimeout, spec.EventAbandoned, spec.EventDied:
		t.fail(tr.Event.String(), tr.Cause, at)
	case spec.EventOpened, spec.EventReleased, spec.EventClosed:
		t.span.End(at)
		t.span = nil
	}
}
