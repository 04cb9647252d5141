package otelfsm

import (
	"context"
	"errors"
	"sync"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/parts"
)

// tracer makes the spans, and passes the steps with their spans to the metrics.
type tracer struct {
	name    string
	tracer  trace.Tracer
	metrics *metrics

	mu     sync.Mutex
	ctx    context.Context   // has only the span of the present operation, or of the last one
	span   trace.Span        // of the present operation; nil: none
	failed bool              // its status is an error
	retry  bool              // a try has failed: errors of its releases do not make the attempt fail
	start  trace.SpanContext // of the attempt's span
}

func newTracer(name string, t trace.Tracer, m *metrics) *tracer {
	return &tracer{name: name, tracer: t, metrics: m, ctx: context.Background()}
}

// Step implements fsm.Tracer.
func (t *tracer) Step(s fsm.Step) {
	s.Part = parts.Label(s.Part)
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.Kind == fsm.StepBegun {
		t.begin(s.Context, "start", s.Attempt, s.At, trace.SpanContextFromContext(s.Context))
		t.start = t.span.SpanContext()
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
		t.retry = true
		t.span.RecordError(readable(s.Err), at, trace.WithAttributes(part))
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
	err = readable(err)
	t.span.RecordError(err, opts...)
	if !t.failed && !t.retry {
		t.failed = true
		t.span.SetStatus(codes.Error, what+": "+err.Error())
	}
}

// readable returns err or, if its Error panics (it may be a nil pointer) or returns a text that
// is not UTF-8, an error with a replacement for its text.
func readable(err error) (readable error) {
	defer func() {
		if recover() != nil {
			readable = errors.New(parts.Label(oneline.Text(err)))
		}
	}()
	if text := err.Error(); !utf8.ValidString(text) {
		return errors.New(parts.Label(text))
	}
	return err
}

// begin starts the span of an operation. It is a root span, because it may last longer than the
// span that it is linked to. begin does not keep ctx.
func (t *tracer) begin(ctx context.Context, operation string, attempt uint64, at time.Time, linked trace.SpanContext) {
	t.failed, t.retry = false, false
	opts := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithTimestamp(at),
		trace.WithAttributes(NameKey.String(t.name), AttemptKey.Int64(int64(attempt)))}
	if linked.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: linked}))
	}
	_, t.span = t.tracer.Start(ctx, operation+" "+t.name, opts...)
	t.ctx = trace.ContextWithSpan(context.Background(), t.span)
}

// Transition implements fsm.Tracer.
func (t *tracer) Transition(tr fsm.Transition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := trace.WithTimestamp(tr.At)
	if tr.From == fsm.Started {
		t.begin(context.Background(), "stop", tr.Attempt, tr.At, t.start)
	}
	t.metrics.transition(t.ctx, tr)
	if t.span == nil {
		return // a shutdown when idle
	}
	if tr.From == fsm.Starting {
		t.retry = false
		t.span.SetAttributes(ResultKey.String(tr.Event.String()))
		if tr.To != fsm.Started && t.metrics.parts.Acquiring != "" {
			t.span.SetAttributes(PartKey.String(t.metrics.parts.Acquiring))
		}
	}
	switch tr.Event {
	case fsm.EventFailed, fsm.EventTimeout, fsm.EventAbandoned, fsm.EventDied:
		t.fail(tr.Event.String(), tr.Cause, at)
	case fsm.EventOpened, fsm.EventReleased, fsm.EventClosed:
		t.span.End(at)
		t.span = nil
	}
}
