package trace

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/seed3893aba4/surestart/internal/testbroker"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

var (
	lives   = flag.Int("traces.lives", 60, "how many lives on the embedded broker are traced")
	onKafka = flag.Int("traces.kafka", 24, "how many on Apache Kafka")
	from    = flag.Uint64("traces.from", 0, "the first seed")
)

// needsRoom skips a test where a State cannot hold a trace.
func needsRoom(t *testing.T) {
	t.Helper()
	if model.Capacity < 64 {
		t.Skip("a State has room for a trace with -tags=traces only")
	}
}

// enough is how many failures do.
const enough = 8

// each calls f with every seed, as many at a time as there are workers, until enough have failed.
func each(t *testing.T, n, workers int, f func(t *testing.T, seed uint64) bool) {
	var next, failed atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for w := range workers {
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				t.Parallel()
				for {
					i := next.Add(1) - 1
					if i >= int64(n) || failed.Load() > enough {
						return
					}
					if !f(t, *from+uint64(i)) {
						t.Fail()
						failed.Add(1)
					}
				}
			})
		}
	})
}

// lifeInBubble is life, from outside of its bubble.
func lifeInBubble(t *testing.T, seed uint64, most int) (tr *Trace) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { tr = life(t, seed, most) })
	return tr
}

// sums are tallies, by mode.
type sums struct {
	mu sync.Mutex
	of map[Mode]*Tally
}

// check decides a trace, and counts it.
func (s *sums) check(t *testing.T, tr *Trace) bool {
	a, err := tr.Check()
	if err != nil {
		t.Error(err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = make(map[Mode]*Tally)
	}
	if s.of[tr.Mode] == nil {
		s.of[tr.Mode] = new(Tally)
	}
	s.of[tr.Mode].Add(tr, a)
	return true
}

// report prints the tallies, where there is nothing wrong.
func (s *sums) report(t *testing.T, on string) {
	for _, m := range Modes {
		if y := s.of[m]; y != nil && !t.Failed() {
			fmt.Printf("CHECKED traces on=%s mode=%s %v\n", on, m.Name, y)
		}
	}
}

// Random lives of the shipped producer on the embedded brokers, in every mode, each of which must be
// a behaviour of the model. See docs/traces.md.
func TestTracesOnKfake(t *testing.T) {
	needsRoom(t)
	var s sums
	each(t, *lives, runtime.GOMAXPROCS(0), func(t *testing.T, seed uint64) bool {
		return s.check(t, lifeInBubble(t, seed, model.Capacity))
	})
	for _, m := range Modes {
		y := s.of[m]
		switch {
		case y == nil:
			if *lives >= 7 && !t.Failed() {
				t.Errorf("%s: there is no trace", m.Name)
			}
		case *lives >= 1000:
			if missing := y.Missing(m); missing != nil {
				t.Errorf("%s: no trace shows %v: the check says nothing about it", m.Name, missing)
			}
		case *lives >= 60 && (y.moves == 0 || m == None && y.classes[showsHandedOver] == 0):
			t.Errorf("%s: no leader was changed, or no message handed over: %v", m.Name, y)
		}
	}
	s.report(t, "kfake")
}

// The same on Apache Kafka, whose leader has one epoch for each partition and id, and takes any first
// sequence number.
func TestTracesOnKafka(t *testing.T) {
	needsRoom(t)
	if testing.Short() {
		t.Skip("-short: not on Apache Kafka")
	}
	b := testbroker.Real(t)
	var s sums
	each(t, *onKafka, 8, func(t *testing.T, seed uint64) bool { // they wait for most of their time
		return s.check(t, lifeOnKafka(t, b, seed, model.Capacity, nil))
	})
	if y := s.of[None]; *onKafka >= 24 && !t.Failed() && (y == nil || y.classes[showsHandedOver] == 0) {
		t.Errorf("no message was handed over: %v", y)
	}
	s.report(t, "kafka")

	var j secondJudge
	each(t, 7, 7, func(t *testing.T, seed uint64) bool {
		tr := lifeOnKafka(t, b, seed, short, nil)
		if _, err := tr.Check(); err != nil {
			t.Error(err)
			return false
		}
		j.add(tr, seed)
		return true
	})
	j.ask(t, "kafka")
}

// Traces with one thing wrong: each must be refused.
func TestTracesControls(t *testing.T) {
	needsRoom(t)
	var mu sync.Mutex
	type kind struct{ mode, of string }
	made, rejected := make(map[kind]int), 0
	n := max(*lives/4, 28)
	each(t, n, runtime.GOMAXPROCS(0), func(t *testing.T, seed uint64) bool {
		tr := lifeInBubble(t, seed, model.Capacity)
		if _, err := tr.Check(); err != nil {
			t.Error(err)
			return false
		}
		for _, c := range tr.Corruptions(rand.New(rand.NewPCG(seed, 3))) {
			_, err := c.Check()
			if err == nil {
				t.Errorf("accepted: %s", c.Name)
			}
			mu.Lock()
			made[kind{tr.Mode.Name, c.Kind}]++
			rejected++
			mu.Unlock()
		}
		return true
	})
	for _, m := range Modes {
		var counts []string
		for _, of := range Kinds {
			count := made[kind{m.Name, of}]
			if counts = append(counts, fmt.Sprintf("%s=%d", of, count)); count == 0 && (m != None || of != "answer") {
				t.Errorf("%s: there is none of the kind %s", m.Name, of)
			}
		}
		if !t.Failed() {
			fmt.Printf("CHECKED traces controls mode=%s %s\n", m.Name, strings.Join(counts, " "))
		}
	}
	if !t.Failed() {
		fmt.Printf("CHECKED traces controls rejected=%d\n", rejected)
	}
}
