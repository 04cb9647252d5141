package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/linearize"
)

// corruption is one way to make a history wrong. at returns the events whose corruption no
// lifecycle could show, whatever else the history has. A reason is given for each, so that the
// check does not judge its own controls.
type corruption struct {
	kind, name string
	at         func(h history.History) []int
	apply      func(h history.History, i int) history.History
}

func where(ok func(h history.History, i int) bool) func(history.History) []int {
	return func(h history.History) (at []int) {
		for i := range h {
			if ok(h, i) {
				at = append(at, i)
			}
		}
		return at
	}
}

func is(kinds ...history.Kind) func(history.History) []int {
	return where(func(h history.History, i int) bool { return slices.Contains(kinds, h[i].Kind) })
}

// ends are the returns of calls of these kinds with this result.
func ends(out abstract.Out, calls ...abstract.Call) func(history.History) []int {
	return where(func(h history.History, i int) bool {
		return h[i].Kind == history.Return && h[i].Out.Out == out && slices.Contains(calls, called(h, i).Call)
	})
}

// called is the call that event i, a caller's, belongs to.
func called(h history.History, i int) history.Event {
	for j := i; ; j-- {
		if h[j].Kind == history.Call && h[j].Caller == h[i].Caller {
			return h[j]
		}
	}
}

func drop(h history.History, i int) history.History { return slices.Delete(slices.Clone(h), i, i+1) }

// moved takes event i to just after event j.
func moved(h history.History, i, j int) history.History {
	e := h[i]
	h = drop(h, i)
	if j > i {
		j--
	}
	return slices.Insert(h, j+1, e)
}

// alter changes event i.
func alter(change func(e *history.Event)) func(history.History, int) history.History {
	return func(h history.History, i int) history.History {
		h = slices.Clone(h)
		change(&h[i])
		return h
	}
}

func returning(out abstract.Out, n uint8) func(history.History, int) history.History {
	return alter(func(e *history.Event) { e.Out = abstract.Result{Out: out, N: n} })
}

// both are the events that both say.
func both(one, other func(history.History) []int) func(history.History) []int {
	return func(h history.History) (at []int) {
		right := other(h)
		for _, i := range one(h) {
			if slices.Contains(right, i) {
				at = append(at, i)
			}
		}
		return at
	}
}

// patient are the events of calls with a context that does not end.
var patient = where(func(h history.History, i int) bool {
	return h[i].Kind.OfCaller() && called(h, i).Context == 0
})

// only are the events of the kind whose context has no other.
func only(kind history.Kind) func(history.History) []int {
	return where(func(h history.History, i int) bool {
		same := where(func(h history.History, j int) bool { return h[j].Kind == kind && h[j].Context == h[i].Context })
		return h[i].Kind == kind && len(same(h)) == 1
	})
}

// needed are the ends of contexts that some call returned.
var needed = where(func(h history.History, i int) bool {
	return slices.ContainsFunc(ends(abstract.Ctx, abstract.InStart, abstract.InStop, abstract.InShut)(h), func(j int) bool {
		return called(h, j).Context == h[i].Context
	})
})

// none says that the history has no such event.
func none(of func(history.History) []int) func(history.History) []int {
	return where(func(h history.History, _ int) bool { return len(of(h)) == 0 })
}

func failing(kind history.Kind) func(history.History) []int {
	return where(func(h history.History, i int) bool { return h[i].Kind == kind && h[i].Bad })
}

// beforeShutdown are the events before the first Shutdown is called.
var beforeShutdown = where(func(h history.History, i int) bool {
	return !slices.ContainsFunc(h[:i], func(e history.Event) bool { return e.Kind == history.Call && e.Call == abstract.InShut })
})

