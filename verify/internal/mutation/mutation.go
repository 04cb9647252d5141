// Package mutation makes mutants of the shipped code: each is one small change of a machine's
// package or of its transition table. It runs the checks on each. A mutant is
// killed when a test fails because of it. One that survives must be listed, with the reason why it
// changes nothing.
package mutation

import (
	"bufio"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/variant"
)

// Mutant is one file of the module with one small change, which compiles.
type Mutant struct {
	ID       string `json:"id"`   // file:func:operator:n, the n-th of its kind in the function, so that it survives edits elsewhere; some name what they change, too
	File     string `json:"file"` // from the top of the module
	Line     int    `json:"line"`
	Operator string `json:"operator"`
	Diff     string `json:"diff"` // what was, and what became of it, in a line

	text    []byte // the whole file
	decl    int    // the declaration of the file that is another
	machine *machine.Machine
	layers  []machine.Layer // that can notice it
}

// What became of a mutant.
const (
	Killed     = "killed"         // a test failed
	Equivalent = "equivalent"     // listed, and nothing noticed it: the code's graph is the model's
	Survived   = "survived"       // a hole in the checks
	TimedOut   = "timed out"      // some layer hung and none failed: nothing was shown
	Revived    = "not equivalent" // listed, and yet it was noticed
)

// Result is what the layers found of a mutant.
type Result struct {
	Mutant
	Status     string   `json:"status"`
	Layer      string   `json:"layer,omitempty"`      // the first that failed
	Guarantees []string `json:"guarantees,omitempty"` // that it named as broken
	First      string   `json:"first,omitempty"`      // the first line that says what is wrong
	Reason     string   `json:"reason,omitempty"`     // why it is equivalent
	Seconds    float64  `json:"seconds"`
}

// Bad reports whether the result is a failure of the run.
func (r Result) Bad() bool { return r.Status != Killed && r.Status != Equivalent }

// String returns the result in a line.
func (r Result) String() string {
	by := strings.TrimSpace(r.Layer + " " + strings.Join(r.Guarantees, " "))
	return fmt.Sprintf("%-14s %5.1f s  %s (line %d): %s [%s] %s", r.Status, r.Seconds, r.ID, r.Line, r.Diff, by, cmp.Or(r.Reason, r.First))
}

// Count is the number of results of each kind.
type Count struct {
	Tried, Killed, Named, Equivalent int
	Bad                              []string // ids
}

// Add counts one more.
func (c *Count) Add(r Result) {
	c.Tried++
	switch {
	case r.Bad():
		c.Bad = append(c.Bad, r.ID)
	case r.Status == Equivalent:
		c.Equivalent++
	default:
		c.Killed++
		if len(r.Guarantees) > 0 {
			c.Named++
		}
	}
}

func (c *Count) String() string {
	return fmt.Sprintf("tried=%d killed=%d killed-by-name=%d equivalent=%d not-killed=%d", c.Tried, c.Killed, c.Named, c.Equivalent, len(c.Bad))
}

// All returns the mutants of the machines' code in the checkout at root, in the order of the source.
func All(root string, machines []*machine.Machine) ([]Mutant, error) {
	var all []Mutant
	for _, m := range machines {
		add := func(some []Mutant, layers []machine.Layer) {
			for i := range some {
				some[i].machine, some[i].layers = m, layers
			}
			all = append(all, some...)
		}
		for _, p := range m.Packages {
			if p.Mutants == nil {
				continue
			}
			some, err := ofSource(root, p.Dir)
			if err != nil {
				return nil, fmt.Errorf("mutation: %w", err)
			}
			add(some, p.Mutants)
		}
		if m.Table == nil {
			continue
		}
		some, err := ofTable(root, m.Table)
		if err != nil {
			return nil, fmt.Errorf("mutation: %w", err)
		}
		add(some, m.Table.Layers)
	}
	return all, nil
}

// Sample draws n mutants, the same for the same seed. It returns all if n is 0.
func Sample(all []Mutant, n int, seed uint64) []Mutant {
	if n <= 0 || n >= len(all) {
		return all
	}
	drawn := slices.Clone(all)
	random := rand.New(rand.NewPCG(seed, 0))
	random.Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	return drawn[:n]
}

// Seed returns a seed for Sample that depends on the mutants. A second run on the same tree draws
// the same sample; a change of the mutated code draws another.
func Seed(all []Mutant) uint64 {
	h := fnv.New64a()
	for _, m := range all {
		fmt.Fprintln(h, m.ID, m.Diff)
	}
	return h.Sum64()
}

//go:embed equivalent.txt
var equivalentText string

// equivalents returns the listed mutants, with the reason for each.
func equivalents() (map[string]string, error) {
	listed := make(map[string]string)
	lines := bufio.NewScanner(strings.NewReader(equivalentText))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, reason, ok := strings.Cut(line, " ")
		if !ok || listed[id] != "" {
			return nil, fmt.Errorf("mutation: equivalent.txt:%d: want an id that is new and, after a space, the reason: %q", n, line)
		}
		listed[id] = strings.TrimSpace(reason)
	}
	return listed, nil
}

// Run runs the layers on each mutant until one kills it. It calls report once for each mutant, one
// call at a time.
func Run(ctx context.Context, root string, all []Mutant, report func(Result)) error {
	listed, err := equivalents()
	if err != nil {
		return err
	}
	return variant.Each(ctx, all, func(ctx context.Context, m Mutant) (Result, error) { return m.try(ctx, root, listed[m.ID]) }, report)
}

func (m Mutant) try(ctx context.Context, root, reason string) (Result, error) {
	r := Result{Mutant: m, Status: Survived, Reason: reason}
	if reason != "" {
		r.Status = Equivalent
	}
	began := time.Now()
	v := variant.Variant{Name: m.ID, Files: map[string][]byte{m.File: m.text}}
	_, err := variant.Try(ctx, root, m.machine, v, m.layers, func(c variant.Catch) bool {
		switch c.Result {
		case variant.Caught:
			r.Status, r.Layer, r.Guarantees, r.First = Killed, c.Layer, c.Guarantees, c.First
			if reason != "" {
				r.Status = Revived
			}
			return true
		case variant.TimedOut:
			r.Status, r.Layer = TimedOut, c.Layer
		}
		return false
	})
	if err == nil && r.Status == Survived && r.Layer == "" && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	r.Seconds = time.Since(began).Seconds()
	return r, err
}
