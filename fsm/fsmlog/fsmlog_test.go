package fsmlog_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/fsmlog"
	"github.com/seed3893aba4/surestart/internal/kept"
	"github.com/seed3893aba4/surestart/spec"
)

func ExampleTo() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "took" {
			return slog.Attr{} // not the same each time
		}
		return a
	}}))
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		s.Part("connection")
		return 0, errors.New("refused")
	}, fsmlog.To(logger.With("resource", "orders")))
	l.Start(context.Background())
	l.Close()
	l.FlushObservers(context.Background()) // lines come after the calls
	// Output:
	// level=INFO msg="surestart: starting" resource=orders event=start state=Starting attempt=1
	// level=WARN msg="surestart: start failed" resource=orders event=failed state=Stopping attempt=1 part=connection cause=refused
	// level=INFO msg="surestart: released" resource=orders event=released state=Idle attempt=1
	// level=INFO msg="surestart: closed" resource=orders event=shutdown state=Closed attempt=1
}

type key string

// itself is for fsm.WithCallerContext: all that the caller's context has.
func itself(caller context.Context) context.Context { return caller }

// pages is a text handler that also writes what the context of a line carries.
type pages struct {
	slog.Handler
	buf *bytes.Buffer
}

func newPages(level slog.Level) *pages {
	var b bytes.Buffer
	return &pages{slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey { // virtual: since 2000
			a.Value = slog.DurationValue(a.Value.Time().Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
		}
		return a
	}}), &b}
}

func (p *pages) Handle(ctx context.Context, r slog.Record) error {
	if who, ok := ctx.Value(key("who")).(string); ok {
		r.AddAttrs(slog.String("who", who))
	}
	return p.Handler.Handle(ctx, r)
}

// want compares what was logged since the last call, except for the attribute state.
func (p *pages) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	got := strings.Split(strings.TrimSuffix(p.buf.String(), "\n"), "\n")
	for i := range want {
		want[i] = strings.NewReplacer("msg=\"", "msg=\"surestart: ").Replace(want[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("logged\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	p.buf.Reset()
}

var errBoom = errors.New("boom")

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fails error
		var takes, gives time.Duration
		open := func(ctx context.Context, s *fsm.Scope) (int, error) {
			for _, part := range []string{"a", "b"} {
				s.Part(part)
				s.Defer(part, func(context.Context) error {
					time.Sleep(gives)
					if gives > 0 {
						return errBoom
					}
					return nil
				})
			}
			s.Part("c")
			select {
			case <-time.After(takes):
			case <-ctx.Done():
			}
			return 42, fails
		}
		log := newPages(slog.LevelDebug)
		ctx := context.WithValue(context.Background(), key("who"), "me")
		l := fsm.New(open, fsmlog.To(slog.New(log)), fsm.WithStartTimeout(10*time.Second), fsm.WithCallerContext(itself))

		takes = time.Second
		l.Start(ctx)
		log.want(t,
			`time=0s level=INFO msg="starting" event=start state=Starting attempt=1 took=0s who=me`,
			`time=1s level=INFO msg="started" event=opened state=Started attempt=1 took=1s who=me`)
		for range 1000 { // a use is not logged
			l.Use(ctx, func(context.Context, int) error { return nil })
		}
		lease, err := l.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		gives = time.Second // and then fails
		over, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		l.Stop(over)
		lease.Release()
		l.Wait(ctx, fsm.Idle)
		log.want(t,
			`time=1s level=INFO msg="stopping" event=stop state=Stopping attempt=1 took=0s who=me`,
			`time=8s level=WARN msg="released" event=released state=Idle attempt=1 took=7s part=b cause="b: boom\na: boom" cut_off=1 who=me`)

		gives, takes, fails = 0, 0, errBoom
		l.Start(ctx)
		log.want(t,
			`time=8s level=INFO msg="starting" event=start state=Starting attempt=2 took=0s who=me`,
			`time=8s level=WARN msg="start failed" event=failed state=Stopping attempt=2 took=0s part=c cause=boom who=me`,
			`time=8s level=INFO msg="released" event=released state=Idle attempt=2 took=0s who=me`)

		takes, fails = time.Minute, nil
		l.Start(ctx)
		log.want(t,
			`time=8s level=INFO msg="starting" event=start state=Starting attempt=3 took=0s who=me`,
			`time=18s level=WARN msg="start timed out" event=timeout state=Stopping attempt=3 took=10s part=c cause="context deadline exceeded" who=me`,
			`time=18s level=INFO msg="released" event=released state=Idle attempt=3 took=0s who=me`)

		over, cancel = context.WithTimeout(ctx, time.Second)
		defer cancel()
		l.Start(over)
		log.want(t,
			`time=18s level=INFO msg="starting" event=start state=Starting attempt=4 took=0s who=me`,
			`time=19s level=WARN msg="start abandoned" event=abandoned state=Stopping attempt=4 took=1s part=c cause="context deadline exceeded" who=me`,
			`time=19s level=INFO msg="released" event=released state=Idle attempt=4 took=0s who=me`)

		takes = 0
		l.Start(ctx)
		if lease, err = l.Acquire(); err != nil {
			t.Fatal(err)
		}
		lease.Fail(errBoom)
		lease.Release()
		l.Start(ctx)
		l.Close()
		log.want(t,
			`time=19s level=INFO msg="starting" event=start state=Starting attempt=5 took=0s who=me`,
			`time=19s level=INFO msg="started" event=opened state=Started attempt=5 took=0s who=me`,
			`time=19s level=ERROR msg="died" event=died state=Stopping attempt=5 took=0s cause=boom who=me`,
			`time=19s level=WARN msg="released" event=released state=Idle attempt=5 took=0s cut_off=1 who=me`,
			`time=19s level=INFO msg="starting" event=start state=Starting attempt=6 took=0s who=me`,
			`time=19s level=INFO msg="started" event=opened state=Started attempt=6 took=0s who=me`,
			`time=19s level=INFO msg="shutting down" event=shutdown state=Stopping attempt=6 took=0s who=me`,
			`time=19s level=INFO msg="closed" event=closed state=Closed attempt=6 took=0s who=me`)
	})
}

