package otelfsm_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/kept"
	"github.com/seed3893aba4/surestart/observe/otel/otelfsm"
)

var errBoom = errors.New("boom")

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, t0 := newLab(t), time.Now()
		fails := errBoom
		l := fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
			s.Part("a")
			time.Sleep(time.Second)
			s.Defer("a", func(context.Context) error { time.Sleep(2 * time.Second); return fails })
			s.Part("b")
			time.Sleep(4 * time.Second)
			return 42, fails
		}, o.Option())
		o.want()
		o.Watch(l)
		o.want("state idle 1")

		ctx := context.Background()
		if err := l.Start(ctx); !errors.Is(err, errBoom) {
			t.Fatal(err)
		}
		o.want("attempts failed 1", "down 1", "part.duration a count 1", "part.duration a sum 1", "part.duration b count 1", "part.duration b sum 4",
			"release.failures a 1", "rollback.duration count 1", "rollback.duration sum 2", "start.failures b 1", "state idle 1")
		span := o.wantSpan(0, t0,
			`start it 0-7 attempt=1 part=b result=failed Error "failed: boom"`,
			"0 part acquiring part=a", "1 part held part=a", "1 part acquiring part=b",
			"5 exception exception.message=boom",
			"5 part releasing part=a", "7 part released part=a", "7 exception exception.message=boom part=a")
		if span.Parent().IsValid() || len(span.Links()) != 0 {
			t.Errorf("the span of the attempt: parent %v, links %v; want a root without links", span.Parent(), span.Links())
		}

		fails = nil
		if err := l.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		start := o.wantSpan(1, t0, "start it 7-12 attempt=2 result=opened",
			"7 part acquiring part=a", "8 part held part=a", "8 part acquiring part=b")
		if start.Parent().IsValid() {
			t.Error("the span of an attempt without a traced caller has a parent")
		}
		lease, err := l.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if all := o.values(); all["state started"] != 1 || all["state idle"] != 0 || all["in_use"] != 1 || all["held_parts"] != 1 || all["start.duration sum"] != 5 || all["attempts opened"] != 1 {
			t.Errorf("while started: %v", all)
		}
		lease.Fail(errBoom)
		l.Wait(ctx, fsm.Idle)
		stop := o.wantSpan(2, t0, `stop it 13-15 attempt=2 Error "died: boom"`,
			"13 exception exception.message=boom", "13 forced cut_off=1",
			"13 part releasing part=a", "15 part released part=a")
		if links := stop.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != start.SpanContext().SpanID() || stop.Parent().IsValid() {
			t.Errorf("the span of the release: links %v, parent %v; want a root that is linked to the attempt's", links, stop.Parent())
		}
		if all := o.values(); all["deaths"] != 1 || all["forced_releases"] != 1 || all["cut_off_uses"] != 1 || all["stop.duration count"] != 1 || all["stop.duration sum"] != 2 {
			t.Errorf("after its death: %v", all)
		}

		// A Stop wins over a start: that is no error.
		begun := make(chan error, 1)
		go func() { begun <- l.Start(context.Background()) }()
		synctest.Wait()
		if err := l.Stop(context.Background()); err != nil || !errors.Is(<-begun, fsm.ErrStopped) {
			t.Fatal(err)
		}
		o.wantSpan(3, t0, "start it 15-22 attempt=3 part=a result=stop",
			"15 part acquiring part=a", "16 part held part=a", "16 part acquiring part=b", "20 part releasing part=a", "22 part released part=a")
		l.Start(context.Background())
		l.Close()
		o.wantSpan(5, t0, "stop it 27-29 attempt=4", "27 part releasing part=a", "29 part released part=a")
		if n, all := len(o.spans.Ended()), len(o.spans.Started()); n != 6 || all != 6 {
			t.Errorf("%d spans, %d ended; want 6", all, n)
		}

		o.Watch(nil)
		if all := o.values(); all["deaths"] != 1 {
			t.Error("without a source the counters are gone")
		} else if _, ok := all["state idle"]; ok {
			t.Error("without a source there is a state")
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// again is a Backoff that tries one error again, after four seconds.
type again struct{ err error }

func (a again) Next(_ int, err error) (time.Duration, bool) { return 4 * time.Second, err == a.err }

// A failed try is an event of its attempt's span, and does not set its status to error. The same
// holds for releases of a try.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, t0 := newLab(t), time.Now()
		tries := 0
		l := fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
			tries++
			s.Part("a")
			time.Sleep(time.Second)
			s.Defer("a", func(context.Context) error {
				if tries == 1 {
					return errBoom
				}
				return nil
			})
			s.Part("b")
			return 42, []error{errBoom, nil, errBoom, errors.New("final")}[tries-1]
		}, o.Option(), fsm.WithRetry(again{errBoom}))
		if err := l.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		o.wantSpan(0, t0, "start it 0-6 attempt=1 result=opened",
			"0 part acquiring part=a", "1 part held part=a", "1 part acquiring part=b",
			"1 exception exception.message=boom part=b", "1 retry part=b pause=4",
			"1 part releasing part=a", "1 part released part=a", "1 exception exception.message=boom part=a",
			"5 try again", "5 part acquiring part=a", "6 part held part=a", "6 part acquiring part=b")
		o.want("attempts opened 1", "part.duration a count 2", "part.duration a sum 2", "part.duration b count 2",
			"release.failures a 1", "start.duration count 1", "start.duration sum 6", "start.retries b 1")
		l.Stop(context.Background())

		// The last one does.
		if err := l.Start(context.Background()); err == nil {
			t.Fatal("the start did not fail")
		}
		o.wantSpan(2, t0, `start it 6-12 attempt=2 part=b result=failed Error "failed: final"`,
			"6 part acquiring part=a", "7 part held part=a", "7 part acquiring part=b",
			"7 exception exception.message=boom part=b", "7 retry part=b pause=4", "7 part releasing part=a", "7 part released part=a",
			"11 try again", "11 part acquiring part=a", "12 part held part=a", "12 part acquiring part=b",
			"12 exception exception.message=final", "12 part releasing part=a", "12 part released part=a")
	})
}

