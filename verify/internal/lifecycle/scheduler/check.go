package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed3893aba4/surestart/spec"
)

// Pair is a world, and the model's state that the world must agree with.
type Pair struct {
	*World
	Bound spec.Bound
	Model spec.Snapshot
	Steps []spec.Step // taken so far

	progress atomic.Int64 // steps that began; a goroutine that loads it may read Steps until the next one

	// Scratch.
	code, model []spec.Step
	events      []spec.Event
}

// NewPair returns a world in the model's Init. Close it.
func NewPair(b spec.Bound) *Pair {
	return &Pair{World: New(b), Bound: b, Model: b.Init()}
}

// begin brings the pair to the model's Init. It may be called again after Close.
func (p *Pair) begin(b spec.Bound) {
	p.Bound, p.Model, p.Steps = b, b.Init(), p.Steps[:0]
	p.World.begin(b)
}

// Difference is a difference between code and model.
type Difference struct {
	Bound     spec.Bound
	Steps     []spec.Step // the schedule up to there
	What      []string
	Guarantee spec.Guarantee
}

// Error describes what differs, names the guarantee, and draws the schedule.
func (d *Difference) Error() string {
	return fmt.Sprintf("code and model differ after %d steps: %s %s is broken\n  %s\n\n%s",
		len(d.Steps), d.Guarantee.ID, d.Guarantee.Name, strings.Join(d.What, "\n  "), Timeline(d.Bound, d.Steps))
}

// Length returns the number of steps that lead to the difference.
func (d *Difference) Length() int { return len(d.Steps) }

// Enabled returns the steps that can be taken next. If code and model have different ones, it
// returns a *Difference. The slice is valid until the next call.
func (p *Pair) Enabled() (steps []spec.Step, err error) {
	defer p.contain(&err)
	p.code = p.World.Enabled(p.code[:0])
	p.model = p.cannot(p.Bound.Enabled(&p.Model, p.model[:0]))
	slices.SortFunc(p.code, compare)
	slices.SortFunc(p.model, compare)
	if slices.Equal(p.code, p.model) {
		return p.model, nil
	}
	var ds []spec.Difference
	for _, st := range p.model {
		if !slices.Contains(p.code, st) {
			ds = append(ds, spec.Missing(st))
		}
	}
	for _, st := range p.code {
		if !slices.Contains(p.model, st) {
			ds = append(ds, spec.Extra(st))
		}
	}
	return nil, p.differ(ds)
}

// Moves returns the steps of Enabled, the steps that the model does not see, and the other ways in
// which the code can take a step. The slice is valid until the next call.
func (p *Pair) Moves() ([]spec.Step, error) {
	steps, err := p.Enabled()
	if err != nil {
		return nil, err
	}
	p.code = p.otherWays(append(p.code[:0], steps...))
	return p.code, nil
}

func compare(a, b spec.Step) int {
	if a.Action != b.Action {
		return int(a.Action) - int(b.Action)
	}
	return int(a.Arg) - int(b.Arg)
}

// Take takes one of the steps that Enabled returned, in code and model. It returns a *Difference
// unless everything observable agrees afterwards.
func (p *Pair) Take(st spec.Step) (err error) {
	before, after, ok := p.Model, p.Model, true
	shown, modelled := Unmarked(st)
	if modelled {
		after, ok = p.Bound.Next(before, shown)
	}
	if !ok {
		return fmt.Errorf("scheduler: %v is not enabled in %v", st, before)
	}
	p.Model = after
	p.Steps = append(p.Steps, st)
	p.progress.Add(1)
	defer p.contain(&err)
	p.Do(st)
	if !modelled {
		shown.Action = spec.StartFast // an invisible step
	}
	return p.compare(shown, before, after)
}

