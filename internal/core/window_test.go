package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A window behaves as a list of marks does, whatever its size at first: at every place, also around
// its ends.
func TestWindowIsAListOfMarks(t *testing.T) {
	done := make(chan error, 1)
	go func() { // a loop that never ends is noticed
		var err error
		for seed := uint64(0); seed < 40 && err == nil; seed++ {
			err = compareWindow(rand.New(rand.NewPCG(seed, 1)))
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a window does not come to an end")
	}
}

func compareWindow(r *rand.Rand) error {
	w := window{first: 1, end: 1}
	marks := []mark{gone} // of message m at m
	most := 8
	for range 300 {
		switch first := w.first; r.IntN(3) {
		case 0:
			n := 1 + r.IntN(10)
			if m := w.admit(n); int(m) != len(marks) {
				return fmt.Errorf("admitted as %d, want %d", m, len(marks))
			}
			marks = append(marks, slices.Repeat([]mark{open}, n)...)
		case 1:
			for m := w.first; m < w.end; m++ {
				if r.IntN(2) == 0 {
					marks[m] = mark(r.IntN(3))
					*w.at(m) = marks[m]
				}
			}
		case 2:
			w.trim()
			for ; first < w.end && marks[first] == gone; first++ {
			}
			if w.first != first {
				return fmt.Errorf("trimmed to %d, want %d", w.first, first)
			}
		}
		most = max(most, int(w.end-w.first))
		if int(w.end) != len(marks) || len(w.ring)&(len(w.ring)-1) != 0 || len(w.ring) > 2*most {
			return fmt.Errorf("%d to %d in a ring of %d, want an end of %d", w.first, w.end, len(w.ring), len(marks))
		}
		for m := w.first - 1; m <= w.end; m++ {
			for as := range mark(3) {
				if in := m >= w.first && m < w.end && marks[m] == as; len(w.ring) > 0 && w.has(m, as) != in {
					return fmt.Errorf("%d to %d: that %d is marked %d is %t", w.first, w.end, m, as, !in)
				}
			}
		}
		span := Message(r.IntN(int(w.end-w.first) + 1))
		var runs []Run
		var count [3]int
		for m := w.first; m < w.first+span; m++ {
			if count[marks[m]]++; marks[m] == gone {
				continue
			}
			if last := len(runs) - 1; last >= 0 && runs[last].Last+1 == m {
				runs[last].Last = m
			} else {
				runs = append(runs, Run{m, m})
			}
		}
		if got := w.runs(nil, span); !slices.Equal(got, runs) {
			return fmt.Errorf("runs %v, want %v", got, runs)
		}
		for as, n := range count {
			if got := w.count(span, mark(as)); got != n {
				return fmt.Errorf("%d are marked %d, want %d", got, as, n)
			}
		}
		if n := count[open] + count[decided]; n > 0 {
			if got, want := w.reach(n), runs[len(runs)-1].Last+1-w.first; got != want {
				return fmt.Errorf("the first %d reach %d, want %d", n, got, want)
			}
		} else if got := w.reach(0); got != 0 {
			return fmt.Errorf("none reaches %d", got)
		}
		if r.IntN(4) == 0 {
			w.drop(span)
			for m := w.first; m < w.end; m++ {
				if m < w.first+span && marks[m] == decided {
					marks[m] = gone
				}
				if got := *w.at(m); got != marks[m] {
					return fmt.Errorf("after a drop %d is marked %d, want %d", m, got, marks[m])
				}
			}
		}
	}
	return nil
}