// only is a Backoff that tries one error again, after a pause that is a second longer each time.
type only struct{ err error }

func (o only) Next(try int, err error) (time.Duration, bool) {
	return time.Duration(try) * time.Second, err == o.err
}

// A line for each try that failed and is made again; what the tries before had is not said
// of a later one.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []func(s *fsm.Scope) error
		named := func(part string, releases error, err error) func(*fsm.Scope) error {
			return func(s *fsm.Scope) error {
				s.Part(part)
				s.Defer(part, func(context.Context) error { return releases })
				if err != nil {
					s.Part(part + "2")
				}
				return err
			}
		}
		silent := func(err error) func(*fsm.Scope) error { return func(*fsm.Scope) error { return err } }
		log := newPages(slog.LevelDebug)
		final := errors.New("final")
		ctx := context.WithValue(context.Background(), key("who"), "me")
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			try := tries[0]
			tries = tries[1:]
			return 42, try(s)
		}, fsmlog.To(slog.New(log)), fsm.WithLogger(slog.New(slog.DiscardHandler)), fsm.WithRetry(only{errBoom}), fsm.WithCallerContext(itself))

		tries = append(tries, named("a", errBoom, errBoom), silent(errBoom), named("b", nil, nil))
		l.Start(ctx)
		l.Stop(ctx)
		log.want(t,
			`time=0s level=INFO msg="starting" event=start state=Starting attempt=1 took=0s who=me`,
			`time=0s level=WARN msg="start failed, trying again" event=retry state=Starting attempt=1 try=1 part=a2 cause=boom pause=1s who=me`,
			`time=1s level=WARN msg="start failed, trying again" event=retry state=Starting attempt=1 try=2 cause=boom pause=2s who=me`,
			`time=3s level=INFO msg="started" event=opened state=Started attempt=1 took=3s who=me`,
			`time=3s level=INFO msg="stopping" event=stop state=Stopping attempt=1 took=0s who=me`,
			`time=3s level=INFO msg="released" event=released state=Idle attempt=1 took=0s who=me`)

		tries = append(tries, named("a", errBoom, errBoom), silent(final)) // names no part
		l.Start(ctx)
		log.want(t,
			`time=3s level=INFO msg="starting" event=start state=Starting attempt=2 took=0s who=me`,
			`time=3s level=WARN msg="start failed, trying again" event=retry state=Starting attempt=2 try=1 part=a2 cause=boom pause=1s who=me`,
			`time=4s level=WARN msg="start failed" event=failed state=Stopping attempt=2 took=1s cause=final who=me`,
			`time=4s level=INFO msg="released" event=released state=Idle attempt=2 took=0s who=me`)
		tries = append(tries, named("a", errBoom, errBoom), named("b", final, final))
		l.Start(ctx)
		log.want(t,
			`time=4s level=INFO msg="starting" event=start state=Starting attempt=3 took=0s who=me`,
			`time=4s level=WARN msg="start failed, trying again" event=retry state=Starting attempt=3 try=1 part=a2 cause=boom pause=1s who=me`,
			`time=5s level=WARN msg="start failed" event=failed state=Stopping attempt=3 took=1s part=b2 cause=final who=me`,
			`time=5s level=WARN msg="released" event=released state=Idle attempt=3 took=0s part=b cause="b: final" who=me`)

		tries = append(tries, named("a", errBoom, errBoom), silent(nil))
		l.Start(ctx)
		l.Stop(ctx)
		log.want(t,
			`time=5s level=INFO msg="starting" event=start state=Starting attempt=4 took=0s who=me`,
			`time=5s level=WARN msg="start failed, trying again" event=retry state=Starting attempt=4 try=1 part=a2 cause=boom pause=1s who=me`,
			`time=6s level=INFO msg="started" event=opened state=Started attempt=4 took=1s who=me`,
			`time=6s level=INFO msg="stopping" event=stop state=Stopping attempt=4 took=0s who=me`,
			`time=6s level=INFO msg="released" event=released state=Idle attempt=4 took=0s who=me`)

		// In a pause it is still the try before of which there is something to say.
		over, cancel := context.WithTimeout(ctx, time.Second/2)
		defer cancel()
		tries = append(tries, named("a", errBoom, errBoom))
		l.Start(over)
		log.want(t,
			`time=6s level=INFO msg="starting" event=start state=Starting attempt=5 took=0s who=me`,
			`time=6s level=WARN msg="start failed, trying again" event=retry state=Starting attempt=5 try=1 part=a2 cause=boom pause=1s who=me`,
			`time=6.5s level=WARN msg="start abandoned" event=abandoned state=Stopping attempt=5 took=500ms part=a2 cause="context deadline exceeded" who=me`,
			`time=6.5s level=WARN msg="released" event=released state=Idle attempt=5 took=0s part=a cause="a: boom" who=me`)

		// The last line of a try.
		over, cancel = context.WithTimeout(ctx, 5*time.Second/2)
		defer cancel()
		tries = append(tries, named("a", errBoom, errBoom), named("b", nil, errBoom))
		l.Start(over)
		log.want(t,
			`time=6.5s level=INFO msg="starting" event=start state=Starting attempt=6 took=0s who=me`,
			`time=6.5s level=WARN msg="start failed, trying again" event=retry state=Starting attempt=6 try=1 part=a2 cause=boom pause=1s who=me`,
			`time=7.5s level=WARN msg="start failed, trying again" event=retry state=Starting attempt=6 try=2 part=b2 cause=boom pause=2s who=me`,
			`time=9s level=WARN msg="start abandoned" event=abandoned state=Stopping attempt=6 took=2.5s part=b2 cause="context deadline exceeded" who=me`,
			`time=9s level=INFO msg="released" event=released state=Idle attempt=6 took=0s who=me`)
		for i, c := range []struct {
			last            func(*fsm.Scope) error
			ended, released string
		}{
			{silent(errBoom), "event=abandoned state=Stopping took=1.5s cause=\"context deadline exceeded\"", "took=0s"},
			{func(s *fsm.Scope) error { s.Part("d"); return final }, "event=failed state=Stopping took=1s part=d cause=final", "took=0s"},
			{func(s *fsm.Scope) error {
				s.Defer("e", func(context.Context) error { return nil })
				time.Sleep(time.Second)
				return nil
			}, "event=abandoned state=Stopping took=1.5s cause=\"context deadline exceeded\"", "took=500ms"},
		} {
			over, cancel := context.WithTimeout(ctx, 3*time.Second/2)
			defer cancel()
			tries = append(tries, named("a", errBoom, errBoom), c.last)
			l.Start(over)
			l.Wait(ctx, fsm.Idle)
			synctest.Wait()
			lines := regexp.MustCompile(` (attempt=\d+|who=me)|time=\S+ level=\S+ msg="[^"]*" `).ReplaceAllString(log.buf.String(), "")
			log.buf.Reset()
			if !strings.HasSuffix(lines, c.ended+"\nevent=released state=Idle "+c.released+"\n") {
				t.Errorf("%d: logged\n%swant at the end\n%s and\n%s", i, lines, c.ended, c.released)
			}
		}
	})
}

