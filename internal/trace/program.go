package trace

import (
	"math/rand/v2"

	"github.com/seed3893aba4/surestart/spec"
)

// A program is what is run: acts for each thread, and how the hooks behave.
type program struct {
	bound    spec.Bound
	seed     uint64
	acts     [][]act // of each caller, and of the thread outside
	opens    []plan  // of each call of open
	timeout  int     // of a start, in microseconds; 0: none
	restless bool
}

type actKind uint8

const (
	doStart actKind = iota
	doStop
	doShutdown
	doAcquire
	doUse
	doCancel
	doFail
	doLook
	doYield
)

// act is one thing that a thread does. who and call are whose call's context a
// doCancel ends; call is also which attempt a doFail reports, and how long a use or
// a doYield lasts. fails: the use reports a failure.
type act struct {
	kind  actKind
	who   uint8
	call  uint8
	fails bool
}

// plan is how open behaves, and the releases of the parts that it registers.
type plan struct {
	parts    uint8 // registered before open ends
	outcome  outcome
	again    bool    // after an error it is tried again
	waits    bool    // open waits for its context's end first
	yields   uint8   // how long open takes
	reports  bool    // open reports a failure of its own
	releases []uint8 // for each part: 0 well, 1 an error, 2 a panic, 3 Goexit
}

type outcome uint8

const (
	opens outcome = iota
	errs
	panics
	exits
)

// draw returns the program of a seed.
func draw(seed uint64) *program {
	r := rand.New(rand.NewPCG(seed, 0x7ace))
	callers := 2 + r.IntN(4)
	p := &program{seed: seed, restless: r.IntN(4) > 0}
	p.bound = spec.Bound{Callers: callers, Parts: []int{0, 1, 2, 2, 2, 3}[r.IntN(6)]}
	each := 1 + r.IntN(min(5, spec.MaxAttempts/callers))
	if r.IntN(3) == 0 {
		p.timeout = 1 + r.IntN(300)
	}
	type call struct{ who, call uint8 }
	var cancellable []call
	calm := r.IntN(3) == 0 // nothing fails by itself
	shut := r.IntN(3) == 0
	for c := range callers {
		var acts []act
		for calls := 0; calls < each; {
			a := act{call: uint8(r.IntN(6))}
			switch n := r.IntN(30); {
			case n < 11:
				a.kind = doStart
			case n < 16:
				a.kind = doStop
			case n < 17 && shut:
				a.kind = doShutdown
			case n < 22:
				a.kind = doAcquire
				a.fails = !calm && r.IntN(8) == 0
			case n < 24:
				a.kind = doUse
			case n < 27:
				a.kind = doLook
			case n < 28 && !calm:
				a.kind = doFail
			default:
				a.kind = doYield
			}
			if a.kind <= doShutdown {
				cancellable = append(cancellable, call{uint8(c), uint8(calls)})
			}
			if a.kind <= doUse {
				calls++
				p.bound.Calls++
			}
			acts = append(acts, a)
		}
		p.acts = append(p.acts, append(acts, act{kind: doLook}))
	}
	p.acts = append(p.acts, nil)
	for _, c := range cancellable { // each at most once, by anybody
		if r.IntN(3) > 0 {
			continue
		}
		by := r.IntN(callers + 1)
		if r.IntN(2) == 0 {
			by = callers
		}
		i := r.IntN(len(p.acts[by]) + 1)
		p.acts[by] = append(p.acts[by][:i:i], append([]act{{kind: doCancel, who: c.who, call: c.call}}, p.acts[by][i:]...)...)
	}
	for range r.IntN(8) {
		p.acts[callers] = append(p.acts[callers], act{kind: doYield, call: uint8(r.IntN(4))})
	}
	r.Shuffle(len(p.acts[callers]), func(i, j int) {
		x := p.acts[callers]
		x[i], x[j] = x[j], x[i]
	})
	for range p.bound.Calls + r.IntN(4) { // some for what is tried again
		p.opens = append(p.opens, p.plan(r, calm))
	}
	// At most so many reports can come.
	for _, acts := range p.acts {
		for _, a := range acts {
			if a.fails || a.kind == doFail {
				p.bound.Fails++
			}
		}
	}
	for _, a := range p.opens {
		if a.reports {
			p.bound.Fails++
		}
	}
	return p
}

func (p *program) plan(r *rand.Rand, calm bool) plan {
	a := plan{parts: uint8(p.bound.Parts), yields: uint8(r.IntN(5)), releases: make([]uint8, p.bound.Parts)}
	if calm {
		return a
	}
	if r.IntN(3) == 0 {
		a.outcome = []outcome{errs, errs, errs, panics, exits}[r.IntN(5)]
		a.parts = uint8(r.IntN(p.bound.Parts + 1))
		a.again = a.outcome == errs && r.IntN(2) == 0
	}
	a.waits = p.timeout > 0 && r.IntN(3) == 0
	a.reports = r.IntN(12) == 0
	for i := range a.releases {
		if r.IntN(5) == 0 {
			a.releases[i] = []uint8{1, 1, 1, 2, 3}[r.IntN(5)]
		}
	}
	return a
}
