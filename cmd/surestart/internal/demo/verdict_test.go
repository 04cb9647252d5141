package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/spec"
)

func kept() Column {
	return Column{
		Opens: 1, Reopens: 2, StateAfter: true, Legal: true, Drained: true, CutOff: 1, InFlight: 1,
		HungEnded: true, HungTime: 1500, Messages: 1000, Acknowledged: 1000, Found: 1000,
	}
}

// Each thing that can be wrong is noticed, alone, with the guarantee that promises it.
func TestVerdictNamesTheGuarantee(t *testing.T) {
	if f := verdict(kept()); len(f) != 0 {
		t.Fatalf("everything was kept, and yet: %v", f)
	}
	for name, c := range map[string]struct {
		spoil     func(*Column)
		guarantee string
	}{
		"stuck":                 {func(c *Column) { c.Stuck = "why" }, g12},
		"two openings":          {func(c *Column) { c.Opens = 2 }, g1},
		"no opening":            {func(c *Column) { c.Opens = 0 }, g1},
		"reopened thrice":       {func(c *Column) { c.Reopens = 3 }, g1},
		"told early":            {func(c *Column) { c.ToldEarly = 1 }, g3},
		"denied":                {func(c *Column) { c.Denied = 1 }, g6},
		"not idle":              {func(c *Column) { c.StateAfter = false }, g4},
		"unknown transition":    {func(c *Column) { c.Legal = false }, "the table"},
		"not drained":           {func(c *Column) { c.Drained = false }, g9},
		"stop took too long":    {func(c *Column) { c.HungTime = 2001 }, g12},
		"stop did not return":   {func(c *Column) { c.HungEnded = false }, g12},
		"nothing was in flight": {func(c *Column) { c.InFlight = 0 }, g9},
		"nothing was cut off":   {func(c *Column) { c.CutOff = 0 }, g9},
		"connection left":       {func(c *Column) { c.Conns = 1 }, g7},
		"goroutine left":        {func(c *Column) { c.Goroutines = 1 }, g7},
		"not all acknowledged":  {func(c *Column) { c.Acknowledged = 999 }, g12},
		"one lost":              {func(c *Column) { c.Lost = 1 }, g9},
		"one twice":             {func(c *Column) { c.Duplicates = 1 }, d3},
	} {
		t.Run(name, func(t *testing.T) {
			col := kept()
			c.spoil(&col)
			f := verdict(col)
			if len(f) != 1 || f[0].Guarantee != c.guarantee {
				t.Errorf("verdict = %v; want one failure, of %s", f, c.guarantee)
			}
		})
	}
}

func TestJournalKnowsTheTable(t *testing.T) {
	legal := []fsm.Transition{
		{From: spec.Idle, To: spec.Starting, Event: spec.EventStart},
		{From: spec.Starting, To: spec.Started, Event: spec.EventOpened},
		{From: spec.Started, To: spec.Stopping, Event: spec.EventStop},
	}
	for name, c := range map[string]struct {
		seen  []fsm.Transition
		legal bool
	}{
		"as specified":      {legal, true},
		"one is missing":    {append(legal[:1:1], legal[2]), false},
		"not in the table":  {[]fsm.Transition{{From: spec.Idle, To: spec.Started, Event: spec.EventOpened}}, false},
		"other destination": {[]fsm.Transition{{From: spec.Idle, To: spec.Started, Event: spec.EventStart}}, false},
	} {
		j := newJournal(NewScreen(new(strings.Builder), false))
		for _, x := range c.seen {
			j.observe(x)
		}
		if j.legal != c.legal {
			t.Errorf("%s: legal = %t, want %t", name, j.legal, c.legal)
		}
	}
}

// fake is a system whose Start and WriteMessages are the test's.
type fake struct {
	start func(context.Context) error
	write func(context.Context, ...kafka.Message) error
}

func (f fake) Start(ctx context.Context) error { return f.start(ctx) }
func (f fake) WriteMessages(ctx context.Context, msgs ...kafka.Message) error {
	return f.write(ctx, msgs...)
}
func (f fake) Stop(context.Context) error     { return nil }
func (f fake) Shutdown(context.Context) error { return nil }

// Who is told "ok" while no broker has answered was told too early.
func TestCrowdCountsWhoWasToldTooEarly(t *testing.T) {
	g, err := newGate()
	if err != nil {
		t.Fatal(err)
	}
	s := storm{cl: &cluster{gates: map[string]*gate{g.address: g}}, key: keyMetadata}
	refusal := errors.New("no")
	var calls atomic.Int64
	sys := fake{start: func(ctx context.Context) error {
		switch n := calls.Add(1); {
		case n <= 3:
			return nil // too early
		case n <= 5:
			return refusal
		case n <= 7:
			<-ctx.Done()
			return context.Cause(ctx)
		}
		g.tally.answered[keyMetadata].Add(1)
		return nil
	}}
	o := crowd{n: 3, patience: always(time.Minute)}.call(t.Context(), sys, s.answered, nil)
	if o.ok != 3 || o.early != 3 {
		t.Errorf("%d told ok, %d too early; want 3, 3", o.ok, o.early)
	}
	o = crowd{n: 2, patience: always(time.Minute)}.call(t.Context(), sys, s.answered, nil)
	if o.failed != 2 || !errors.Is(o.err, refusal) {
		t.Errorf("%+v; want 2 failures", o)
	}
	o = crowd{n: 2, patience: always(time.Millisecond)}.call(t.Context(), sys, s.answered, nil)
	if o.gaveUp != 2 {
		t.Errorf("%+v; want 2 who gave up", o)
	}
	o = crowd{n: 1, patience: always(time.Minute)}.call(t.Context(), sys, s.answered, nil)
	if o.ok != 1 || o.early != 0 {
		t.Errorf("%+v; want one that was told ok in time", o)
	}
}

