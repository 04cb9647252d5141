package trace

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/seed3893aba4/surestart/spec"
)

// A program is what a run does: the acts of each thread, and the behaviour of the hooks.
type program struct {
	bound    spec.Bound
	seed     uint64
	acts     [][]act // of each caller, and of the thread outside
	opens    []plan  // of each call of open
	timeout  int     // of a start, in microseconds; 0: none
	restless bool

	// With bound.Restarts > 0 the lifecycle has WithRestart.
	patience uint8 // how many restarts in a row its Backoff makes; it may be none
	wait     int   // before each, in microseconds
	givesUp  uint8 // and then: 0 it says so, 2 it panics, 3 it exits
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
	doPause
	doOpened // waits some time until open has run so often
	doAwait  // waits for the end of the other threads
)

// act is one action of a thread. For a doCancel, who and call name the call whose context ends.
// call is also the attempt that a doFail reports (see world.scope), the duration of a use or a
// doPause, and the number of opens for which a doOpened waits. fails: the use reports a failure.
type act struct {
	kind  actKind
	who   uint8
	call  uint8
	fails bool
}

// isReport reports whether the resource may have died by the act.
func (a act) isReport() bool { return a.fails || a.kind == doFail }

// plan is the behaviour of open, and of the releases of the parts that it registers.
type plan struct {
	parts    uint8 // registered before open ends
	outcome  outcome
	again    bool    // after an error it is tried again
	waits    bool    // open waits for its context's end first
	pause    uint8   // how long open takes, and what it opened lives
	reports  bool    // open reports a failure of its own
	dies     bool    // a goroutine reports that what it opened has died, mostly after open has returned
	releases []uint8 // for each part: 0 well, 1 an error, 2 a panic, 3 Goexit
}

type outcome uint8

const (
	opens outcome = iota
	errs
	panics
	exits
)

// drawing is a program that is being drawn.
type drawing struct {
	*program
	*rand.Rand
	restarts bool // the lifecycle is made with WithRestart
	calm     bool // nothing fails by itself; what is to be restarted dies all the same
	shut     bool // there are Shutdowns
	each     int  // calls of each caller
	reports  int  // how many failures may still be reported

	cancellable []call
}

type call struct{ who, call uint8 }

// draw returns the program of a seed.
func draw(seed uint64) *program {
	r := rand.New(rand.NewPCG(seed, 0x7ace))
	callers := 2 + r.IntN(4)
	d := &drawing{Rand: r, program: &program{seed: seed, restless: r.IntN(4) > 0}, reports: math.MaxUint8}
	d.restarts, d.calm, d.shut = r.IntN(3) == 0, r.IntN(3) == 0, r.IntN(3) == 0
	d.bound = spec.Bound{Callers: callers, Retries: true, Parts: []int{0, 1, 2, 2, 2, 3}[r.IntN(6)]}
	d.each = 1 + r.IntN(min(5, spec.MaxAttempts/callers))
	if r.IntN(3) == 0 {
		d.timeout = 1 + r.IntN(300)
	}
	if d.restarts {
		d.supervise()
	}
	ofOpens := (d.reports + 1) / 2 // the rest are the callers' own
	d.reports -= ofOpens
	for c := range callers {
		d.acts = append(d.acts, d.calls(uint8(c)))
	}
	d.acts = append(d.acts, nil)
	d.outside()
	if d.restarts {
		d.end()
	}
	d.reports += ofOpens
	d.hooks()
	d.bound.Fails = d.failures()
	return d.program
}

// supervise draws the restarts, the number of calls of each caller, and the number of reported
// failures, so that the model has room for the attempts.
func (d *drawing) supervise() {
	d.patience = []uint8{0, 1, 1, 2, 2, 3}[d.IntN(6)]
	d.wait = []int{0, 10, 30, 100}[d.IntN(4)]
	d.givesUp = []uint8{0, 0, 0, 2, 3}[d.IntN(5)]
	d.bound.Restarts = int(max(1, d.patience))
	d.each = 1 + d.IntN(8/d.bound.Callers)
	d.timeout *= 3                      // open takes longer, see pause
	calls := d.bound.Callers*d.each + 1 // see end
	d.reports = (spec.MaxAttempts - calls) / d.bound.Restarts
}

