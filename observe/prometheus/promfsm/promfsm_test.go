package promfsm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
	"github.com/seed3893aba4/surestart/spec"
)

// tb is a *testing.T or a *rapid.T.
type tb interface {
	Helper()
	Fatal(...any)
	Errorf(string, ...any)
}

// values are all samples, by name and labels; of a histogram its sum and count.
func values(t tb, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), "surestart_lifecycle_")
		for _, m := range f.GetMetric() {
			id := name
			for _, l := range m.GetLabel() {
				if l.GetName() != promfsm.Label {
					id += " " + l.GetValue()
				} else if l.GetValue() != "it" {
					t.Errorf("%s of %q", name, l.GetValue())
				}
			}
			switch {
			case m.Gauge != nil:
				all[id] = m.GetGauge().GetValue()
			case m.Counter != nil:
				all[id] = m.GetCounter().GetValue()
			case m.Histogram != nil:
				all[id+" count"] = float64(m.GetHistogram().GetSampleCount())
				all[id+" sum"] = m.GetHistogram().GetSampleSum()
			}
		}
	}
	return all
}

// want compares the metrics other than 0 with lines "name labels value".
func want(t *testing.T, c prometheus.Collector, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	all := values(t, c)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if v := all[id]; v != 0 && id != "last_transition_timestamp_seconds" {
			got = append(got, fmt.Sprint(id, " ", v))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// An observer that hangs shows.
func TestUndelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, hold := promfsm.NewCollector("it"), make(chan struct{})
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, c.Option(), fsm.WithObserver(func(fsm.Transition) { <-hold }))
		c.Watch(l)
		if err := l.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		want(t, c, "attempts_total opened 1", "start_duration_seconds count 1", "state started 1", "undelivered 2")
		close(hold)
		want(t, c, "attempts_total opened 1", "start_duration_seconds count 1", "state started 1")
		l.Close()
	})
}

// A part whose name is not UTF-8, as no label may be, is counted all the same.
func TestNameThatIsNotUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, fails := promfsm.NewCollector("it", "a\xff"), errors.New("boom")
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			s.Part("a\xff")
			s.Defer("a\xff", func(context.Context) error { return fails })
			s.Part("b\xff")
			return 0, fails
		}, c.Option())
		l.Start(context.Background())
		want(t, c, "attempts_total failed 1", "part_duration_seconds a\ufffd count 1", "part_duration_seconds b\ufffd count 1",
			"release_failures_total a\ufffd 1", "rollback_duration_seconds count 1", "start_failures_total b\ufffd 1")
	})
}

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := promfsm.NewCollector("it")
		fails := errors.New("boom")
		l := fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
			time.Sleep(time.Second)
			s.Defer("a", func(context.Context) error { time.Sleep(2 * time.Second); return fails })
			s.Part("look")
			time.Sleep(4 * time.Second)
			s.Part("b")
			time.Sleep(8 * time.Second)
			s.Defer("b", func(context.Context) error { time.Sleep(16 * time.Second); return nil })
			s.Part("c")
			time.Sleep(time.Minute)
			return 42, fails
		}, c.Option())
		want(t, c) // nothing but zeros: without a source, no state
		all := values(t, c)
		for _, row := range spec.Table() {
			if n, ok := all["attempts_total "+row.Event.String()]; row.From == fsm.Starting && (n != 0 || !ok) {
				t.Errorf("what never happened, %v, is not there as 0: %v", row.Event, all)
			}
		}
		c.Watch(l)
		want(t, c, "state idle 1")

		ctx := context.Background()
		go l.Start(ctx)
		synctest.Wait()
		time.Sleep(14 * time.Second)
		want(t, c,
			"held_parts 2", "part_duration_seconds a count 1", "part_duration_seconds a sum 1",
			"part_duration_seconds b count 1", "part_duration_seconds b sum 8",
			"part_duration_seconds look count 1", "part_duration_seconds look sum 4",
			"state starting 1", "waiters 1")
		l.Wait(ctx, fsm.Idle)
		failed := []string{
			"attempts_total failed 1", "down 1",
			"part_duration_seconds a count 1", "part_duration_seconds a sum 1",
			"part_duration_seconds b count 1", "part_duration_seconds b sum 8",
			"part_duration_seconds c count 1", "part_duration_seconds c sum 60",
			"part_duration_seconds look count 1", "part_duration_seconds look sum 4",
			"release_failures_total a 1", "rollback_duration_seconds count 1", "rollback_duration_seconds sum 18",
			"start_failures_total c 1", "state idle 1"}
		want(t, c, failed...)

		fails = nil
		if err := l.Start(ctx); err != nil {
			t.Fatal(err)
		}
		since := float64(time.Now().Unix())
		lease, err := l.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		l.Acquire()
		time.Sleep(time.Second)
		all = values(t, c)
		for id, want := range map[string]float64{"state started": 1, "state idle": 0, "in_use": 2, "attempts_total opened": 1, "start_duration_seconds count": 1,
			"start_duration_seconds sum": 73, "last_transition_timestamp_seconds": since, "part_duration_seconds c count": 2} {
			if all[id] != want {
				t.Errorf("%s is %v; want %v", id, all[id], want)
			}
		}
		lease.Fail(errors.New("dead"))
		l.Wait(ctx, fsm.Idle)
		synctest.Wait()
		all = values(t, c)
		for id, want := range map[string]float64{"deaths_total": 1, "forced_releases_total": 1, "cut_off_uses_total": 2, "rollback_duration_seconds count": 1,
			"stop_duration_seconds count": 1, "stop_duration_seconds sum": 18, "start_failures_total c": 1, "release_failures_total a": 1} {
			if all[id] != want {
				t.Errorf("%s is %v; want %v", id, all[id], want)
			}
		}

		c.Watch(nil)
		if all := values(t, c); all["deaths_total"] != 1 {
			t.Error("without a source the counters are gone")
		} else if _, ok := all["state idle"]; ok {
			t.Error("without a source there is a state")
		}
		l.Close()
	})
}