var corruptions = []corruption{
	// Every history ends with a Shutdown that waits, so each open has returned and been released.
	{"dropped", "a call", is(history.Call), drop},
	{"dropped", "a return", where(func(h history.History, i int) bool { // and the caller calls again
		return h[i].Kind == history.Return && slices.ContainsFunc(h[i:], func(e history.Event) bool {
			return e.Kind == history.Call && e.Caller == h[i].Caller
		})
	}), drop},
	{"dropped", "an open's begin", is(history.OpenBegun), drop},
	{"dropped", "an open's return", is(history.OpenReturns), drop},
	{"dropped", "a release's begin", is(history.ReleaseBegun), drop},
	{"dropped", "a release's return", is(history.ReleaseReturns), drop},
	{"dropped", "a use's end", both(is(history.UseMayEnd), patient), drop}, // its return is without a cause
	{"dropped", "the end of a context that a call returned", both(only(history.ContextMayEnd), needed), drop},

	{"dropped", "the backoff's answer, before an attempt that only the restart can have begun", where(func(h history.History, i int) bool {
		if h[i].Kind != history.BackoffAnswers || h[i].Bad {
			return false
		}
		open := i + slices.IndexFunc(h[i:], func(e history.Event) bool { return e.Kind == history.OpenBegun })
		return open > i && !slices.ContainsFunc(h[:open], func(e history.Event) bool {
			return e.Kind == history.Call && (e.Call == abstract.InStop || e.Call == abstract.InShut)
		})
	}), drop},

	{"swapped", "a return and its call", is(history.Return), func(h history.History, i int) history.History {
		for j := i; ; j-- {
			if h[j].Kind == history.Call && h[j].Caller == h[i].Caller {
				return moved(h, i, j-1)
			}
		}
	}},
	{"swapped", "an open's begin, with the first Start's call", where(func(h history.History, i int) bool {
		return h[i].Kind == history.OpenBegun && h[i].Attempt == 1
	}), func(h history.History, i int) history.History { // an opening has a waiter
		return moved(h, i, slices.IndexFunc(h, func(e history.Event) bool { return e.Kind == history.Call && e.Call == abstract.InStart })-1)
	}},
	{"swapped", "a use admitted, with the first open's return", both(is(history.Admitted), patient), func(h history.History, i int) history.History {
		return moved(h, i, slices.IndexFunc(h, func(e history.Event) bool { return e.Kind == history.OpenReturns })-1)
	}},
	{"swapped", "a Start's nil, with the first open's return", ends(abstract.Ok, abstract.InStart), func(h history.History, i int) history.History {
		first := slices.IndexFunc(h, func(e history.Event) bool { return e.Kind == history.OpenReturns })
		return moved(h, i, first-1)
	}},
	{"swapped", "the last release, with the Shutdown that waited for it", where(func(h history.History, i int) bool {
		return h[i].Kind == history.ReleaseReturns && h[i].Part == 1 && i+2 == len(h)
	}), func(h history.History, i int) history.History { return moved(h, i, len(h)-1) }},
	{"swapped", "the releases of two parts", where(func(h history.History, i int) bool {
		return h[i].Kind == history.ReleaseBegun && h[i].Part > 1
	}), alter(func(e *history.Event) { e.Part-- })},

	{"altered", "nil, to the cause of a context that does not end",
		both(ends(abstract.Ok, abstract.InStart, abstract.InStop, abstract.InShut), patient), returning(abstract.Ctx, 0)},
	{"altered", "nil, to uses cut off by a context that does not end",
		both(ends(abstract.Ok, abstract.InStop, abstract.InShut), patient), returning(abstract.CutOff, 1)},
	{"altered", "nil, to a failed release where none failed",
		both(ends(abstract.Ok, abstract.InStop, abstract.InShut), none(failing(history.ReleaseReturns))), returning(abstract.RelErr, 0)},
	{"altered", "nil, to a failed start where nothing failed",
		both(ends(abstract.Ok, abstract.InStart), both(none(failing(history.OpenReturns)), none(is(history.FailCalled)))), returning(abstract.Failed, 0)},
	{"altered", "a failed start, to nil where every open failed",
		both(ends(abstract.Failed, abstract.InStart), none(where(func(h history.History, i int) bool {
			return h[i].Kind == history.OpenReturns && !h[i].Bad
		}))), returning(abstract.Ok, 0)},
	{"altered", "not started, to a use that ran", both(ends(abstract.NotStarted, abstract.InUse), patient), returning(abstract.Ok, 0)},
	{"altered", "a use that ran, to not started", where(func(h history.History, i int) bool {
		return h[i].Kind == history.Return && i > 0 && slices.ContainsFunc(h[:i], func(e history.Event) bool {
			return e.Kind == history.Admitted && e.Caller == h[i].Caller
		}) && admitted(h, i)
	}), returning(abstract.NotStarted, 0)},
	{"altered", "anything, to closed before a Shutdown was called", both(is(history.Return), beforeShutdown), returning(abstract.Closed, 0)},
	{"altered", "anything, to what no call may return", is(history.Return), returning(history.Foreign, 0)},
}

// admitted says whether the call that returns in event i was a use that ran.
func admitted(h history.History, i int) bool {
	for j := i - 1; h[j].Kind != history.Call || h[j].Caller != h[i].Caller; j-- {
		if h[j].Kind == history.Admitted && h[j].Caller == h[i].Caller {
			return true
		}
	}
	return false
}

