package trace

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
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
func lifeInBubble(t *testing.T, seed uint64) (tr *Trace) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { tr = life(t, seed) })
	return tr
}

// Random lives of the shipped producer on the embedded broker, each of which must be a behaviour of
// the model. See docs/traces.md.
func TestTracesOnKfake(t *testing.T) {
	needsRoom(t)
	var mu sync.Mutex
	var sum Tally
	each(t, *lives, runtime.GOMAXPROCS(0), func(t *testing.T, seed uint64) bool {
		tr := lifeInBubble(t, seed)
		a, err := tr.Check()
		if err != nil {
			t.Error(err)
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		sum.Add(tr, a)
		return true
	})
	if missing := sum.Missing(); missing != nil && *lives >= 1000 {
		t.Errorf("no trace shows %v: the check says nothing about it", missing)
	}
	if !t.Failed() {
		fmt.Printf("CHECKED traces on=kfake %v\n", &sum)
	}
}

// The same on Apache Kafka, whose leader has one epoch for each partition and id, and takes any first
// sequence number.
func TestTracesOnKafka(t *testing.T) {
	needsRoom(t)
	if testing.Short() {
		t.Skip("-short: not on Apache Kafka")
	}
	b := testbroker.Real(t)
	var mu sync.Mutex
	var sum Tally
	each(t, *onKafka, 8, func(t *testing.T, seed uint64) bool { // they wait for most of their time

		tr := lifeOnKafka(t, b, seed)

		a, err := tr.Check()
		if err != nil {
			t.Error(err)
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		sum.Add(tr, a)
		return true
	})
	if !t.Failed() {
		fmt.Printf("CHECKED traces on=kafka %v\n", &sum)
	}
}

// Traces with one thing wrong: each must be refused.
func TestTracesControls(t *testing.T) {
	needsRoom(t)
	var mu sync.Mutex
	made, rejected := make(map[string]int), 0
	n := max(*lives/4, 10)
	each(t, n, runtime.GOMAXPROCS(0), func(t *testing.T, seed uint64) bool {
		tr := lifeInBubble(t, seed)
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
			made[c.Kind]++
			rejected++
			mu.Unlock()
		}
		return true
	})
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(made)) {
		kinds = append(kinds, fmt.Sprintf("%s=%d", kind, made[kind]))
	}
	if len(made) < len(Kinds) {
		t.Errorf("of the kinds %v there were %v", Kinds, made)
	}
	if !t.Failed() {
		fmt.Printf("CHECKED traces controls %s rejected=%d\n", strings.Join(kinds, " "), rejected)
	}
}