// only is a Backoff that tries one error again, after four seconds.
type only struct{ err error }

func (o only) Next(_ int, err error) (time.Duration, bool) { return 4 * time.Second, err == o.err }

// Tries are counted by part, and a pause counts for no part.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := promfsm.NewCollector("it")
		errBoom := errors.New("boom")
		var tries []string
		l := fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
			try := tries[0]
			tries = tries[1:]
			time.Sleep(time.Second)
			if strings.Contains(try, "held") {
				s.Defer("unnamed", func(context.Context) error { time.Sleep(16 * time.Second); return nil })
			}
			if strings.Contains(try, "slow") {
				time.Sleep(time.Minute)
			}
			if strings.Contains(try, "named") {
				s.Part("a")
				time.Sleep(2 * time.Second)
			}
			if strings.Contains(try, "final") {
				return 0, errors.New("final")
			}
			return 0, errBoom
		}, c.Option(), fsm.WithRetry(only{errBoom}))
		tries = []string{"held, named", "held, named", "held", "", "held, final"}
		l.Start(context.Background())
		want(t, c,
			"attempts_total failed 1",
			"part_duration_seconds a count 2", "part_duration_seconds a sum 4",
			"part_duration_seconds unnamed count 4", "part_duration_seconds unnamed sum 4",
			"rollback_duration_seconds count 1", "rollback_duration_seconds sum 16",
			"start_failures_total  1", "start_retries_total  2", "start_retries_total a 2")

		failures := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			all := values(t, c)
			for _, id := range slices.Sorted(maps.Keys(all)) {
				if strings.HasPrefix(id, "start_failures_total") && all[id] != 0 {
					got = append(got, fmt.Sprint(id, " ", all[id]))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q; want %q", got, want)
			}
		}
		tries = []string{"named", "final"} // not at the part that the try before had named
		l.Start(context.Background())
		failures("start_failures_total  2")
		tries = []string{"named", ""}
		over, cancel := context.WithTimeout(context.Background(), 10*time.Second) // in the second pause
		defer cancel()
		l.Start(over)
		failures("start_failures_total  3")
		tries = []string{"named"}
		over, cancel = context.WithTimeout(context.Background(), 4*time.Second) // in the first
		defer cancel()
		l.Start(over)
		failures("start_failures_total  3", "start_failures_total a 1")
		tries = []string{"named", "held, slow"}
		over, cancel = context.WithTimeout(context.Background(), 10*time.Second) // in the second try
		defer cancel()
		l.Start(over)
		failures("start_failures_total  4", "start_failures_total a 1")
		l.Wait(context.Background(), fsm.Idle)
		tries = []string{"named", "named, final"}
		l.Start(context.Background())
		failures("start_failures_total  4", "start_failures_total a 2")
	})
}

