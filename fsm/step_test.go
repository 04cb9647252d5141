package fsm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A diary is a tracer that writes a line for each step, with its duration and outcome. It fails the
// test if the times do not fit together.
type diary struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
	last  fsm.Step
	ctx   context.Context // of the last step
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) Transition(tr fsm.Transition) { d.note(tr.Event.String()) }

func (d *diary) Step(s fsm.Step) {
	line := fmt.Sprintf("%d %v", s.Attempt, s.Kind)
	if s.Part != "" {
		line += " " + s.Part
	}
	if s.Kind != fsm.StepBegun {
		line += fmt.Sprintf(" %v", s.Took)
		if s.At.Sub(d.last.At) != s.Took {
			d.t.Errorf("%s at %v; the step before was at %v", line, s.At, d.last.At)
		}
	} else if s.Took != 0 {
		d.t.Errorf("%s took %v", line, s.Took)
	}
	if s.CutOff != 0 {
		line += fmt.Sprintf(" cut off %d", s.CutOff)
	}
	if s.Err != nil {
		line += " " + s.Err.Error()
	}
	d.last, d.ctx = s, s.Context
	d.note(line)
}

// forget returns the lines since the last call.
func (d *diary) forget() []string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

func (d *diary) want(want ...string) {
	d.t.Helper()
	if lines := d.forget(); !slices.Equal(lines, want) {
		d.t.Errorf("it saw\n\t%s\nwant\n\t%s", strings.Join(lines, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestTracer(t *testing.T) {
	bubble(t, "a life, step by step", func(t *testing.T) {
		d := &diary{t: t}
		r := newRig(t, "a", "b")
		r.at = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		r.release = func(_ context.Context, part string) error {
			time.Sleep(2 * time.Second)
			if part == "b" {
				return errBoom
			}
			return nil
		}
		l := r.new(fsm.WithTracer(d), fsm.WithCallerContext(itself))
		caller, cancel := context.WithCancel(context.WithValue(background(), ctxKey("who"), "caller"))
		wantNil(t, "Start", l.Start(caller))
		cancel()
		d.want("1 begun", "start", "1 acquiring a 0s", "1 held a 1s", "1 acquiring b 0s", "1 held b 1s", "opened")
		if got := d.ctx.Value(ctxKey("who")); got != "caller" || d.ctx.Err() != nil {
			t.Errorf("a step's context has the value %v, and ended with %v; want that of open's, and no end", got, d.ctx.Err())
		}

		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		time.Sleep(time.Second) // with the one after the last part, 2 s before the drain
		stop := begin(t, func() error { return l.Stop(background()) })
		d.want("stop")
		time.Sleep(3 * time.Second)
		lease.Release()
		d.want("1 releasing b 5s")
		wantIs(t, "Stop", stop.result(), errBoom)
		d.want("1 released b 2s boom", "1 releasing a 0s", "1 released a 2s", "released")

		r.scope.Part("late") // of an attempt that has ended
		d.want()
		wantNil(t, "Start", l.Start(background()))
		d.want("2 begun", "start", "2 acquiring a 0s", "2 held a 1s", "2 acquiring b 0s", "2 held b 1s", "opened")
		l.Close()
		d.want("shutdown", "2 releasing b 1s", "2 released b 2s boom", "2 releasing a 0s", "2 released a 2s", "closed")
		quiet(t)
	})
	bubble(t, "forced: by a Stop, and by a failure", func(t *testing.T) {
		d := &diary{t: t}
		l := newRig(t).new(fsm.WithTracer(d))
		for _, uses := range []int{0, 2} {
			wantNil(t, "Start", l.Start(background()))
			d.forget()
			var leases [2]fsm.Lease[*rig]
			for i := range uses {
				leases[i], _ = l.Acquire()
			}
			over, cancel := context.WithTimeout(background(), time.Second)
			err := l.Stop(over)
			cancel()
			if uses == 0 {
				wantNil(t, "Stop", err)
				d.want("stop", "released")
			} else {
				wantIs(t, "Stop", err, context.DeadlineExceeded)
				d.want("stop", "2 forced 1s cut off 2", "released")
			}
			for i := range uses {
				leases[i].Release()
			}
		}
		wantNil(t, "Start", l.Start(background()))
		d.forget()
		lease, err := l.Acquire()
		wantNil(t, "Acquire", err)
		lease.Fail(errBoom)
		lease.Release()
		d.want("died", "3 forced 0s cut off 1", "released")
		wantNil(t, "Close", l.Close())
	})
	bubble(t, "an open that does not listen", func(t *testing.T) {
		d := &diary{t: t}
		r := newRig(t, "a")
		r.at = func(_ context.Context, part string) error {
			if part == "" {
				time.Sleep(time.Minute)
			}
			return nil
		}
		l := r.new(fsm.WithTracer(d), fsm.WithStartTimeout(time.Second))
		wantIs(t, "Start", l.Start(background()), context.DeadlineExceeded)
		d.want("1 begun", "start", "1 acquiring a 0s", "1 held a 0s", "timeout", "1 releasing a 1m0s", "1 released a 0s", "released")
	})
	bubble(t, "beside an observer, and a panic in it", func(t *testing.T) {
		var log logBuffer
		d := &diary{t: t}
		var seen []string
		see := func(tr fsm.Transition) { seen = append(seen, tr.Event.String()) }
		l := newRig(t, "a").new(log.option(), fsm.WithObserver(see), fsm.WithTracer(d), fsm.WithTracer(panicky{}))
		wantNil(t, "Start", l.Start(background()))
		d.want("1 begun", "start", "1 acquiring a 0s", "1 held a 0s", "opened")
		if want := []string{"start", "opened"}; !slices.Equal(seen, want) {
			t.Errorf("the observer saw %q; want %q", seen, want)
		}
		for _, want := range []string{"step=held", "transition=opened", "no step", "no transition"} {
			if n := strings.Count(log.String(), want); n != 1 {
				t.Errorf("%q is logged %d times; want once:\n%s", want, n, log.String())
			}
		}
		wantNil(t, "Close", l.Close())
	})
	bubble(t, "without a tracer there are no steps", func(t *testing.T) {
		var seen []string
		l := newRig(t, "a").new(fsm.WithObserver(func(tr fsm.Transition) { seen = append(seen, fmt.Sprintf("%d %v", tr.Attempt, tr.Event)) }))
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Close", l.Close())
		synctest.Wait()
		if want := []string{"1 start", "1 opened", "1 shutdown", "1 closed"}; !slices.Equal(seen, want) {
			t.Errorf("saw %q; want %q", seen, want)
		}
	})
	t.Run("nil", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("WithTracer(nil) does not panic")
			}
		}()
		fsm.WithTracer(nil)
	})
}

// panicky panics at one step, and at one transition.
type panicky struct{}

func (panicky) Transition(tr fsm.Transition) {
	if tr.To == fsm.Started {
		panic("no transition")
	}
}

func (panicky) Step(s fsm.Step) {
	if s.Kind == fsm.StepHeld {
		panic("no step")
	}
}

func TestStepKind(t *testing.T) {
	var names []string
	for k := range fsm.StepGaveUp + 2 {
		names = append(names, k.String())
	}
	if want := []string{"begun", "acquiring", "held", "forced", "releasing", "released", "retry", "try again", "gave up", "StepKind(9)"}; !slices.Equal(names, want) {
		t.Errorf("%q; want %q", names, want)
	}
}

// Real threads: the steps of parts that several goroutines of one open acquire at once all arrive.
func TestTracerConcurrentParts(t *testing.T) {
	const rounds, threads, each = 50, 4, 50
	for range rounds {
		received, over := make(map[fsm.StepKind]int), make(chan struct{})
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			var all sync.WaitGroup
			for range threads {
				all.Go(func() {
					for range each {
						s.Part("a")
					}
					s.Defer("a", func(context.Context) error { return nil })
				})
			}
			all.Wait()
			return 0, nil
		}, fsm.WithTracer(tally{received, over}))
		wantNil(t, "Start", l.Start(background()))
		wantNil(t, "Close", l.Close())
		<-over
		for k, want := range map[fsm.StepKind]int{fsm.StepAcquiring: threads * each, fsm.StepHeld: threads, fsm.StepReleasing: threads, fsm.StepReleased: threads} {
			if received[k] != want {
				t.Fatalf("%d parts were %v; want %d", received[k], k, want)
			}
		}
	}
}

// tally counts the steps of each kind, until the lifecycle is closed.
type tally struct {
	received map[fsm.StepKind]int
	over     chan struct{}
}

func (c tally) Step(s fsm.Step) { c.received[s.Kind]++ }

func (c tally) Transition(tr fsm.Transition) {
	if tr.To == fsm.Closed {
		close(c.over)
	}
}
