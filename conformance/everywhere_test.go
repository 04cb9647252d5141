package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// leaking is a lifecycle with all methods whose Stop calls stop and returns nil.
type leaking struct {
	*Hooks
	stop    func(*leaking)
	started bool
}

func (l *leaking) Start(ctx context.Context) error {
	for i := range l.Parts() {
		if err := l.OpenPart(ctx, i); err != nil {
			return err
		}
	}
	l.started = true
	return nil
}

func (l *leaking) Stop(context.Context) error {
	l.started = false
	l.stop(l)
	return nil
}

func (l *leaking) Shutdown(ctx context.Context) error { return l.Stop(ctx) }

func (l *leaking) Use(ctx context.Context, f func(context.Context) error) error { return f(ctx) }

func (l *leaking) release(from int) {
	for i := l.Parts() - 1; i >= from; i-- {
		l.ReleasePart(context.Background(), i)
	}
}

var leaks = []struct {
	name string
	stop func(*leaking)
}{
	{"does nothing", func(l *leaking) { l.started = true }},
	{"forgets", func(*leaking) {}},
	{"in the background", func(l *leaking) { go l.release(0) }},
	{"later", func(l *leaking) { time.AfterFunc(time.Hour, func() { l.release(0) }) }},
	{"all but one", func(l *leaking) { l.release(1) }},
}

// play runs a schedule in this process, and judges it.
func play(t *testing.T, s Subject, moves []move, words []uint32) *finding {
	t.Helper()
	var said bytes.Buffer
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, subject: s, out: json.NewEncoder(&said)}
	synctest.Test(t, func(*testing.T) {
		c.schedule(request{Moves: moves, Words: words, Caps: s.Capabilities}, &bubble{goroutines()[0].bubble, &c.waits})
	})
	o := &outcome{}
	for in := json.NewDecoder(&said); in.More(); {
		var l line
		if err := in.Decode(&l); err != nil {
			t.Fatal(err)
		}
		switch {
		case l.Move != nil:
			o.moves, o.at = append(o.moves, *l.Move), append(o.at, len(o.history))
		case l.Event != nil:
			o.history = append(o.history, *l.Event)
		}
	}
	return judge(o, nil)
}

// sets are all sets of capabilities that exclude none of their own.
func sets() (all []Capability) {
	for c := range Capability(1) << numCapabilities {
		if !c.has(Idempotent | ErrorsOnRepeat) {
			all = append(all, c)
		}
	}
	return all
}

// A Stop that returns nil while something is held breaks G7 NoLeak with each of the 49,152 sets of
// capabilities. One in 101 is tried, with each of the leaks, and one in 499 with -short.
func TestG7StopThatLeavesSomethingHeldIsANoWithAnySet(t *testing.T) {
	tried, each := 0, 101
	if testing.Short() {
		each = 499
	}
	for i, caps := range sets() {
		if i%each != 0 {
			continue
		}
		for _, leak := range leaks {
			f := play(t, Subject{
				New:          func(h *Hooks) Lifecycle { return &leaking{Hooks: h, stop: leak.stop} },
				Capabilities: caps,
				Parts:        2,
			}, []move{{callStart, 0}, {openReturns, 0}, {openReturns, 0}, {callStop, 0}}, nil)
			if f == nil || f.Guarantee.ID != "G7" || !strings.HasPrefix(f.Why, "Stop returns nil, and ") {
				t.Fatalf("%s, with %v: %v; want G7", leak.name, caps, f)
			}
			tried++
		}
	}
	fmt.Printf("CHECKED conformance black box Stops that leave something held, judged=%d\n", tried)
}

// Goroutines that remain after the end of a schedule are judged, whatever is declared.
func TestG7LeftWhenAScheduleHasBeenWoundUp(t *testing.T) {
	open := history.History{
		{Kind: history.Call, Call: abstract.InStart, Context: 1},
		{Kind: history.OpenBegun, Attempt: 1},
		{Kind: history.OpenReturns, Attempt: 1, Part: 2},
		{Kind: history.Return, Out: abstract.Result{Out: abstract.Ok}},
	}
	for _, c := range []struct {
		before history.History
		left   history.Event
		breaks string
		why    string
	}{
		{open, history.Event{}, "G7", "every call has returned, Stop was called last, and 2 parts are still held"},
		{nil, history.Event{Part: 1}, "G7", "every call has returned, nothing is held, and a goroutine is left"},
		{nil, history.Event{Part: 3}, "G7", "every call has returned, nothing is held, and 3 goroutines are left"},
		{nil, history.Event{Bad: true}, "G12", "no call has been made for many steps, and it still opens or releases"},
		{nil, history.Event{}, "", ""},
	} {
		c.left.Kind = history.Left
		f := judge(&outcome{history: append(slices.Clone(c.before), c.left)}, nil)
		switch {
		case f == nil && c.breaks != "", f != nil && (f.Guarantee.ID != c.breaks || f.Why != c.why):
			t.Errorf("after %v: %v; want %s: %s", c.left, f, c.breaks, c.why)
		}
	}
}