// Names, units and help are as Prometheus wants them, and several lifecycles share a registry.
func TestConventions(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, name := range []string{"one", "two"} {
		c := promfsm.NewCollector(name)
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) { s.Part("a"); return 42, errors.New("boom") }, c.Option())
		c.Watch(l)
		registry.MustRegister(c)
		l.Start(context.Background())
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if err := registry.Register(promfsm.NewCollector("one")); err == nil {
		t.Error("two of one name are registered")
	}
}

// Every counter of a part begins at 0: for the parts that NewCollector is given at once,
// for others when open names them, and so before the first failure of a release.
func TestCountersBeginAtZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := promfsm.NewCollector("it", "known")
		zeros := func(part string, there bool) {
			t.Helper()
			all := values(t, c)
			for _, name := range []string{"start_failures_total", "start_retries_total", "release_failures_total"} {
				if part == "" && name == "release_failures_total" {
					continue // a release has a part
				}
				if n, ok := all[name+" "+part]; ok != there || n != 0 {
					t.Errorf("%s of %q: %v, %v; want 0, %v", name, part, n, ok, there)
				}
			}
		}
		zeros("known", true)
		zeros("", true)
		zeros("named", false)
		l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
			s.Part("named")
			s.Defer("held", func(context.Context) error { return nil })
			time.Sleep(time.Second)
			return 42, nil
		}, c.Option())
		go l.Start(context.Background())
		synctest.Wait()
		zeros("named", true)
		zeros("held", true)
		time.Sleep(time.Minute)
		l.Close()
	})
}

// thrice is a Backoff of three restarts, a minute apart.
type thrice struct{}

func (thrice) Next(try int, _ error) (time.Duration, bool) { return time.Minute, try <= 3 }

// A restart that is due, a Backoff that gave up, and a resource that stays down each have a
// metric; a Stop takes them back.
func TestDeadResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, starts := promfsm.NewCollector("it"), 0
		l := fsm.New(func(context.Context, *fsm.Scope) (int, error) {
			if starts++; starts > 1 {
				return 0, errors.New("refused")
			}
			return 42, nil
		}, c.Option(), fsm.WithRestart(thrice{}), fsm.WithLogger(slog.New(slog.DiscardHandler)))
		c.Watch(l)
		is := func(due, down, gaveUp float64) {
			t.Helper()
			synctest.Wait()
			all := values(t, c)
			if got := []float64{all["restart_due"], all["down"], all["restarts_given_up_total"]}; !slices.Equal(got, []float64{due, down, gaveUp}) {
				t.Errorf("restart due, down, gave up: %v; want %v", got, []float64{due, down, gaveUp})
			}
		}
		is(0, 0, 0) // not yet started is not down
		l.Start(context.Background())
		is(0, 0, 0)
		lease, err := l.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		lease.Fail(errors.New("dead"))
		lease.Release()
		is(1, 0, 0)
		time.Sleep(3*time.Minute + time.Second)
		is(0, 1, 1)
		l.Stop(context.Background())
		is(0, 0, 1)
		l.Start(context.Background())
		is(0, 1, 1) // a failed start leaves it down, too
		l.Close()
		is(0, 0, 1)
	})
}