// At the level Warn a life in which nothing goes wrong writes nothing.
func TestLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newPages(slog.LevelWarn)
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, fsmlog.To(slog.New(log)))
		for range 10 {
			l.Start(context.Background())
			l.Stop(context.Background())
		}
		l.Close()
		log.want(t, "")
	})
}

// Without a logger, the lines go to slog.Default at the time of each line.
func TestDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, fsmlog.To(nil))
		log, was := newPages(slog.LevelDebug), slog.Default()
		slog.SetDefault(slog.New(log))
		defer slog.SetDefault(was)
		l.Close()
		log.want(t, `time=0s level=INFO msg="closed" event=shutdown state=Closed attempt=0 took=0s`)
	})
}

// Every event has a line of its own.
func TestEveryEvent(t *testing.T) {
	messages := fsmlog.Messages()
	for _, e := range spec.Events() {
		if messages[e] == "" {
			t.Errorf("there is no message for %v", e)
		}
	}
	if len(messages) != len(spec.Events()) {
		t.Errorf("%d messages; want %d", len(messages), len(spec.Events()))
	}
}

// A life as a tracer sees it, with a context that carries a value, up to its end; it
// returns what reports whether the value is kept.
func seen(t fsm.Tracer, last fsm.Event, to fsm.State) (isKept func() bool) {
	type big struct{ _ [1 << 16]byte }
	value := new(big)
	ctx := context.WithValue(context.Background(), key("value"), value)
	step := func(kind fsm.StepKind, err error) {
		t.Step(fsm.Step{Kind: kind, Attempt: 1, Part: "a", Err: err, Context: ctx})
	}
	step(fsm.StepBegun, nil)
	t.Transition(fsm.Transition{From: fsm.Idle, To: fsm.Starting, Event: fsm.EventStart, Attempt: 1})
	step(fsm.StepAcquiring, nil)
	step(fsm.StepRetry, holds{errBoom, value})
	step(fsm.StepTryAgain, nil)
	step(fsm.StepHeld, nil)
	t.Transition(fsm.Transition{From: fsm.Starting, To: fsm.Started, Event: fsm.EventOpened, Attempt: 1})
	t.Transition(fsm.Transition{From: fsm.Started, To: fsm.Stopping, Event: fsm.EventStop, Attempt: 1})
	step(fsm.StepReleasing, nil)
	step(fsm.StepReleased, holds{errBoom, value})
	t.Transition(fsm.Transition{From: fsm.Stopping, To: to, Event: last, Attempt: 1})
	return kept.Watch(value)
}

