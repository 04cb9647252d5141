package walk_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/machine/fridge"
	"github.com/seed3893aba4/surestart/verify/internal/walk"
)

// door is the fridge beside its model: shut and dark, or open and lit. The code counts, up to a bound, how often it was
// opened, which the model does not.
type door struct {
	fridge.Fridge
	model  fridge.Fridge
	opened int
	taken  []string
	breaks int // the light fails when it is opened for the n-th time
}

type parted struct{ after []string }

func (d *parted) Error() string { return "F2 Lit is broken after " + strings.Join(d.after, " ") }
func (d *parted) Length() int   { return len(d.after) }

func (d *door) Begin() {
	d.Fridge, d.model, d.opened, d.taken = fridge.Fridge{}, fridge.Fridge{}, 0, nil
}

func (d *door) Take(step string) error {
	d.taken = append(d.taken, step)
	if step == "Open" {
		d.Open()
		d.opened++
		d.Lit = d.opened != d.breaks
		d.model = fridge.Fridge{Ajar: true, Lit: true}
	} else {
		d.Shut()
		d.model = fridge.Fridge{}
	}
	if d.Fridge != d.model {
		return &parted{slices.Clone(d.taken)}
	}
	return nil
}

func (d *door) Position() (state int, hidden uint64) {
	if d.Ajar {
		state = 1
	}
	return state, uint64(min(d.opened, 3))
}

func (d *door) Moves() ([]string, error) { return []string{[]string{"Open", "Shut"}[d.state()]}, nil }

func (d *door) state() int { n, _ := d.Position(); return n }

func (d *door) Refuse() (int, error) { return 1, nil }
func (d *door) Taken() []string      { return d.taken }
func (d *door) Close() error         { return nil }
func (d *door) Progress() int64      { return int64(len(d.taken)) }
func (d *door) Stuck() error         { return &parted{[]string{"it hangs"}} }
func (d *door) End()                 {}

func of(breaks int) walk.Machine[string] {
	return walk.Machine[string]{
		States: 2, Edges: 2, Hidden: true,
		Out: func(state int) iter.Seq2[int, string] { return slices.All([][]string{{"Open"}, {"Shut"}}[state]) },
		New: func() walk.Code[string] { return &door{breaks: breaks} },
	}
}

// Every position of another machine is walked. If its code differs from the model, the shortest
// path there is reported.
func TestWalkOfAnotherMachine(t *testing.T) {
	c, err := walk.Explore(t.Context(), of(0), nil)
	// Shut, or opened up to three times, open or shut.
	if want := (walk.Cover{States: 2, Edges: 2, Positions: 7, Moves: 7, Refusals: 7}); err != nil || !same(c, want) {
		t.Errorf("%v, %v; want %v", c, err, want)
	}
	_, err = walk.Explore(t.Context(), of(2), nil)
	var d walk.Difference
	if !errors.As(err, &d) || fmt.Sprint(err) != "F2 Lit is broken after Open Shut Open" {
		t.Errorf("the light that fails is told as %v", err)
	}
}

// same compares what does not depend on which worker was first.
func same(a, b walk.Cover) bool {
	a.Replays, a.Steps = b.Replays, b.Steps
	return a == b
}
