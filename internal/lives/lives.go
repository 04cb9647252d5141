// Package lives leads random lives of a lifecycle, and keeps a book of what happened:
// what whoever watches one must have seen too. It is for the tests of metrics.
package lives

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// Parts are those of the resource, in the order in which they are acquired.
var Parts = []string{"a", "b"}

// A Book is what happened in a life. It is made of plain observers, and of what open saw.
type Book struct {
	Lifecycle *fsm.Lifecycle[int]

	mu       sync.Mutex
	seen     map[spec.Row]int
	took     map[fsm.State]time.Duration // in Starting if it came up, in Stopping
	retries  map[string]int              // by part
	again    int                         // tries made after one of these
	releases int                         // that failed
	ended    map[uint64]time.Time        // when an attempt was no longer Starting
	acquired []*acquired
}

// acquired is the acquiring of a part, and the attempt that it was of.
type acquired struct {
	part     string
	named    bool // by Scope.Part; if not, it begins when the one before has ended
	attempt  uint64
	from, to time.Time // to is zero while it goes on
}

// Transition implements fsm.Tracer.
func (b *Book) Transition(tr fsm.Transition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[spec.Row{Event: tr.Event, From: tr.From, To: tr.To}]++
	if tr.From == fsm.Stopping || tr.To == fsm.Started {
		b.took[tr.From] += tr.Took
	}
	if tr.From == fsm.Starting {
		b.ended[tr.Attempt] = tr.At
	}
}

// Step implements fsm.Tracer.
func (b *Book) Step(s fsm.Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.Kind == fsm.StepRetry:
		b.retries[s.Part]++
	case s.Kind == fsm.StepTryAgain:
		b.again++
	case s.Kind == fsm.StepReleased && s.Err != nil:
		b.releases++
	}
}

// Lead leads a life: Starts, Stops, uses, failures and retries as drawn, in the virtual
// time of the bubble that it must be called in. The options are the watcher's. check is
// called now and then, when nothing moves, and once more when it is closed.
func Lead(t *rapid.T, watch func(*fsm.Lifecycle[int]), check func(*Book), opts ...fsm.Option) *Book {
	b := &Book{
		seen: make(map[spec.Row]int), took: make(map[fsm.State]time.Duration),
		retries: make(map[string]int), ended: make(map[uint64]time.Time),
	}
	// What the hooks do is drawn before: they run on other goroutines.
	fate, next := rapid.SliceOfN(rapid.IntRange(0, 4), 97, 97).Draw(t, "fate"), new(atomic.Int64)
	draw := func() int { return fate[int(next.Add(1))%len(fate)] }
	b.Lifecycle = fsm.New(b.open(draw), append(opts, fsm.WithTracer(b), fsm.WithStartTimeout(10*time.Second),
		fsm.WithRetry(retries(draw)), fsm.WithLogger(slog.New(slog.DiscardHandler)))...)
	l := b.Lifecycle
	watch(l)
	var leases []fsm.Lease[int]
	defer func() { // whatever check says, nobody is left behind
		for i := range leases {
			leases[i].Release()
		}
		l.Shutdown(context.Background()) // waits for the end, which Close would not always
		time.Sleep(time.Minute)          // the last of the Stops
	}()
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		ctx, cancel := context.WithTimeout(context.Background(), rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "patience"))
		switch rapid.IntRange(0, 5).Draw(t, "step") {
		case 0, 1:
			l.Start(ctx)
		case 5: // a Stop comes meanwhile, and may be impatient
			patience := rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "stopper's patience")
			time.AfterFunc(time.Second, func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				l.Stop(ctx)
			})
			l.Start(ctx)
		case 2:
			l.Stop(ctx)
		case 3:
			if lease, err := l.Acquire(); err == nil {
				leases = append(leases, lease.Move())
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
			synctest.Wait()
			check(b)
		}
	}
	for i := range leases {
		leases[i].Release()
	}
	leases = nil
	l.Shutdown(context.Background())
	synctest.Wait()
	check(b)
	return b
}

// open takes its time, fails now and then, and begins no part when it is cancelled. It
// does not always say what it is about to acquire.
func (b *Book) open(draw func() int) func(context.Context, *fsm.Scope) (int, error) {
	return func(ctx context.Context, s *fsm.Scope) (int, error) {
		free := time.Now() // since it acquires nothing that has a name
		for _, part := range Parts {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			a := acquired{part: part, named: draw() > 0, attempt: b.Lifecycle.Status().Attempt, from: free}
			if a.named {
				a.from = time.Now()
				b.note(&a)
				s.Part(part)
			}
			time.Sleep(acquiringTakes[draw()])
			b.end(&a)
			if draw() == 0 {
				return 0, errors.New("boom")
			}
			if !a.named {
				b.note(&a)
			}
			s.Defer(part, func(context.Context) error {
				time.Sleep(time.Duration(draw()) * time.Second)
				if draw() == 0 {
					return errors.New("broken")
				}
				return nil
			})
			free = time.Now()
		}
		return 42, nil
	}
}