// holds is an error that keeps something.
type holds struct {
	error
	value any
}

// Nothing of an attempt is kept once it has ended: not what its context carries, nor
// what its releases failed with.
func TestNothingIsKeptInIdle(t *testing.T) {
	for last, to := range map[fsm.Event]fsm.State{fsm.EventReleased: fsm.Idle, fsm.EventClosed: fsm.Closed} {
		tracer := fsmlog.Tracer(slog.New(slog.DiscardHandler))
		if seen(tracer, last, to)() {
			t.Errorf("%v: what an attempt's context carried, or its errors, is kept after its end", to)
		}
		runtime.KeepAlive(tracer)
	}
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

// A caller's context is not read after its call, by a handler that looks for a trace in
// the contexts of its lines neither.
func TestPooledContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newPages(slog.LevelDebug) // which looks for a value
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil },
			fsm.WithTracer(slowly{fsmlog.Tracer(slog.New(log))}))
		caller := &pooled{context.WithValue(context.Background(), key("who"), "me"), t, false}
		l.Start(caller)
		caller.freed = true
		l.Close()
		if err := l.FlushObservers(context.Background()); err != nil {
			t.Fatal(err)
		}
		log.want(t,
			`time=0s level=INFO msg="starting" event=start state=Starting attempt=1 took=0s`,
			`time=0s level=INFO msg="started" event=opened state=Started attempt=1 took=0s`,
			`time=0s level=INFO msg="shutting down" event=shutdown state=Stopping attempt=1 took=0s`,
			`time=0s level=INFO msg="closed" event=closed state=Closed attempt=1 took=0s`)
	})
}