// compare compares the code, and what it showed during a step, with the model's states before and
// after the step.
func (p *Pair) compare(st spec.Step, before, after spec.Snapshot) error {
	var ds []spec.Difference
	for _, one := range p.chose {
		ds = append(ds, one.difference())
	}
	for _, text := range p.complaints {
		ds = append(ds, spec.Difference{Var: "held", Index: fmt.Sprint(st.Arg), Want: "as promised", Got: text})
	}
	p.note(st, &before, &after)
	p.keeps(st, &after)
	got, err := p.Snapshot()
	if err != nil {
		name := "st"
		if errors.Is(err, errOpens) {
			name = spec.VarOpens
		}
		ds = append(ds, spec.Difference{Var: name, Want: "a state of the model", Got: err.Error()})
	} else if want := Canonical(after); got != want {
		ds = append(ds, spec.Diff(want, got)...)
	}
	ds = append(ds, p.observed(st, before, after)...)
	for _, one := range p.unkept {
		ds = append(ds, one.difference())
	}
	if ds == nil {
		return nil
	}
	return p.differ(ds)
}

// varPromise is the Var of a difference from a promise that the model does not have. The Index is
// the guarantee.
const varPromise = "promise"

// contain turns a panic of the code into a difference.
func (p *Pair) contain(err *error) {
	v := recover()
	if v == nil {
		return
	}
	p.broken = true
	if u, is := v.(unkept); is {
		*err = p.differ([]spec.Difference{u.difference()})
	} else {
		*err = p.panics(v)
	}
}

func (p *Pair) panics(v any) *Difference {
	var after string
	if n := len(p.Steps); n > 0 {
		after = p.Steps[n-1].String()
	}
	return p.differ([]spec.Difference{{Var: spec.VarPanic, Index: after, Want: p.Model.St.String(), Got: fmt.Sprint(v)}})
}

// stuck returns the difference of a step that does not end: the code waits, for a lock or a
// channel, where the scheduler has no point.
func (p *Pair) stuck() *Difference {
	st := p.Steps[len(p.Steps)-1]
	d := p.differ([]spec.Difference{{Var: "pc", Index: fmt.Sprint(st), Want: "the next point", Got: "blocked for ever"}})
	d.Guarantee, _ = spec.GuaranteeOf("Progress")
	return d
}

// observed compares what hooks and observers saw during a step with the model.
func (p *Pair) observed(st spec.Step, before, after spec.Snapshot) []spec.Difference {
	var ds []spec.Difference
	add := func(name string, index, want, got any) {
		ds = append(ds, spec.Difference{Var: name, Index: fmt.Sprint(index), Want: fmt.Sprint(want), Got: fmt.Sprint(got)})
	}

	// Transitions seen, in order.
	seen := p.events[:0]
	at := before.St
	for _, t := range p.seen {
		if t.From != at {
			add("st", "observer", at, t.From)
		}
		at = t.To
		seen = append(seen, t.Event)
	}
	p.events = seen
	want, err := st.Action.Events(before.St, after.St)
	if err != nil {
		panic(err)
	}
	if !slices.Equal(seen, want) {
		add("st", "observer", want, seen)
	}

	// The order of the releases: the released part is the one that was acquired last of those still
	// held.
	var parts []uint8
	if st.Action == spec.ReleaseOk || st.Action == spec.ReleaseErr {
		parts = []uint8{before.Attempt(st.Arg).Held}
	}
	if !slices.Equal(p.released, parts) {
		add("held", "order of releases", parts, p.released)
	}

	// An attempt's context ends when it is cancelled, or when its release begins.
	for i, a := range p.attempts {
		v := after.Attempts[i]
		live := v.Op == spec.OpOpen && v.Fate == spec.FateNone && !v.Reported || v.Op == spec.OpDrain || v.Open
		if (a.latest().ctx.Err() == nil) != live {
			names := map[bool]string{true: "live", false: "ended"}
			add(spec.VarContext, fmt.Sprintf("open %d", i+1), names[live], names[!live])
		}
	}
	return ds
}

func (p *Pair) differ(ds []spec.Difference) *Difference {
	var last spec.Step
	if n := len(p.Steps); n > 0 {
		last = p.Steps[n-1]
	}
	d := &Difference{Bound: p.Bound, Steps: slices.Clone(p.Steps), Guarantee: spec.Blame(last, ds[0])}
	i := slices.IndexFunc(ds, func(d spec.Difference) bool { return d.Var == varPromise })
	if i == 0 || i > 0 && d.Guarantee.Name == "Progress" { // which is blamed where nothing else is
		d.Guarantee, _ = spec.GuaranteeOf(ds[i].Index)
	}
	for _, one := range ds {
		d.What = append(d.What, one.String())
	}
	return d
}
