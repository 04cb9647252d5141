package conformance

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/internal/history"
	"github.com/seed3893aba4/surestart/spec"
)

// Test measures which guarantees the subject has, and returns the scorecard. It fails t for
// each guarantee that a schedule breaks, and for each one that is offered and was not
// reached. An invalid subject is fatal for t. Test blocks until all schedules have run,
// some seconds. It may be called in parallel tests.
func Test(t *testing.T, s Subject) *Scorecard {
	t.Helper()
	card := Measure(t, s)
	t.Logf("\n%v", card)
	for _, r := range card.Rows {
		switch r.Verdict {
		case No:
			t.Errorf("%s %s is broken: %s", r.ID, r.Name, r.Why)
		case NotReached:
			t.Errorf("%s %s is offered and was not reached: %s", r.ID, r.Name, r.Why)
		}
	}
	return card
}

// Measure is Test without the judgement: t fails only if nothing can be measured.
func Measure(t *testing.T, s Subject) *Scorecard {
	t.Helper()
	if err := s.check(); err != nil {
		t.Fatalf("conformance: %v", err)
	}
	number := count(t)
	if os.Getenv(childEnv) != "" {
		if os.Getenv(childEnv) == fmt.Sprintf("%d %s", number, t.Name()) {
			serve(t, s)
		}
		return &Scorecard{}
	}
	n := s.Schedules
	if n == 0 {
		if n = 2000; testing.Short() {
			n = 500
		}
	}
	d := &driver{test: t.Name(), number: number, caps: s.Capabilities, waits: 2*s.Patience + time.Minute}
	defer d.close()
	e := explore(t, d, n)
	if e.err != nil {
		t.Fatalf("conformance: %v", e.err)
	}
	card := e.scorecard(t.Name(), s)
	if err := report(card); err != nil {
		t.Errorf("conformance: -conformance.report: %v", err)
	}
	return card
}

var counts struct {
	sync.Mutex
	of map[*testing.T]int
}

// count numbers the calls of Test within one test. A test that is run again, as with
// -count, begins at 1 again.
func count(t *testing.T) int {
	counts.Lock()
	defer counts.Unlock()
	if counts.of == nil {
		counts.of = map[*testing.T]int{}
	}
	if counts.of[t] == 0 {
		t.Cleanup(func() {
			counts.Lock()
			defer counts.Unlock()
			delete(counts.of, t)
		})
	}
	counts.of[t]++
	return counts.of[t]
}

// exploration holds the results of the schedules so far.
type exploration struct {
	d       *driver
	reached map[string]int // how many schedules reached a guarantee's premise
	broken  map[string]*finding
	err     error
	cut     bool // ended early: too many processes were lost
}

// finding is a schedule that breaks a guarantee.
type finding struct {
	*outcome
	*history.Violation
	moves      []move // up to the one that breaks it
	reproduced int    // how many of 3 more runs broke it, too
}

// mostStarts is the number of child processes after which no more schedules are run.
const mostStarts = 100

// mostSpun is the number of schedules that were never quiet after which no more are run.
const mostSpun = 3

// quietTB suppresses rapid's log of how many schedules passed.
type quietTB struct{ testing.TB }

func (quietTB) Logf(string, ...any) {}

func explore(t testing.TB, d *driver, n int) *exploration {
	e := &exploration{d: d, reached: map[string]int{}, broken: map[string]*finding{}}
	words := rapid.SliceOfN(rapid.Uint32(), 4, 24)
	for !e.enough(n) {
		rapid.Check(quietTB{t}, func(rt *rapid.T) {
			for range (n + 99) / 100 {
				if e.enough(n) {
					return
				}
				drawn := words.Draw(rt, "words")
				for i := range drawn {
					drawn[i] = mix(drawn[i] + uint32(i)) // rapid prefers small numbers
				}
				e.err = e.add(d.run(nil, drawn))
				e.cut = d.starts > mostStarts || d.spun >= mostSpun
			}
		})
	}
	for id, f := range e.broken {
		if e.err == nil {
			e.broken[id], e.err = e.minimise(f)
		}
	}
	return e
}

// enough reports whether n schedules have been run, or 2n if an offered guarantee was not
// reached.
func (e *exploration) enough(n int) bool {
	if e.cut || e.err != nil || e.d.runs >= 2*n {
		return true
	}
	return e.d.runs >= n && !slices.ContainsFunc(spec.Guarantees(), func(g spec.Guarantee) bool {
		return e.reached[g.ID] == 0 && e.broken[g.ID] == nil && e.d.caps.has(offered[g.ID])
	})
}

func mix(x uint32) uint32 {
	x = (x ^ x>>16) * 0x7feb352d
	x = (x ^ x>>15) * 0x846ca68b
	return x ^ x>>16
}

func (e *exploration) add(o *outcome, err error) error {
	if err != nil {
		return err
	}
	f := judge(o, e.reached)
	if f == nil {
		return nil
	}
	id := f.Guarantee.ID
	if was := e.broken[id]; was == nil || len(f.moves) < len(was.moves) {
		e.broken[id] = f
	}
	return nil
}

// judge checks a schedule against the contract.
func judge(o *outcome, reached map[string]int) *finding {
	var v *history.Violation
	if !errors.As(followed(o.history, reached), &v) {
		return nil
	}
	f := &finding{outcome: o, Violation: v}
	for i, m := range o.moves {
		if o.at[i] <= v.At {
			f.moves = append(f.moves, m)
		}
	}
	return f
}
