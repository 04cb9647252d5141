package lifecycle_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/seed3893aba4/surestart/internal/history"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/linearize"
)

// TestHistories runs goroutines freely on the shipped fsm, on 1, 2 and 8 processors, and checks
// each run from outside. It has to be a run of the contract (tla/Abstract.tla), and its calls have
// to be linearizable (G3).
func TestHistories(t *testing.T) {
	each := 5000
	if testing.Short() {
		each = 100
	}
	seed := rand.Uint64()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	histories, calls := 0, 0
	seen, ended := map[string]bool{}, map[string]bool{}
	for _, procs := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(procs)
		for range each {
			h := record(drawProgram(rand.New(rand.NewPCG(seed, uint64(histories)))))
			if err := judge(h); err != nil {
				t.Fatalf("program %d of seed %d on %d processors: %v", histories, seed, procs, err)
			}
			histories++
			calls += h.Calls()
			seen[h.String()] = true
			for i, e := range h {
				switch e.Kind {
				case history.Return:
					ended[fmt.Sprint(called(h, i).Call, " ", e.Out.Out)] = true
				case history.WasCut:
					ended["use cut"] = true
				case history.BackoffAnswers:
					ended[map[bool]string{false: "restart", true: "no restart"}[e.Bad]] = true
				}
			}
		}
	}
	// Every way in which a call can end was there, and the restarts: none is accepted for want of an occasion.
	for _, end := range []string{
		"start ok", "start ctx", "start failed", "start stopped", "start closed", "stop ok", "stop ctx", "stop relerr", "stop cut",
		"shut ok", "shut ctx", "shut relerr", "shut cut", "use ok", "use notstarted", "use closed", "use cut",
		"restart", "no restart",
	} {
		if !ended[end] && !testing.Short() {
			t.Errorf("in no history a call ended like this: %s", end)
		}
	}
	fmt.Printf("CHECKED histories histories=%d calls=%d distinct=%d ends=%d\n", histories, calls, len(seen), len(ended))
}

// record runs a program on the shipped fsm.
func record(p program) history.History {
	r := newRecorder(p)
	return r.run(r.shipped())
}

// judge returns what is wrong with h, with the guarantee's name and the path of the picture.
func judge(h history.History) error {
	err := history.Check(h)
	if err == nil && !linearize.Holds(h) {
		err = fmt.Errorf("G3 StartedIsOpen is broken: the calls are not linearizable\n%v", h)
	}
	if err == nil {
		return nil
	}
	name := "not-linearizable"
	var v *history.Violation
	if errors.As(err, &v) {
		name = v.Guarantee.ID
	}
	path, bad := linearize.Picture(h, os.Getenv("SURESTART_HISTORIES"), fmt.Sprintf("%s-%d", name, os.Getpid()))
	if bad != nil {
		path = bad.Error()
	}
	return fmt.Errorf("%w\nits picture: %s", err, path)
}