// mayReport reports whether one more report of a failure is allowed, if it was drawn.
func (d *drawing) mayReport(drawn bool) bool {
	if !drawn || d.reports == 0 {
		return false
	}
	d.reports--
	return true
}

// calls draws the acts of a caller.
func (d *drawing) calls(c uint8) (acts []act) {
	seldom := 8
	if d.restarts { // more deaths
		seldom = 2
	}
	for calls := 0; calls < d.each; {
		a := act{call: uint8(d.IntN(6))}
		n := d.IntN(30)
		switch wanted := len(acts) == 0 || acts[len(acts)-1].isReport(); {
		case d.restarts && wanted && d.IntN(4) > 0: // what died is started again
			n = 0
		case d.restarts && n >= 13 && n < 16: // fewer stops
			n = 17
		}
		switch {
		case n < 11:
			a.kind = doStart
		case n < 16:
			a.kind = doStop
		case n < 17 && d.shut:
			a.kind = doShutdown
		case n < 22:
			a.kind = doAcquire
			a.fails = d.mayReport((d.restarts || !d.calm) && d.IntN(seldom) == 0)
		case n < 24:
			a.kind = doUse
		case n < 27:
			a.kind = doLook
		case n < 28 && d.mayReport(d.restarts || !d.calm):
			a.kind = doFail
		default:
			a.kind = doPause
		}
		if a.kind <= doShutdown && !(d.restarts && calls == 0) {
			d.cancellable = append(d.cancellable, call{c, uint8(calls)})
		}
		if a.kind <= doUse {
			calls++
			d.bound.Calls++
		}
		acts = append(acts, a)
	}
	return append(acts, act{kind: doLook})
}

// outside draws which threads end the contexts of calls, and the acts of the thread outside.
func (d *drawing) outside() {
	out := d.bound.Callers
	late := d.restarts && d.IntN(3) == 0 // those who wait for a restart leave while it opens
	for _, c := range d.cancellable {    // each at most once, by any thread
		if !late && d.IntN(3) > 0 {
			continue
		}
		by := d.IntN(out + 1)
		if late || d.IntN(2) == 0 {
			by = out
		}
		d.acts[by] = slices.Insert(d.acts[by], d.IntN(len(d.acts[by])+1), act{kind: doCancel, who: c.who, call: c.call})
	}
	for range d.IntN(8) {
		d.acts[out] = append(d.acts[out], act{kind: doPause, call: uint8(d.IntN(4))})
	}
	d.Shuffle(len(d.acts[out]), func(i, j int) {
		x := d.acts[out]
		x[i], x[j] = x[j], x[i]
	})
	if late {
		d.acts[out] = slices.Insert(d.acts[out], 0, act{kind: doOpened, call: uint8(2 + d.IntN(2))})
	}
}

// end makes the first caller stop the lifecycle after the other threads have ended, so that no
// restart is due at the end of a trace.
func (d *drawing) end() {
	last := act{kind: doStop}
	if d.shut && d.IntN(2) == 0 {
		last.kind = doShutdown
	}
	pause := act{kind: doPause, call: uint8(d.IntN(30))}
	d.acts[0] = append(d.acts[0], act{kind: doAwait}, pause, last, act{kind: doLook})
	d.bound.Calls++
}

// hooks draws how open behaves. It draws more than needed, for repeated tries and starts.
func (d *drawing) hooks() {
	opens := d.bound.Calls
	if d.restarts {
		opens = spec.MaxAttempts
	}
	for range opens + d.IntN(4) {
		a := d.plan(d.Rand, d.calm || d.restarts && len(d.opens) == 0) // what is to die opens first
		a.reports = d.mayReport(a.reports)
		a.dies = d.mayReport(d.restarts && d.IntN(3) > 0)
		d.opens = append(d.opens, a)
	}
}

// failures returns the greatest number of failures that can be reported.
func (p *program) failures() (n int) {
	for _, acts := range p.acts {
		for _, a := range acts {
			if a.isReport() {
				n++
			}
		}
	}
	for _, a := range p.opens {
		if a.reports {
			n++
		}
		if a.dies {
			n++
		}
	}
	return n
}

func (p *program) plan(r *rand.Rand, calm bool) plan {
	a := plan{parts: uint8(p.bound.Parts), pause: uint8(r.IntN(5)), releases: make([]uint8, p.bound.Parts)}
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
