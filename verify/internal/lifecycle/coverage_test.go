package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
)

// coverage is what a set of schedules, or of the steps of a graph, covers.
type coverage struct {
	schedules, steps int
	actions          map[spec.Action]int
	guards           spec.GuardSides // that decided something, see [spec.Bound.Decided]
	places           map[place]int
	classes          map[spec.Class]int

	scratch []spec.Step
}

// place is the coarse class of a step: an action in a state.
type place struct {
	action spec.Action
	in     spec.State
}

func (p place) String() string { return fmt.Sprintf("%v in %v", p.action, p.in) }

func newCoverage() *coverage {
	return &coverage{actions: map[spec.Action]int{}, places: map[place]int{}, classes: map[spec.Class]int{}}
}

// observe notes that st is taken in s. At the first step of a class it also looks
// at every step that is refused there: the guards that refuse decide too.
func (c *coverage) observe(b spec.Bound, s *spec.Snapshot, st spec.Step) {
	c.steps++
	c.actions[st.Action]++
	c.places[place{st.Action, s.St}]++
	c.guards |= b.Decided(s, st)
	class := b.Class(s, st)
	if c.classes[class]++; c.classes[class] == 1 {
		c.scratch = b.Candidates(c.scratch[:0])
		for _, other := range c.scratch {
			c.guards |= b.Decided(s, other)
		}
	}
}

// modelled is what exists: all that the graphs of the pinned models have.
var modelled = sync.OnceValue(func() *coverage {
	all := newCoverage()
	for _, pin := range spec.Pins() {
		g := pin.Graph()
		for i := range g.States {
			for _, e := range g.Edges(i) {
				all.observe(g.Bound, &g.States[i], e.Step)
			}
		}
	}
	return all
})

// share is what of each kind a coverage has of all that exists.
type share struct {
	Actions, AllActions int
	Guards, AllGuards   int
	Places, AllPlaces   int
	Classes, AllClasses int
	Beyond              int // classes that no pinned model has: they are too small for them
}

func (c *coverage) against(all *coverage) share {
	classes := inBoth(c.classes, all.classes)
	return share{
		inBoth(c.actions, all.actions), len(all.actions),
		(c.guards & all.guards).Len(), all.guards.Len(),
		inBoth(c.places, all.places), len(all.places),
		classes, len(all.classes), len(c.classes) - classes,
	}
}

func (s share) String() string {
	return fmt.Sprintf("actions=%d of-actions=%d guard-sides=%d of-guard-sides=%d state-actions=%d of-state-actions=%d classes=%d of-classes=%d classes-beyond=%d",
		s.Actions, s.AllActions, s.Guards, s.AllGuards, s.Places, s.AllPlaces, s.Classes, s.AllClasses, s.Beyond)
}

// inBoth counts the keys that are in a and b.
func inBoth[K comparable](a, b map[K]int) (n int) {
	for k := range a {
		if b[k] > 0 {
			n++
		}
	}
	return n
}

// missing names the keys of all that c lacks, in order.
func missing[K interface {
	comparable
	fmt.Stringer
}](c, all map[K]int) (names []string) {
	for k := range all {
		if c[k] == 0 {
			names = append(names, k.String())
		}
	}
	slices.Sort(names)
	return names
}

// mustCover fails the test unless every action was taken, every guard decided both ways, and every
// action was taken in every state in which it can be taken. A few exceptions are allowed, because a
// run of random schedules now and then misses the rarest.
func (c *coverage) mustCover(t *testing.T, all *coverage) {
	const few = 3
	for _, name := range slices.Concat(missing(c.actions, all.actions), (all.guards &^ c.guards).Names()) {
		t.Errorf("not covered by %d schedules: %s: the property says nothing about it", c.schedules, name)
	}
	if names := missing(c.places, all.places); len(names) > few {
		t.Errorf("not covered by %d schedules: %d actions in a state, want %d or fewer: %v", c.schedules, len(names), few, names)
	}
}

// details is what -v prints: action by action, how often it was taken and how
// many of its classes were.
func (c *coverage) details(all *coverage) string {
	var t strings.Builder
	fmt.Fprintf(&t, "%-15s %9s %9s\n", "action", "taken", "classes")
	for _, a := range spec.Actions() {
		covered, exist := 0, 0
		for k := range all.classes {
			if k.Action == a {
				exist++
				covered += min(c.classes[k], 1)
			}
		}
		fmt.Fprintf(&t, "%-15v %9d %4d/%4d\n", a, c.actions[a], covered, exist)
	}
	for _, lack := range [][]string{missing(c.actions, all.actions), (all.guards &^ c.guards).Names(), missing(c.places, all.places)} {
		for _, name := range lack {
			fmt.Fprintln(&t, "not covered:", name)
		}
	}
	return t.String()
}

// write writes the coverage, and the names of what is missing, as JSON.
func (c *coverage) write(file string, all *coverage) error {
	report := struct {
		Schedules, Steps int
		Share            share
		Actions          map[string]int
		Guards           []string
		StateActions     map[string]int
		Missing          map[string][]string
	}{c.schedules, c.steps, c.against(all), named(c.actions), c.guards.Names(), named(c.places), map[string][]string{
		"actions":       missing(c.actions, all.actions),
		"guard sides":   (all.guards &^ c.guards).Names(),
		"state-actions": missing(c.places, all.places),
		"classes":       missing(c.classes, all.classes),
	}}
	text, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o666)
}

func named[K interface {
	comparable
	fmt.Stringer
}](counts map[K]int) map[string]int {
	byName := make(map[string]int, len(counts))
	for k, n := range counts {
		byName[k.String()] = n
	}
	return byName
}