// One that is closed before it was ever started has no span.
func TestNeverStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newLab(t)
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, o.Option())
		o.Watch(l)
		l.Close()
		o.want("state closed 1")
		if n := len(o.spans.Started()); n != 0 {
			t.Errorf("%d spans", n)
		}
	})
}

// A pooled context is given to another request once its handler has returned.
type pooled struct {
	context.Context
	t     *testing.T
	freed bool
}

func (p *pooled) Value(key any) any {
	if p.freed {
		p.t.Error("a caller's context is read after its call")
	}
	return p.Context.Value(key)
}

// With CallerContext the span of an attempt is a root, linked to the caller's span, even if both
// have ended when it is examined. A caller without a span gives no link.
func TestCallerContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newLab(t)
		traced, caller := o.tracers.Tracer("test").Start(context.WithValue(context.Background(), key{}, "large"), "caller")
		for _, c := range []struct {
			ctx  context.Context
			want trace.SpanContext
		}{{traced, caller.SpanContext()}, {context.Background(), trace.SpanContext{}}} {
			var inside context.Context
			began := make(chan struct{})
			l := fsm.New(func(ctx context.Context, _ *fsm.Scope) (int, error) {
				inside = ctx
				<-began
				return 42, nil
			}, o.Option(), fsm.WithCallerContext(otelfsm.CallerContext),
				fsm.WithObserver(func(fsm.Transition) { time.Sleep(time.Second) }))
			start := make(chan error)
			request, leave := context.WithCancel(c.ctx)
			pool := &pooled{request, t, false}
			go func() { start <- l.Start(pool) }()
			other := make(chan error)
			go func() { synctest.Wait(); other <- l.Start(context.Background()) }()
			time.Sleep(time.Minute)
			leave()
			if err := <-start; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			pool.freed = true
			caller.End()
			close(began)
			if err := <-other; err != nil {
				t.Fatal(err)
			}
			l.Close()
			if err := l.FlushObservers(context.Background()); err != nil {
				t.Fatal(err)
			}
			ended := o.spans.Ended()
			span := ended[len(ended)-2]
			if in := trace.SpanContextFromContext(inside); in.SpanID() != c.want.SpanID() || inside.Value(key{}) != nil {
				t.Errorf("open is in span %v, and has %v; want only the caller's span, %v", in, inside.Value(key{}), c.want)
			}
			if span.Name() != "start it" || span.Parent().IsValid() || span.SpanContext().TraceID() == c.want.TraceID() {
				t.Errorf("%s: the parent is %v, in trace %v; want a root of its own", span.Name(), span.Parent(), span.SpanContext().TraceID())
			}
			if links := span.Links(); c.want.IsValid() != (len(links) == 1) || len(links) > 1 || len(links) == 1 && links[0].SpanContext.SpanID() != c.want.SpanID() {
				t.Errorf("the links are %v; want %v", links, c.want)
			}
		}
	})
}

// An observer that hangs shows.
func TestUndelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, hold := newLab(t), make(chan struct{})
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, o.Option(), fsm.WithObserver(func(fsm.Transition) { <-hold }))
		o.Watch(l)
		if err := l.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		o.want("attempts opened 1", "start.duration count 1", "state started 1", "undelivered 2")
		close(hold)
		o.want("attempts opened 1", "start.duration count 1", "state started 1")
		l.Close()
	})
}

type key struct{}

// Nothing of an attempt's context is kept once its first step has been seen.
func TestNothingIsKept(t *testing.T) {
	type big struct{ _ [1 << 16]byte }
	o, err := otelfsm.New("it", otelfsm.WithMeterProvider(sdkmetric.NewMeterProvider()), otelfsm.WithTracerProvider(sdktrace.NewTracerProvider()))
	if err != nil {
		t.Fatal(err)
	}
	var isKept func() bool
	func() {
		value := new(big)
		isKept = kept.Watch(value)
		o.Tracer().Step(fsm.Step{Kind: fsm.StepBegun, Attempt: 1, Context: context.WithValue(context.Background(), key{}, value)})
		o.Tracer().Transition(fsm.Transition{To: fsm.Starting, Attempt: 1})
	}()
	if isKept() {
		t.Error("what the context of an attempt carried is kept")
	}
	runtime.KeepAlive(o)
}