// TestCorruptedHistoriesAreRejected: each kind of corruption is noticed. Random corruptions are
// made too. One that is accepted has to be legal after all; its run of the contract shows that,
// step by step.
func TestCorruptedHistoriesAreRejected(t *testing.T) {
	const most = 1500
	histories := most
	if testing.Short() {
		histories = 150
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	rejected, byKind, unlinearizable := map[string]int{}, map[string]int{}, map[string]int{}
	legal := 0
	untried := func(c corruption) bool { return rejected[c.name] == 0 }
	for n := 0; n < histories || n < most && slices.ContainsFunc(corruptions, untried); n++ {
		h := record(drawProgram(r))
		if w, err := history.Find(h); err != nil || w.Replay(h) != nil {
			t.Fatal(err, w.Replay(h))
		}
		for _, c := range corruptions {
			at := c.at(h)
			if len(at) == 0 {
				continue
			}
			bad := c.apply(h, at[r.IntN(len(at))])
			var v *history.Violation
			if err := history.Check(bad); !errors.As(err, &v) {
				t.Fatalf("%s: %s: accepted\n%v\nbefore:\n%v", c.kind, c.name, bad, h)
			} else if v.Guarantee.ID == "" {
				t.Fatalf("%s: %s: rejected without the guarantee's name\n%v", c.kind, c.name, err)
			}
			rejected[c.name]++
			byKind[c.kind]++
			if !linearize.Holds(bad) {
				unlinearizable[c.kind]++
			}
		}
		for _, kind := range []string{"dropped", "swapped", "altered"} {
			bad := random(r, kind, h)
			w, err := history.Find(bad)
			if checked := history.Check(bad); (checked == nil) != (err == nil) {
				t.Fatalf("one search says %v, the other %v\n%v", err, checked, bad)
			}
			switch {
			case err != nil:
				byKind[kind]++
			case w.Replay(bad) != nil:
				t.Fatalf("%s at random: accepted, and %v\n%v", kind, w.Replay(bad), bad)
			default:
				legal++
			}
		}
	}
	for _, c := range corruptions {
		if untried(c) {
			t.Errorf("%s: %s: there was no occasion to try it", c.kind, c.name)
		}
	}
	for _, kind := range []string{"dropped", "swapped", "altered"} {
		if unlinearizable[kind] == 0 {
			t.Errorf("%s: porcupine rejected none", kind)
		}
	}
	fmt.Printf("CHECKED histories-controls corruptions=%d dropped=%d swapped=%d altered=%d legal=%d porcupine=%d\n", len(corruptions),
		byKind["dropped"], byKind["swapped"], byKind["altered"], legal, unlinearizable["dropped"]+unlinearizable["swapped"]+unlinearizable["altered"])
}

// random corrupts h anywhere.
func random(r *rand.Rand, kind string, h history.History) history.History {
	h = slices.Clone(h)
	i, j := r.IntN(len(h)), r.IntN(len(h))
	switch kind {
	case "dropped":
		return drop(h, i)
	case "swapped":
		h[i], h[j] = h[j], h[i]
		return h
	}
	returns := is(history.Return)(h)
	h[returns[r.IntN(len(returns))]].Out = abstract.Result{Out: abstract.Ok + abstract.Out(r.IntN(int(abstract.RelErr)))}
	return h
}

// naive is the flag that most programs have (docs/why-a-flag-is-not-enough.md), atomic so that the
// race detector is content.
type naive struct {
	subject
	started atomic.Bool
	open    func() error
}

func (n *naive) Start(context.Context) error {
	if n.started.Load() {
		return nil
	}
	n.started.Store(true)
	return n.open()
}

func (n *naive) Stop(context.Context) error {
	n.started.Store(false)
	return nil
}

// TestNaiveHistoryIsRejected: two Starts at once are enough. The second returns
// nil while the first still opens: nothing is open, and G3 is broken.
func TestNaiveHistoryIsRejected(t *testing.T) {
	for _, first := range []bool{true, false} { // what the opening waits for: the second Start, or nothing
		r := newRecorder(program{opens: []hook{{}}})
		opening, second := make(chan struct{}), make(chan struct{})
		n := &naive{open: func() error {
			close(opening)
			if first {
				<-second
			}
			_, err := r.attempt(nil, nil)
			return err
		}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.do(n, 0, act{what: start})
		}()
		<-opening
		if !first {
			<-done
		}
		r.do(n, 1, act{what: start})
		close(second)
		<-done
		h := r.History()
		err := judge(h)
		var v *history.Violation
		switch {
		case !first && err != nil:
			t.Errorf("one after the other: %v", err)
		case first && (!errors.As(err, &v) || v.Guarantee.ID != "G3" || !strings.Contains(err.Error(), ".html")):
			t.Errorf("both at once: want G3 and a picture, got %v", err)
		}
	}
	fmt.Printf("CHECKED histories-controls naive=1\n")
}

var _ subject = (*fsm.Lifecycle[int])(nil)