// slowly is a tracer that takes its time: the calls have returned.
type slowly struct{ fsm.Tracer }

func (s slowly) Step(step fsm.Step)           { time.Sleep(time.Second); s.Tracer.Step(step) }
func (s slowly) Transition(tr fsm.Transition) { time.Sleep(time.Second); s.Tracer.Transition(tr) }

// A handler that hangs holds up neither the lifecycle nor what else observes it; one
// that panics loses its own line and no other.
func TestHandlersThatHangOrPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, lines := make(chan struct{}), 0
		open := func(context.Context, *fsm.Scope) (int, error) { return 42, nil }
		log := newPages(slog.LevelDebug)
		l := fsm.New(open, fsmlog.To(slog.New(awkward{log, func() { <-hang }})),
			fsmlog.To(slog.New(awkward{log, func() {
				if lines++; lines == 2 {
					panic(errBoom)
				}
			}})), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		l.Start(context.Background())
		l.Close()
		log.want(t,
			`time=0s level=INFO msg="starting" event=start state=Starting attempt=1 took=0s`,
			`time=0s level=INFO msg="shutting down" event=shutdown state=Stopping attempt=1 took=0s`,
			`time=0s level=INFO msg="closed" event=closed state=Closed attempt=1 took=0s`)
		close(hang)
		l.FlushObservers(context.Background())
		log.want(t,
			`time=0s level=INFO msg="starting" event=start state=Starting attempt=1 took=0s`,
			`time=0s level=INFO msg="started" event=opened state=Started attempt=1 took=0s`,
			`time=0s level=INFO msg="shutting down" event=shutdown state=Stopping attempt=1 took=0s`,
			`time=0s level=INFO msg="closed" event=closed state=Closed attempt=1 took=0s`)
	})
}

// awkward is a handler that does something before each line.
type awkward struct {
	slog.Handler
	do func()
}

func (h awkward) Handle(ctx context.Context, r slog.Record) error {
	h.do()
	return h.Handler.Handle(ctx, r)
}

// A cause that is a nil pointer costs no line.
func TestCausesThatCannotPrint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *onNil
		log := newPages(slog.LevelDebug)
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			s.Part("a")
			s.Defer("a", func(context.Context) error { return none })
			return 0, none
		}, fsmlog.To(slog.New(log)), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		l.Start(context.Background())
		log.want(t,
			`time=0s level=INFO msg="starting" event=start state=Starting attempt=1 took=0s`,
			`time=0s level=WARN msg="start failed" event=failed state=Stopping attempt=1 took=0s part=a cause=<nil>`,
			`time=0s level=WARN msg="released" event=released state=Idle attempt=1 took=0s part=a cause="a: <nil>"`)
	})
}

// onNil is an error whose Error panics on a nil pointer.
type onNil struct{ text string }

func (e *onNil) Error() string { return e.text }
