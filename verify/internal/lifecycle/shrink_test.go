package lifecycle_test

import (
	"errors"
	"slices"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/scheduler"
)

// shrink returns a difference that breaks the same guarantee after a schedule from
// which nothing can be left out: neither any stretch of steps nor any two, nor a
// caller, part, call or failure report of the bound.
//
// Steps that are not enabled any more when others are left out are left out too:
// without a call's first step, the whole call is gone.
func shrink(at *position, d *scheduler.Difference) *scheduler.Difference {
	for smaller := true; smaller; {
		smaller = false
		try := func(b spec.Bound, steps []spec.Step) bool {
			if b.Check() != nil {
				return false
			}
			found := replay(at, b, steps)
			if found == nil || found.Guarantee != d.Guarantee || size(found) >= size(d) {
				return false
			}
			d, smaller = found, true
			return true
		}
		for chunk := max(len(d.Steps)/2, 1); chunk > 0; chunk /= 2 {
			for i := 0; i+chunk <= len(d.Steps); {
				if !try(d.Bound, slices.Delete(slices.Clone(d.Steps), i, i+chunk)) {
					i++
				}
			}
		}
		for i := 0; i < len(d.Steps) && len(d.Steps) < 100; i++ {
			for j := i + 1; j < len(d.Steps); j++ {
				steps := slices.Delete(slices.Clone(d.Steps), j, j+1)
				if try(d.Bound, slices.Delete(steps, i, i+1)) {
					i, j = 0, 0
				}
			}
		}
		for c := range uint8(d.Bound.Callers) {
			b, steps := withoutCaller(d.Bound, d.Steps, c)
			if try(b, steps) {
				break
			}
		}
		for _, less := range []func(*spec.Bound){
			func(b *spec.Bound) { b.Parts-- },
			func(b *spec.Bound) { b.Calls-- },
			func(b *spec.Bound) { b.Fails-- },
			func(b *spec.Bound) { b.Restarts-- },
		} {
			for b := d.Bound; ; {
				less(&b)
				if !try(b, d.Steps) {
					break
				}
			}
		}
	}
	return d
}

// size is how long a schedule is and, of two as long, how much there is in it.
func size(d *scheduler.Difference) int {
	return len(d.Steps)*1000 + d.Bound.Callers + d.Bound.Parts + d.Bound.Calls + d.Bound.Fails + d.Bound.Restarts
}

// replay takes those of the steps that are enabled when their turn comes, and
// returns the difference found, or nil.
func replay(at *position, b spec.Bound, steps []spec.Step) *scheduler.Difference {
	p := scheduler.NewPair(b)
	defer p.Close()
	at.begin(b)
	defer at.end()
	var d *scheduler.Difference
	for _, st := range steps {
		enabled, err := p.Moves()
		if err == nil && slices.Contains(enabled, st) {
			at.step(st)
			err = p.Take(st)
		}
		if errors.As(err, &d) {
			return d
		}
	}
	if _, err := p.Enabled(); errors.As(err, &d) {
		return d
	}
	return nil
}

// withoutCaller takes a caller away; those after it move up.
func withoutCaller(b spec.Bound, steps []spec.Step, c uint8) (spec.Bound, []spec.Step) {
	b.Callers--
	var rest []spec.Step
	for _, st := range steps {
		if st.Action.OfCaller() {
			step, _ := scheduler.Unmarked(st)
			if step.Arg == c {
				continue
			}
			if step.Arg > c {
				st.Arg--
			}
		}
		rest = append(rest, st)
	}
	return b, rest
}
