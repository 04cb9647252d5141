package lifecycle_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/trace"
)

// TestThreadsAreBehaviours runs random small programs on real goroutines, which
// nothing steps or orders, and places every step of each into a behaviour of the
// model. See docs/traces.md.
func TestThreadsAreBehaviours(t *testing.T) {
	total := 12000
	if testing.Short() {
		total = 1500
	}
	var sum trace.Tally
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(procs)
		for i := range total / 3 {
			tr, err := trace.Run(uint64(procs)<<32 | uint64(i))
			var v trace.Verdict
			if err == nil {
				v, err = tr.Check()
			}
			if err != nil {
				t.Fatal(keep(err))
			}
			sum.Add(tr, v)
		}
	}
	for _, c := range sum.Classes() {
		if c.Traces == 0 && !testing.Short() {
			t.Errorf("no trace shows %q: the check says nothing about it", c.Name)
		}
	}
	if !t.Failed() {
		fmt.Printf("CHECKED threads procs:1,2,8 %v\n", &sum)
	}
}

// TestThreadsControls corrupts traces, one thing in each, and requires that every
// one is refused.
func TestThreadsControls(t *testing.T) {
	runs := 2000
	if testing.Short() {
		runs = 200
	}
	made := make(map[string]int)
	for seed := range uint64(runs) {
		tr, err := trace.Run(seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range tr.Corruptions(rand.New(rand.NewPCG(seed, 0))) {
			made[c.Kind]++
			if value, _, of := strings.Cut(c.What, " in section "); of {
				made[value]++
			}
			if _, err := c.Check(); err == nil {
				t.Fatalf("accepted, although %s: %s (seed %d)", c.Kind, c.What, seed)
			}
		}
	}
	for _, kind := range []string{"dropped", "swapped", "altered"} {
		if made[kind] < runs/2 {
			t.Errorf("%d traces were %s, want at least %d", made[kind], kind, runs/2)
		}
	}
	for _, value := range []string{"due", "again", "restarts"} {
		if made[value] == 0 && !testing.Short() {
			t.Errorf("no trace was altered in what it has of %q", value)
		}
	}
	fmt.Printf("CHECKED threads controls dropped=%d swapped=%d altered=%d rejected=%d\n",
		made["dropped"], made["swapped"], made["altered"], made["dropped"]+made["swapped"]+made["altered"])
}

// keep is err and, where it has a trace, the file that the trace is kept in.
func keep(err error) string {
	var r *trace.Rejected
	if !errors.As(err, &r) {
		return err.Error()
	}
	dir := os.Getenv("SURESTART_TRACES")
	if dir == "" {
		dir = os.TempDir()
	}
	name := filepath.Join(dir, fmt.Sprintf("trace-%d.json", r.Trace.Seed))
	file, bad := os.Create(name)
	if bad != nil {
		return err.Error()
	}
	defer file.Close()
	if r.Trace.Write(file, err.Error()) != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v\nkept in %s: ./check replay %[2]s", err, name)
}
