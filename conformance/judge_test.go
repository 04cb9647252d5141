package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// A right Start that waits for a rollback may find out at its end, and no sooner, that a Stop was called meanwhile. Without
// a Stop the same error is one of no attempt of its own.
func TestG6StartMayFindOutLateThatAStopWasCalled(t *testing.T) {
	running := history.Rest{Running: true, Leaves: true}
	before := history.History{
		{Kind: history.Call, Caller: 0, Call: abstract.InStart, Context: 1},
		{Kind: history.OpenBegun, Attempt: 1},
		{Kind: history.OpenReturns, Attempt: 1, Part: 1, Bad: true},
		{Kind: history.ReleaseBegun, Attempt: 1, Part: 1},
		{Kind: history.Quiet, Rest: running},
		{Kind: history.Call, Caller: 1, Call: abstract.InStart, Context: 2},
		{Kind: history.Quiet, Rest: running},
	}
	stop := history.History{
		{Kind: history.Call, Caller: 2, Call: abstract.InStop, Context: 3},
		{Kind: history.Quiet, Rest: running},
	}
	after := history.History{
		{Kind: history.ReleaseReturns, Attempt: 1, Part: 1},
		{Kind: history.Return, Caller: 0, Attempt: 1, Out: abstract.Result{Out: abstract.Failed}},
		{Kind: history.Return, Caller: 1, Out: abstract.Result{Out: history.Foreign}, May: history.OutsOf(abstract.Stopped, abstract.Closed, abstract.Failed)},
	}
	stopped := history.History{
		{Kind: history.Return, Caller: 2, Out: abstract.Result{Out: abstract.Ok}},
		{Kind: history.Quiet, Rest: history.Rest{Leaves: true}},
	}
	if f := judge(&outcome{history: slices.Concat(before, stop, after, stopped)}, nil); f != nil {
		t.Errorf("with a Stop: %v", f.Violation)
	}
	const why = "it makes no attempt of its own, and returns the failure of an earlier one"
	if f := judge(&outcome{history: slices.Concat(before, after)}, nil); f == nil || f.Guarantee.ID != "G5" || f.Why != why {
		t.Errorf("without: %v; want G5: %s", f, why)
	}
}

// A Stop that returns that there was nothing to stop may be seen to return it once the next attempt opens. It had to be true
// at some instant of the call.
func TestG8StopMayBeSeenToReturnLate(t *testing.T) {
	running := history.Rest{Running: true, Leaves: true}
	opened := history.History{
		{Kind: history.Call, Caller: 0, Call: abstract.InStart, Context: 1},
		{Kind: history.OpenBegun, Attempt: 1},
		{Kind: history.OpenReturns, Attempt: 1, Part: 1},
		{Kind: history.Return, Caller: 0, Out: abstract.Result{Out: abstract.Ok}},
		{Kind: history.Quiet, Rest: running},
	}
	first := history.History{
		{Kind: history.Call, Caller: 0, Call: abstract.InStop, Context: 2},
		{Kind: history.ReleaseBegun, Attempt: 1, Part: 1},
		{Kind: history.Quiet, Rest: running},
	}
	second := history.History{
		{Kind: history.Call, Caller: 1, Call: abstract.InStop, Context: 3},
		{Kind: history.Quiet, Rest: running},
	}
	start := history.History{
		{Kind: history.Call, Caller: 2, Call: abstract.InStart, Context: 4},
		{Kind: history.Quiet, Rest: running},
	}
	again := history.History{
		{Kind: history.ReleaseReturns, Attempt: 1, Part: 1},
		{Kind: history.Return, Caller: 0, Out: abstract.Result{Out: abstract.Ok}},
		{Kind: history.OpenBegun, Attempt: 2},
	}
	refused := history.History{
		{Kind: history.Return, Caller: 1, Out: abstract.Result{Out: history.Foreign}, Refusable: true, May: history.OutsOf(abstract.RelErr, abstract.Ctx, abstract.CutOff)},
		{Kind: history.Quiet, Rest: running},
	}
	if f := judge(&outcome{history: slices.Concat(opened, first, second, start, again, refused)}, nil); f != nil {
		t.Errorf("called while it was stopped: %v", f.Violation)
	}
	if f := judge(&outcome{history: slices.Concat(opened, first, start, again, second, refused)}, nil); f == nil || f.Guarantee.ID != "G8" {
		t.Errorf("called during the attempt that it has to cancel: %v; want G8", f)
	}
	if f := judge(&outcome{history: slices.Concat(opened, second, refused)}, nil); f == nil {
		t.Error("called while it was open all the time: not noticed")
	}
}