// onNil is an error whose Error panics on a nil pointer.
type onNil struct{ text string }

func (e *onNil) Error() string { return e.text }

// unprintable is an error whose Error panics with the error itself: fmt gives up on that.
type unprintable struct{}

func (unprintable) Error() string { panic(unprintable{}) }

// A cause that cannot print is recorded as well as can be, and the span ends.
func TestCausesThatCannotPrint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, t0 := newLab(t), time.Now()
		var none *onNil
		var cannot error = unprintable{}
		tries := 0
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			s.Defer("a", func(context.Context) error { return cannot })
			if tries++; tries == 1 {
				return 0, errBoom
			}
			return 0, none
		}, o.Option(), fsm.WithRetry(again{errBoom}), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		l.Start(context.Background())
		o.wantSpan(0, t0, `start it 0-4 attempt=1 result=failed Error "failed: <nil>"`,
			"0 part held part=a", "0 exception exception.message=boom part=", "0 retry part= pause=4",
			"0 part releasing part=a", "0 part released part=a", "0 exception exception.message=(a otelfsm_test.unprintable that cannot be printed) part=a",
			"4 try again", "4 part held part=a", "4 exception exception.message=<nil>",
			"4 part releasing part=a", "4 part released part=a", "4 exception exception.message=(a otelfsm_test.unprintable that cannot be printed) part=a")
	})
}

// Names and errors that are not UTF-8 are replaced: OTLP would refuse the whole export.
func TestTextThatIsNotUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, t0, fails := newLab(t, otelfsm.WithParts("a\xff")), time.Now(), errors.New("boom\xff")
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			s.Part("a\xff")
			s.Defer("a\xff", func(context.Context) error { return fails })
			return 0, fails
		}, o.Option())
		l.Start(context.Background())
		for id := range o.values() {
			if !utf8.ValidString(id) {
				t.Errorf("%q", id)
			}
		}
		o.wantSpan(0, t0, `start it 0-0 attempt=1 part=a� result=failed Error "failed: boom�"`,
			"0 part acquiring part=a\ufffd", "0 part held part=a\ufffd", "0 exception exception.message=boom\ufffd",
			"0 part releasing part=a\ufffd", "0 part released part=a\ufffd", "0 exception exception.message=boom\ufffd part=a\ufffd")
	})
}

// Every counter begins at 0: an alert notices its first increase.
func TestCountersBeginAtZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newLab(t, otelfsm.WithParts("known"))
		is := func(there bool, ids ...string) {
			t.Helper()
			all := o.values()
			for _, id := range ids {
				if n, ok := all[id]; ok != there || n != 0 {
					t.Errorf("%q is %v, %v; want 0, %v", id, n, ok, there)
				}
			}
		}
		is(true, "attempts opened", "attempts failed", "attempts timeout", "attempts abandoned", "attempts stop", "attempts shutdown", "attempts died",
			"deaths", "restarts.given_up", "forced_releases", "cut_off_uses", "start.failures ", "start.retries ",
			"start.failures known", "start.retries known", "release.failures known")
		is(false, "release.failures named", "start.failures named")
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			s.Part("named")
			s.Defer("held", func(context.Context) error { return nil })
			time.Sleep(time.Second)
			return 42, nil
		}, o.Option())
		go l.Start(context.Background())
		synctest.Wait()
		is(true, "start.failures named", "start.retries named", "release.failures named", "release.failures held")
		time.Sleep(time.Minute)
		l.Close()
	})
}

// never is a Backoff that gives up.
type never struct{}

func (never) Next(try int, _ error) (time.Duration, bool) { return time.Minute, try <= 1 }

// A restart that is due, a Backoff that gave up, and a resource that stays down each have a
// metric; giving up is no event of a span that has ended.
func TestDeadResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, starts := newLab(t), 0
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) {
			if starts++; starts > 1 {
				return 0, errBoom
			}
			return 42, nil
		}, o.Option(), fsm.WithRestart(never{}), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		o.Watch(l)
		is := func(due, down, gaveUp float64) {
			t.Helper()
			all := o.values()
			if got := []float64{all["restart_due"], all["down"], all["restarts.given_up"]}; !slices.Equal(got, []float64{due, down, gaveUp}) {
				t.Errorf("restart due, down, gave up: %v; want %v", got, []float64{due, down, gaveUp})
			}
		}
		is(0, 0, 0)
		l.Start(context.Background())
		lease, err := l.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		lease.Fail(errBoom)
		lease.Release()
		is(1, 0, 0)
		time.Sleep(time.Minute + time.Second)
		is(0, 1, 1)
		l.Stop(context.Background())
		is(0, 0, 1)
		l.Close()
	})
}
