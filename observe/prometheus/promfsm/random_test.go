package promfsm_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
	"github.com/seed3893aba4/surestart/spec"
)

// A ledger is what a plain observer saw.
type ledger struct {
	mu   sync.Mutex
	seen map[spec.Event]int
	took map[fsm.State]time.Duration // in Starting if it came up, in Stopping
}

func (l *ledger) note(tr fsm.Transition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[tr.Event]++
	if tr.From == fsm.Stopping || tr.To == fsm.Started {
		l.took[tr.From] += tr.Took
	}
}

// Random lives: whatever is done to a lifecycle, the collector counts what a plain
// observer beside it saw, and its gauges are the status.
func TestCountsWhatHappened(t *testing.T) {
	lives, transitions := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			book := &ledger{seen: make(map[spec.Event]int), took: make(map[fsm.State]time.Duration)}
			// What the hooks do is drawn before: they run on other goroutines.
			fate, next := rapid.SliceOfN(rapid.IntRange(0, 4), 97, 97).Draw(t, "fate"), new(atomic.Int64)
			draw := func() int { return fate[int(next.Add(1))%len(fate)] }
			c := promfsm.NewCollector("it")
			l := fsm.New(func(ctx context.Context, s *fsm.Scope) (int, error) {
				for _, part := range []string{"a", "b"} {
					s.Part(part)
					time.Sleep([]time.Duration{0, 0, time.Second, time.Second, 20 * time.Second}[draw()])
					if draw() == 0 {
						return 0, errors.New("boom")
					}
					s.Defer(part, func(context.Context) error {
						time.Sleep(time.Duration(draw()) * time.Second)
						return nil
					})
				}
				return 42, nil
			}, c.Option(), fsm.WithStartTimeout(10*time.Second), fsm.WithLogger(slog.New(slog.DiscardHandler)), fsm.WithObserver(book.note))
			c.Watch(l)
			var leases []fsm.Lease[int]
			for range rapid.IntRange(1, 12).Draw(t, "steps") {
				ctx, cancel := context.WithTimeout(context.Background(), rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "patience"))
				switch rapid.IntRange(0, 4).Draw(t, "step") {
				case 0, 1:
					l.Start(ctx)
				case 2:
					l.Stop(ctx)
				case 3:
					if lease, err := l.Acquire(); err == nil {
						leases = append(leases, lease)
					}
				case 4:
					if n := len(leases); n > 0 {
						leases[n-1].Fail(errors.New("dead"))
						leases[n-1].Release()
						leases = leases[:n-1]
					}
				}
				cancel()
				if rapid.Bool().Draw(t, "settle") {
					check(t, c, l, book)
				}
			}
			for i := range leases {
				leases[i].Release()
			}
			l.Shutdown(context.Background()) // waits for the end, which Close would not always
			check(t, c, l, book)
			lives++
			for _, n := range book.seen {
				transitions += n
			}
		})
	})
	t.Logf("CHECKED prometheus random-lives=%d transitions=%d", lives, transitions)
}

func check(t *rapid.T, c *promfsm.Collector, l *fsm.Lifecycle[int], book *ledger) {
	synctest.Wait()
	book.mu.Lock()
	defer book.mu.Unlock()
	seen, took := book.seen, book.took
	all := values(t, c)
	same := func(id string, want float64) {
		if got := all[id]; math.Abs(got-want) > 1e-6 {
			t.Fatalf("%s is %v; want %v, of %v", id, got, want, seen)
		}
	}
	ended := 0.0
	for _, result := range []spec.Event{spec.EventOpened, spec.EventFailed, spec.EventTimeout, spec.EventAbandoned} {
		same("attempts_total "+result.String(), float64(seen[result]))
	}
	for _, row := range spec.Table() {
		if row.From == spec.Starting {
			ended += all["attempts_total "+row.Event.String()]
		}
	}
	s := l.Status()
	starting := 0.0
	if s.State == fsm.Starting {
		starting = 1
	}
	same("start_duration_seconds count", float64(seen[spec.EventOpened]))
	same("start_duration_seconds sum", took[fsm.Starting].Seconds())
	if begun := float64(seen[spec.EventStart]); ended+starting != begun {
		t.Fatalf("%v attempts have ended and %v goes on; %v began", ended, starting, begun)
	}
	// A start that is given up may not have come to its first part.
	failures := all["start_failures_total "] + all["start_failures_total a"] + all["start_failures_total b"]
	if failed := ended - float64(seen[spec.EventOpened]); failures != failed {
		t.Fatalf("%v failures by part; %v starts did not come up", failures, failed)
	}
	releases := float64(seen[spec.EventReleased] + seen[spec.EventClosed])
	if got := all["stop_duration_seconds count"] + all["rollback_duration_seconds count"]; got != releases {
		t.Fatalf("%v stops and rollbacks have a duration; there were %v", got, releases)
	}
	if got, want := all["stop_duration_seconds sum"]+all["rollback_duration_seconds sum"], took[fsm.Stopping].Seconds(); math.Abs(got-want) > 1e-6 {
		t.Fatalf("stops and rollbacks took %v s; want %v", got, want)
	}
	same("in_use", float64(s.InFlight))
	same("held_parts", float64(len(s.Held)))
	same("state "+map[fsm.State]string{fsm.Idle: "idle", fsm.Starting: "starting", fsm.Started: "started", fsm.Stopping: "stopping", fsm.Closed: "closed"}[s.State], 1)
}