// randomLifecycle does random things, except hang or panic.
type randomLifecycle struct {
	*Hooks
	mu     sync.Mutex
	chance *rand.Rand
	n      int // what it has opened
	done   int // how much it has done: it comes to an end
}

func (r *randomLifecycle) IntN(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.chance.IntN(n)
}

func (r *randomLifecycle) tired() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	return r.done > 12
}

// part is the one to open next; then it is the one after it, or with by 0 the first again.
func (r *randomLifecycle) part(by int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.n
	r.n = (r.n + 1) * min(by, 1) % r.Parts()
	return was
}

func (r *randomLifecycle) any(ctx context.Context, what int) error {
	for range r.IntN(3) {
		if r.tired() {
			return nil
		}
		switch r.IntN(8) {
		case 0, 1, what, what + 1:
			r.OpenPart(ctx, r.part(1))
		case 2, 3, 4:
			r.ReleasePart(ctx, r.IntN(r.Parts()))
			r.part(0)
		case 5:
			go r.ReleasePart(ctx, 0)
		case 6:
			r.OnDeath(func(error) {})
		}
	}
	if err := context.Cause(ctx); err != nil && r.IntN(2) == 0 {
		return err
	}
	if r.IntN(3) == 0 {
		return errors.New("no")
	}
	return nil
}

func (r *randomLifecycle) Start(ctx context.Context) error { return r.any(ctx, 2) }
func (r *randomLifecycle) Stop(ctx context.Context) error  { return r.any(ctx, 4) }

func (r *randomLifecycle) Shutdown(ctx context.Context) error { return r.any(ctx, 4) }

func (r *randomLifecycle) Use(ctx context.Context, f func(context.Context) error) error {
	if r.IntN(2) == 0 {
		return r.any(ctx, 4)
	}
	return f(ctx)
}

// For every finding the suite prints a sentence about calls, opens and releases. The sentence
// mentions no contract and no model.
func TestWhyIsASentenceToActOn(t *testing.T) {
	said := map[string]int{}
	some := rand.New(rand.NewPCG(1, 2))
	all := sets()
	schedules := 3000
	if testing.Short() {
		schedules = 300
	}
	for range schedules {
		words := make([]uint32, 16)
		for i := range words {
			words[i] = some.Uint32()
		}
		seed := some.Uint64()
		f := play(t, Subject{
			New:          func(h *Hooks) Lifecycle { return &randomLifecycle{Hooks: h, chance: rand.New(rand.NewPCG(seed, 0))} },
			Capabilities: all[some.IntN(len(all))] &^ (RefusesReentry | ContainsPanics),
			Parts:        1 + some.IntN(2),
		}, nil, words)
		if f == nil {
			continue
		}
		said[f.Guarantee.ID+" "+strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return 'n'
			}
			return r
		}, f.Why)]++
		if f.Guarantee.ID == "" || len(f.Why) < 10 || strings.Contains(f.Why, "contract") || strings.Contains(f.Why, "the suite itself") {
			t.Errorf("%v: %q\n%v", f.Guarantee, f.Why, f.history)
		}
	}
	for _, why := range slices.Sorted(func(yield func(string) bool) {
		for why := range said {
			if !yield(why) {
				return
			}
		}
	}) {
		t.Logf("%4d %s", said[why], why)
	}
	if least := map[bool]int{true: 10, false: 20}[testing.Short()]; len(said) < least {
		t.Errorf("only %d sentences came up; want %d or more", len(said), least)
	}
	fmt.Printf("CHECKED conformance black box sentences=%d\n", len(said))
}

