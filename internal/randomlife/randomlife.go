// Package randomlife runs random calls on a lifecycle, and records what happened. Tests of
// metrics and traces compare their observations with that journal.
package randomlife

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

// Parts are the parts of the resource, in the order of acquiring.
var Parts = []string{"a", "b"}

// A Journal records what happened to a lifecycle, as a plain Tracer and open saw it.
type Journal struct {
	Lifecycle *fsm.Lifecycle[int]

	mu       sync.Mutex
	seen     map[spec.Row]int
	took     map[fsm.State]time.Duration // in Starting if it came up, in Stopping
	retries  map[string]int              // by part
	again    int                         // tries made after a failed one
	releases int                         // that failed
	ended    map[uint64]time.Time        // when an attempt was no longer Starting
	acquired []*acquired
}

// acquired is the acquiring of a part in an attempt.
type acquired struct {
	part     string
	named    bool // by Scope.Part; if not, it begins at the end of the one before
	attempt  uint64
	from, to time.Time // to is zero while it lasts
}

// Transition implements fsm.Tracer.
func (b *Journal) Transition(tr fsm.Transition) {
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
func (b *Journal) Step(s fsm.Step) {
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

// Run makes a lifecycle with opts and runs drawn Starts, Stops, uses, failures and retries,
// in the virtual time of the synctest bubble that it must be called in. It calls watch
// with the lifecycle first. It calls check at drawn moments when all goroutines are
// blocked, and at the end, when the lifecycle is closed.
func Run(t *rapid.T, watch func(*fsm.Lifecycle[int]), check func(*Journal), opts ...fsm.Option) *Journal {
	b := &Journal{
		seen: make(map[spec.Row]int), took: make(map[fsm.State]time.Duration),
		retries: make(map[string]int), ended: make(map[uint64]time.Time),
	}
	// What the hooks do is drawn in advance: they run in other goroutines.
	draws, next := rapid.SliceOfN(rapid.IntRange(0, 4), 97, 97).Draw(t, "draws"), new(atomic.Int64)
	draw := func() int { return draws[int(next.Add(1))%len(draws)] }
	b.Lifecycle = fsm.New(b.open(draw), append(opts, fsm.WithTracer(b), fsm.WithStartTimeout(10*time.Second),
		fsm.WithRetry(retries(draw)), fsm.WithLogger(slog.New(slog.DiscardHandler)))...)
	l := b.Lifecycle
	watch(l)
	var leases []fsm.Lease[int]
	defer func() { // also if check fails, no goroutine is left
		for i := range leases {
			leases[i].Release()
		}
		l.Shutdown(context.Background()) // waits for the end without a bound, unlike Close
		time.Sleep(time.Minute)          // until the last Stop has returned
	}()
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		ctx, cancel := context.WithTimeout(context.Background(), rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "patience"))
		switch rapid.IntRange(0, 5).Draw(t, "step") {
		case 0, 1:
			l.Start(ctx)
		case 5: // with a Stop during it, which may be forced
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
		if rapid.Bool().Draw(t, "quiet") {
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

// open returns a function for fsm.New that takes drawn times, fails sometimes, and acquires
// no more parts once it is cancelled. It does not always call Scope.Part.
func (b *Journal) open(draw func() int) func(context.Context, *fsm.Scope) (int, error) {
	return func(ctx context.Context, s *fsm.Scope) (int, error) {
		free := time.Now() // since then it acquires no named part
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

// acquiringTakes has no sum of the other times in it: two events at one instant have no
// order, and the journal could order them differently from the observers under test.
var acquiringTakes = []time.Duration{7013 * time.Microsecond, 0, 1000029 * time.Microsecond, 1000047 * time.Microsecond, 20000083 * time.Microsecond}

// note records the acquiring of a part.
func (b *Journal) note(a *acquired) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acquired = append(b.acquired, a)
}

func (b *Journal) end(a *acquired) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.to = time.Now()
}

// retries is a Backoff that gives up in one of five calls.
type retries func() int

func (draw retries) Next(int, error) (time.Duration, bool) {
	d := draw()
	return time.Duration(d) * 700 * time.Millisecond, d > 0
}

// Attempts returns how many attempts began.
func (b *Journal) Attempts() int {
	return b.seen[spec.Row{Event: spec.EventStart, From: spec.Idle, To: spec.Starting}]
}

// Stops returns how often an open resource was released.
func (b *Journal) Stops() int { return b.from(spec.Started) }

// Releases returns how many releases of parts failed.
func (b *Journal) Releases() int { return b.releases }

// Failures returns how many attempts failed, without those that a Stop or Shutdown ended.
func (b *Journal) Failures() (n int) {
	for _, e := range []spec.Event{spec.EventFailed, spec.EventTimeout, spec.EventAbandoned, spec.EventDied} {
		n += b.seen[spec.Row{Event: e, From: spec.Starting, To: spec.Stopping}]
	}
	return n
}

// from returns how many transitions led out of a state.
func (b *Journal) from(s fsm.State) (n int) {
	for row, times := range b.seen {
		if row.From == s {
			n += times
		}
	}
	return n
}

// Retries returns how many tries failed and were to be repeated.
func (b *Journal) Retries() (n int) {
	for _, times := range b.retries {
		n += times
	}
	return n
}

// Tries returns how many of these repetitions were made.
func (b *Journal) Tries() int { return b.again }

// Transitions returns the number of transitions.
func (b *Journal) Transitions() (n int) {
	for _, times := range b.seen {
		n += times
	}
	return n
}

// Check compares metrics with the journal. A key is the name in OpenTelemetry without its
// namespace, then the labels; a histogram has the keys " count" and " sum".
func (b *Journal) Check(t *rapid.T, metrics map[string]float64) {
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
	// A start that is abandoned may not have reached its first part.
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

// acquiring returns the time that the acquiring of a part took in all attempts, each up to
// the end of its Starting. A part without a name by then is not counted.
func (b *Journal) acquiring(part string) (sum time.Duration) {
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
