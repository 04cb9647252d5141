package lifecycle_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/spec"
)

// FuzzSchedule is TestScheduleEqualsModel with a fuzzer in the place of chance:
// every input is a schedule, and what makes the code run where no input did before
// is kept and altered. Without -fuzz it runs the seed corpus. See docs/schedules.md.
func FuzzSchedule(f *testing.F) {
	f.Fuzz(func(t *testing.T, input []byte) {
		watched(t, func(at *position) {
			err := playInput(t, input, at, nil)
			if err == nil {
				return
			}
			if err = smallest(at, err); isWorker() { // the fuzzer makes the input smaller, run after run
				t.Fatal(err)
			}
			t.Fatal(saved(err))
		})
	})
}

// playInput plays the schedule that input is.
func playInput(t *testing.T, input []byte, at *position, seen *coverage) (err error) {
	// Drawn as one value: rapid writes a line to the log for each that a fuzz
	// target draws, which takes longer than the step.
	one := rapid.Custom(func(t *rapid.T) bool {
		err = play(&words{t: t}, at, seen)
		return true
	})
	if len(input) == 0 { // rapid wants a value to have something in it
		input = []byte{0}
	}
	rapid.MakeFuzz(func(t *rapid.T) { one.Draw(t, "schedule") })(t, input)
	return err
}

// isWorker reports whether this process runs inputs for a fuzzer.
func isWorker() bool {
	f := flag.Lookup("test.fuzzworker")
	return f != nil && f.Value.String() == "true"
}

// The seed corpus is the files of two digits. An input that failed has another
// name, and stays beside it as a test of its own.
const corpus = "testdata/fuzz/FuzzSchedule/"

func drawn(t *testing.T) []string {
	files, err := filepath.Glob(corpus + "[0-9][0-9]")
	if err != nil {
		t.Fatal(err)
	}
	return files // in order
}

// TestFuzzCorpus shows that the seed corpus alone takes every action, and has each guard decide
// both ways. No file is superfluous: each takes steps of a class that no file before it has.
// SURESTART_CORPUS=N draws the corpus anew.
func TestFuzzCorpus(t *testing.T) {
	if draws := os.Getenv("SURESTART_CORPUS"); draws != "" {
		n, err := strconv.Atoi(draws)
		if err != nil {
			t.Fatal(err)
		}
		drawCorpus(t, n)
	}
	files := drawn(t)
	if len(files) < 20 {
		t.Fatalf("%d files in %s, want some tens", len(files), corpus)
	}
	all := newCoverage()
	for _, file := range files {
		input, err := readInput(file)
		if err != nil {
			t.Fatal(err)
		}
		known := len(all.classes)
		if err := covers(t, input, all); err != nil {
			t.Fatal(err)
		}
		if len(all.classes) == known {
			t.Errorf("%s has nothing that those before it have not", file)
		}
	}
	for _, a := range spec.Actions() {
		if all.actions[a] == 0 {
			t.Errorf("the seed corpus never takes %v", a)
		}
	}
	exists := modelled()
	for _, name := range (exists.guards &^ all.guards).Names() {
		t.Errorf("the seed corpus has no step that depends on %s", name)
	}
	if testing.Verbose() {
		fmt.Print(all.details(exists))
	}
	fmt.Printf("CHECKED conformance fuzz-corpus files=%d steps=%d %v\n", len(files), all.steps, all.against(exists))
}

// covers plays input as FuzzSchedule does, and adds its coverage to seen.
func covers(t *testing.T, input []byte, seen *coverage) (err error) {
	watched(t, func(at *position) { err = playInput(t, input, at, seen) })
	return err
}

// The seed corpus is as few and as short inputs as show much. Of n random ones it
// takes, again and again, that which adds most to what those taken before cover:
// an action in a state counts most, then a class. Of each it keeps as many bytes
// as it takes to add the same: after them, all words are zeros.
func drawCorpus(t *testing.T, n int) {
	const files = 40
	type candidate struct {
		input []byte
		seen  *coverage
	}
	source := rand.New(rand.NewPCG(1, 2))
	var all []candidate
	for range n {
		c := candidate{make([]byte, 8*(6+source.IntN(120))), newCoverage()}
		for i := range c.input {
			c.input[i] = byte(source.Uint32())
		}
		if err := covers(t, c.input, c.seen); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, file := range drawn(t) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(corpus, 0o777); err != nil {
		t.Fatal(err)
	}
	taken := newCoverage()
	for i := range files {
		best := slices.MaxFunc(all, func(a, b candidate) int { return cmp.Compare(taken.gain(a.seen), taken.gain(b.seen)) })
		gain := taken.gain(best.seen)
		if gain == 0 {
			break
		}
		input := best.input
		for size := 0; size < len(input); size += 8 {
			seen := newCoverage()
			if err := covers(t, input[:size], seen); err != nil {
				t.Fatal(err)
			}
			if taken.gain(seen) >= gain {
				input = input[:size]
			}
		}
		name, text := fmt.Sprintf("%s%02d", corpus, i+1), fmt.Sprintf("go test fuzz v1\n[]byte(%+q)\n", input)
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := covers(t, input, taken); err != nil {
			t.Fatal(err)
		}
	}
}

// gain is what other has that c has not.
func (c *coverage) gain(other *coverage) (n int) {
	n = 1000 * (other.guards &^ c.guards).Len()
	for k := range other.places {
		if c.places[k] == 0 {
			n += 1000
		}
	}
	for k := range other.classes {
		if c.classes[k] == 0 {
			n++
		}
	}
	return n
}

// readInput reads a file of the corpus: a line that says so, and one []byte.
func readInput(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	head, value, _ := strings.Cut(string(text), "\n")
	quoted, isBytes := strings.CutPrefix(strings.TrimSuffix(strings.TrimSpace(value), ")"), "[]byte(")
	input, err := strconv.Unquote(quoted)
	if head != "go test fuzz v1" || !isBytes || err != nil {
		return nil, fmt.Errorf("%s is not an input of FuzzSchedule: %w", file, err)
	}
	return []byte(input), nil
}