// What fails is sent again, what was acknowledged is not: by the call and by the message.
func TestLoadSendsAgainWhatFailed(t *testing.T) {
	copies := make(map[int]int)
	calls := 0
	sys := fake{write: func(_ context.Context, msgs ...kafka.Message) error {
		calls++
		if calls == 1 {
			return producer.ErrNotStarted
		}
		failures := make(kafka.WriteErrors, len(msgs))
		var err error
		for i, m := range msgs {
			n, _ := sequence("r", m.Value)
			if calls%20 == 0 && i%2 == 0 {
				failures[i], err = kafka.NotEnoughReplicas, failures
				continue
			}
			copies[n]++
		}
		return err
	}}
	l := newLoad(sys, "r", 1000)
	l.write(t.Context()) // one writer: the map is its own
	if n := int(l.count.Load()); n != 1000 {
		t.Errorf("%d acknowledged, want 1000", n)
	}
	for n := range 1000 {
		if copies[n] != 1 || !l.acked[n].Load() {
			t.Fatalf("message %d: sent %d times with success, acknowledged %t", n, copies[n], l.acked[n].Load())
		}
	}
	if l.refused.Load() == 0 {
		t.Error("nothing was refused: the test shows nothing")
	}
}

// What may have been delivered is not sent again if it is on the broker, and once if it is not.
func TestLoadLooksUpWhatMayHaveBeenDelivered(t *testing.T) {
	sent, calls := make(map[int]int), 0
	sys := fake{write: func(_ context.Context, msgs ...kafka.Message) error {
		calls++
		failures := make(kafka.WriteErrors, len(msgs))
		var err error
		for i, m := range msgs {
			n, _ := sequence("r", m.Value)
			if calls <= 10 && n%2 == 0 {
				failures[i], err = fmt.Errorf("cut: %w", producer.ErrMaybeDelivered), failures
				if n%4 != 0 {
					continue // it did not arrive
				}
			}
			sent[n]++
		}
		return err
	}}
	l := newLoad(sys, "r", 1000)
	for calls < 10 {
		ns, _, ctx := l.take()
		l.send(ctx, ns)
	}
	there := make(map[int]bool)
	for n := range sent {
		there[n] = true
	}
	unsure := l.unsure()
	asked, found := l.lookUp(there)
	if unsure == 0 || asked != unsure || found == 0 || found == asked || l.unsure() != 0 {
		t.Fatalf("%d may have been delivered, %d looked up, %d there, %d left", unsure, asked, found, l.unsure())
	}
	l.write(t.Context())
	for n := range 1000 {
		if sent[n] != 1 || !l.acked[n].Load() {
			t.Fatalf("message %d: on the broker %d times, acknowledged %t", n, sent[n], l.acked[n].Load())
		}
	}
}

// Where no message gets through the wait ends, and where some do it goes on.
func TestLoadNoticesAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		l := newLoad(fake{write: func(context.Context, ...kafka.Message) error {
			time.Sleep(time.Second)
			if calls++; calls > 100 {
				return producer.ErrNotStarted
			}
			return nil
		}}, "r", 1000)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); l.write(ctx) }()
		silent := func(int, bool) {}
		if !l.reach(t.Context(), 500, 5*time.Second, silent) {
			t.Error("gave up on a load that moves")
		}
		if l.reach(t.Context(), 1000, 5*time.Second, silent) || l.count.Load() != 500 {
			t.Errorf("%d acknowledged; want 500, and a stall", l.count.Load())
		}
		cancel()
		<-ended
	})
}

// A goroutine of a producer's is found, and a caller of the storm's is not one.
func TestGoroutinesFindsWhatIsLeft(t *testing.T) {
	before := goroutines()
	l := fsm.New(func(ctx context.Context, _ *fsm.Scope) (int, error) {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ours: it waits in fsm's code, and is no leak
		defer close(done)
		l.Start(ctx)
	}()
	if _, err := l.Wait(t.Context(), spec.Starting); err != nil {
		t.Fatal(err)
	}
	settle(t.Context(), 30*time.Second, func() bool { return goroutines() == before+1 })
	if n := goroutines() - before; n != 1 {
		t.Errorf("%d goroutines of the library while it opens, want its operation's", n)
	}
	cancel()
	<-done
	settle(t.Context(), 30*time.Second, func() bool { return goroutines() == before })
	if n := goroutines() - before; n != 0 {
		t.Errorf("%d goroutines left", n)
	}
}

func TestConfigIsValidated(t *testing.T) {
	good := Config{Callers: 10, Messages: 1000}
	if err := good.Validate(); err != nil {
		t.Errorf("%+v: %v", good, err)
	}
	for _, bad := range []Config{
		{Callers: 9, Messages: 1000}, {Callers: 20_001, Messages: 1000}, {Callers: 10, Messages: 999}, {Callers: 10, Messages: 1000, Break: "everything"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}
