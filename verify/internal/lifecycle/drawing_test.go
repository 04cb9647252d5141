package lifecycle_test

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/lifecycle/scheduler"
)

// words is where the decisions of a schedule come from: one drawn word for each.
// rapid prefers small numbers, which would mean the first of the enabled steps;
// so what decides is the word's hash. When a fuzzer's input has no more words,
// the rest are zeros: every input is a schedule, and a short one may be a long
// schedule.
type words struct {
	t   *rapid.T
	n   uint64
	dry bool
}

var anyWord = rapid.Uint64()

func (w *words) next() uint64 {
	w.n++
	return mix(w.draw() + mix(w.n))
}

func (w *words) draw() (word uint64) {
	if w.dry {
		return 0
	}
	defer func() {
		if v := recover(); v != nil {
			if fmt.Sprint(v) != "overrun" { // rapid's word for the end of the input
				panic(v)
			}
			w.dry, word = true, 0
		}
	}()
	return anyWord.Draw(w.t, "decision")
}

// upTo returns 0 to most, each as likely.
func (w *words) upTo(most int) int { return int(w.next() % uint64(most+1)) }

// mix is the finalizer of SplitMix64: every bit of the result depends on all of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// drawing draws one schedule. If every enabled step were equally likely, two things would be rare:
// a long wait of one caller while others hurry, and an open that succeeds, because so many things
// can fail. So each run has phases. In each phase every action and every caller has a weight of its
// own, and the weights may differ by factors of hundreds. Failures, stops and ends of uses have one
// more weight together.
type drawing struct {
	*words
	bound   spec.Bound
	actions [actions]uint64
	callers [spec.MaxCallers]uint64
	open    uint8 // calls before any Shutdown, which ends most of the story
}

const actions = spec.GivesUp + 1

// moods are the actions that a phase makes rare, or not, as one.
var moods = [][]spec.Action{
	{spec.OpenErr, spec.Timeout, spec.Fail},
	{spec.OpenRetry},
	{spec.ContextEnds},
	{spec.InvokeStop, spec.StopEnter, spec.ShutdownEnter},
	{spec.UseEnd, spec.UseDrop},
	{spec.InvokeStop, spec.InvokeStart, spec.InvokeUse, spec.InvokeShutdown},
	{spec.OpenPart, spec.OpenOk, spec.OpenErr, spec.OpenRetry, spec.Timeout},
	{spec.DrainEnd, spec.ReleaseOk, spec.ReleaseErr, spec.TryAgain, spec.Finish},
	{spec.Return},
	{spec.Restart},
	{spec.GivesUp},
}

func newDrawing(w *words) *drawing {
	d := &drawing{words: w}
	d.bound = spec.Bound{
		Callers: 1 + w.upTo(7),
		Parts:   min(w.upTo(5), w.upTo(5)),
		Calls:   1 + max(w.upTo(11), w.upTo(11)),
		Fails:   w.upTo(3),
		Retries: w.upTo(3) > 0,
	}
	if d.bound.Fails > 0 { // half of them without restarts
		d.bound.Restarts = min(max(w.upTo(4)-2, 0), (spec.MaxAttempts-d.bound.Calls)/d.bound.Fails)
	}
	d.open = uint8(w.upTo(d.bound.Calls))
	d.phase()
	return d
}

func (d *drawing) phase() {
	r := d.next()
	weight := func(most uint64) uint64 {
		r = mix(r)
		return r % (most + 1)
	}
	var log [actions]uint64
	for a := range log {
		log[a] = 20 + weight(5)
	}
	for _, some := range moods {
		rarer := weight(5)
		for _, a := range some {
			log[a] -= rarer
		}
	}
	for a := range log {
		d.actions[a] = 1 << log[a]
	}
	for c := range d.callers {
		d.callers[c] = 1 << weight(4)
	}
}

// step draws one of the enabled steps.
func (d *drawing) step(enabled []spec.Step, s *spec.Snapshot) spec.Step {
	pick := d.next()
	if pick>>59 == 0 { // a phase takes 32 steps on average
		d.phase()
	}
	total := uint64(0)
	for _, st := range enabled {
		total += d.weight(st, s)
	}
	n := mix(pick) % total
	for _, st := range enabled {
		w := d.weight(st, s)
		if n < w {
			return st
		}
		n -= w
	}
	panic("unreachable")
}

func (d *drawing) weight(st spec.Step, s *spec.Snapshot) uint64 {
	st, modelled := scheduler.Unmarked(st)
	w := d.actions[st.Action] * 4
	if !modelled {
		w /= 4 // the rare way
	}
	if st.Action == spec.InvokeShutdown && s.Calls < d.open {
		return 0
	}
	if st.Action.OfCaller() {
		return w * d.callers[st.Arg]
	}
	return w * 4 // as a caller of middling haste
}