// acquiringTakes is no sum of the times that others wait: two things that happen at one
// instant have no order, and the book would have another than who watches.
var acquiringTakes = []time.Duration{7013 * time.Microsecond, 0, 1000029 * time.Microsecond, 1000047 * time.Microsecond, 20000083 * time.Microsecond}

// note puts the acquiring of a part into the book.
func (b *Book) note(a *acquired) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acquired = append(b.acquired, a)
}

func (b *Book) end(a *acquired) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.to = time.Now()
}

// retries is a Backoff that gives up one time in five.
type retries func() int

func (draw retries) Next(int, error) (time.Duration, bool) {
	d := draw()
	return time.Duration(d) * 700 * time.Millisecond, d > 0
}

// Attempts is how many began.
func (b *Book) Attempts() int {
	return b.seen[spec.Row{Event: spec.EventStart, From: spec.Idle, To: spec.Starting}]
}

// Stops is how often what had come up was released.
func (b *Book) Stops() int { return b.from(spec.Started) }

// Releases is how many releases of parts failed.
func (b *Book) Releases() int { return b.releases }

// Failures is how many attempts did not come up for a reason of their own: all but those
// that a Stop or Shutdown ended.
func (b *Book) Failures() (n int) {
	for _, e := range []spec.Event{spec.EventFailed, spec.EventTimeout, spec.EventAbandoned, spec.EventDied} {
		n += b.seen[spec.Row{Event: e, From: spec.Starting, To: spec.Stopping}]
	}
	return n
}

// from is how many transitions led out of a state.
func (b *Book) from(s fsm.State) (n int) {
	for row, times := range b.seen {
		if row.From == s {
			n += times
		}
	}
	return n
}

// Retries is how many tries failed and were to be made again.
func (b *Book) Retries() (n int) {
	for _, times := range b.retries {
		n += times
	}
	return n
}

// Tries is how many of these were made.
func (b *Book) Tries() int { return b.again }

// Transitions is how many there were.
func (b *Book) Transitions() (n int) {
	for _, times := range b.seen {
		n += times
	}
	return n
}

// Check compares the metrics with the book. The names are those of OpenTelemetry without
// their namespace, then the labels; of a histogram " count" and " sum".
func (b *Book) Check(t *rapid.T, metrics map[string]float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	same := func(id string, want float64) {
		t.Helper()
		if got := metrics[id]; math.Abs(got-want) > 1e-6 {
			t.Fatalf("%s is %v; want %v, of %v", id, got, want, b.seen)
		}
	}
	sum := func(ids ...string) (sum float64) {
		for _, id := range ids {
			sum += metrics[id]
		}
		return sum
	}
	for _, row := range spec.Table() {
		if row.From == spec.Starting {
			same("attempts "+row.Event.String(), float64(b.seen[row]))
		}
	}
	ended := b.from(spec.Starting)
	up := b.seen[spec.Row{Event: spec.EventOpened, From: spec.Starting, To: spec.Started}]
	same("start.duration count", float64(up))
	same("start.duration sum", b.took[fsm.Starting].Seconds())
	if begun := b.Attempts(); ended != begun {
		t.Fatalf("%v attempts have ended; %v began, and nothing moves", ended, begun)
	}
	// A start that is given up may not have come to its first part.
	if got := sum("start.failures ", "start.failures a", "start.failures b"); got != float64(ended-up) {
		t.Fatalf("%v failures by part; %v starts did not come up", got, ended-up)
	}
	for _, part := range append([]string{""}, Parts...) {
		same("start.retries "+part, float64(b.retries[part]))
	}
	for _, part := range Parts {
		same("part.duration "+part+" sum", b.acquiring(part).Seconds())
	}
	if got, want := sum("stop.duration count", "rollback.duration count"), b.from(spec.Stopping); got != float64(want) {
		t.Fatalf("%v stops and rollbacks have a duration; there were %v", got, want)
	}
	if got, want := sum("stop.duration sum", "rollback.duration sum"), b.took[fsm.Stopping].Seconds(); math.Abs(got-want) > 1e-6 {
		t.Fatalf("stops and rollbacks took %v s; want %v", got, want)
	}
	if got := sum("release.failures a", "release.failures b"); got != float64(b.releases) {
		t.Fatalf("%v releases failed; want %v", got, b.releases)
	}
	same("deaths", float64(b.seen[spec.Row{Event: spec.EventDied, From: spec.Started, To: spec.Stopping}]))
	s := b.Lifecycle.Status()
	same("in_use", float64(s.InFlight))
	same("held_parts", float64(len(s.Held)))
	same("undelivered", float64(s.Undelivered))
	same("state "+strings.ToLower(s.State.String()), 1)
}

// acquiring is how long the acquiring of a part took of all attempts: each until it was
// no longer Starting, and what had no name by then is not known.
func (b *Book) acquiring(part string) (sum time.Duration) {
	for _, a := range b.acquired {
		to, ended := a.to, b.ended[a.attempt]
		cut := to.IsZero() || !ended.IsZero() && ended.Before(to)
		if cut {
			to = ended
		}
		if a.part == part && (a.named || !cut) {
			sum += max(to.Sub(a.from), 0)
		}
	}
	return sum
}