// slow opens in a goroutine of its own, one attempt at a time; its callers leave when their contexts end.
type slow struct {
	*Hooks
	token chan struct{} // full while an attempt runs
	while int           // Stops that came while one did
}

func (s *slow) Start(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.token <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	go func() {
		err := s.Open(ctx)
		if err == nil && ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), s.Release(context.Background()))
		}
		<-s.token
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *slow) Stop(ctx context.Context) error {
	s.while += len(s.token)
	return s.Shutdown(ctx)
}

// Shutdown waits for the attempt that runs.
func (s *slow) Shutdown(ctx context.Context) error {
	select {
	case s.token <- struct{}{}:
		<-s.token
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A queued Start whose own context ends after a Shutdown was called may return either error.
func TestG6StartMaySayThatItsContextHasEndedAfterAShutdown(t *testing.T) {
	f := play(t, Subject{
		New:          func(h *Hooks) Lifecycle { return &slow{Hooks: h, token: make(chan struct{}, 1)} },
		Capabilities: JoinsStarts | Retries | StopsStarts | HonoursContext | HonoursStopContext | Final,
	}, []move{{callStart, 0}, {endContext, 0}, {callStart, 0}, {callShutdown, 1}, {endContext, 1}, {endContext, 0}}, nil)
	if f != nil {
		t.Errorf("%v", f.Violation)
	}
}

// Without StopsStarts no Stop comes while an attempt runs whose caller has left.
func TestNoStopComesDuringAnAttemptThatWasLeft(t *testing.T) {
	for _, caps := range []Capability{0, StopsStarts} {
		var s *slow
		play(t, Subject{
			New: func(h *Hooks) Lifecycle {
				s = &slow{Hooks: h, token: make(chan struct{}, 1)}
				return s
			},
			Capabilities: Idempotent | HonoursContext | caps,
		}, []move{{callStart, 0}, {endContext, 0}, {callStop, 0}, {openReturns, 0}}, nil)
		if want := map[Capability]int{0: 0, StopsStarts: 1}[caps]; s.while != want {
			t.Errorf("with %v: %d Stops during the attempt; want %d", caps, s.while, want)
		}
	}
}

// shared opens once for all who call, on the first caller's context.
type shared struct {
	*Hooks
	mu   sync.Mutex
	done chan struct{}
	err  error
}

func (s *shared) Start(ctx context.Context) error {
	s.mu.Lock()
	if s.done == nil {
		s.done = make(chan struct{})
		go func() {
			s.err = s.Open(ctx)
			close(s.done)
		}()
	}
	done := s.done
	s.mu.Unlock()
	select {
	case <-done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *shared) Stop(ctx context.Context) error { return s.Release(ctx) }

// A start that is cancelled with the first caller's context breaks G6 for the others, however it
// then ends. A Start in a queue, whose turn comes after that one, is not cancelled.
func TestG6OpenIsCancelledUnderAnotherCaller(t *testing.T) {
	for _, c := range []struct {
		name string
		new  func(*Hooks) Lifecycle
		end  act
		why  string // it breaks G6; "": it does not
	}{
		{"and opens", func(h *Hooks) Lifecycle { return &shared{Hooks: h} }, openReturns,
			"another caller left, and the context of the open ended although this caller waited for it"},
		{"and fails", func(h *Hooks) Lifecycle { return &shared{Hooks: h} }, openFails,
			"it returns the cause of another caller's context"},
		{"in a queue", func(h *Hooks) Lifecycle { return &slow{Hooks: h, token: make(chan struct{}, 1)} }, openFails, ""},
	} {
		f := play(t, Subject{New: c.new, Capabilities: JoinsStarts | Retries | HonoursContext | CancelsOpen},
			[]move{{callStart, 0}, {callStart, 1}, {endContext, 0}, {c.end, 0}, {openFails, 0}}, nil)
		if c.why == "" && f != nil {
			t.Errorf("%s: %v", c.name, f)
		} else if c.why != "" && (f == nil || f.Guarantee.ID != "G6" || f.Why != c.why) {
			t.Errorf("%s: %v; want G6: %s", c.name, f, c.why)
		}
	}
}
