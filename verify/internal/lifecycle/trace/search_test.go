package trace

import (
	"math/rand/v2"
	"testing"
)

// Check places each step at once and for good; Search tries every order. They agree about runs of
// free goroutines, and about corruptions of them.
func TestCheckAgreesWithSearch(t *testing.T) {
	runs := 400
	if testing.Short() {
		runs = 60
	}
	compared := map[bool]int{}
	compare := func(tr *Trace, what string) {
		v, err := tr.Check()
		states, accepted := tr.Search(20000)
		if states == 0 || v.Torn > 0 {
			return
		}
		compared[accepted]++
		if accepted != (err == nil) {
			t.Errorf("seed %d %s: Search accepts: %v; Check: %v", tr.Seed, what, accepted, err)
		}
	}
	for seed := range uint64(runs) {
		tr, err := Run(seed)
		if err != nil {
			t.Fatal(err)
		}
		compare(tr, "")
		r := rand.New(rand.NewPCG(seed, 1))
		for _, c := range tr.Corruptions(r) {
			compare(c.Trace, c.Kind+" "+c.What)
		}
	}
	if compared[true] < runs/2 || compared[false] < runs {
		t.Errorf("compared %v of %d runs: too few are small enough", compared, runs)
	}
	t.Logf("accepted by both %d, refused by both %d", compared[true], compared[false])
}
