package conformance

import (
	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// enabled returns the steps that are possible while all is quiet, and that the subject's
// capabilities allow.
func (r *run) enabled() (can []move) {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, starts, stops, uses := -1, false, false, false
	for i, c := range r.calls {
		switch {
		case c == nil && free < 0:
			free = i
		case c == nil:
		case c.kind == abstract.InStart:
			starts = true
		case c.kind == abstract.InUse:
			uses = true
		default:
			stops = true
		}
	}
	add := func(ok bool, do act, caller int) {
		if ok {
			can = append(can, move{do, caller})
		}
	}
	if free >= 0 {
		start, stop := r.mayStart(starts, stops), r.mayStop(starts, stops)
		add(start, callStart, free)
		add(start && r.caps.has(HonoursContext), callStartEnded, free)
		add(stop, callStop, free)
		add(stop && r.caps.has(HonoursStopContext), callStopEnded, free)
		add(stop && r.caps.has(Final), callShutdown, free)
		add(r.caps.has(DrainsUses), callUse, free)
		add(r.caps.has(DrainsUses) && r.up, callUse, free) // twice as likely
		for range 5 {                                      // more likely: Stops during a use are rare
			add(stop && uses, callStop, free)
		}
	}
	for i, c := range r.calls {
		if c == nil {
			continue
		}
		honours := HonoursStopContext
		if c.kind == abstract.InStart {
			honours = HonoursContext
		}
		add(c.kind != abstract.InUse && !c.ended && r.caps.has(honours), endContext, i)
		add(c.use != nil, endUse, i)
	}
	opens, releases := false, false
	for _, h := range r.hooks {
		opens, releases = opens || h.opens, releases || !h.opens
	}
	add(opens, openReturns, 0)
	add(opens, openFails, 0)
	add(opens && r.caps.has(ContainsPanics), openPanics, 0)
	add(opens && r.caps.has(ContainsPanics), openExits, 0)
	add(releases, releaseReturns, 0)
	add(releases, releaseFails, 0)
	if r.caps.has(ReportsFailure) {
		add(r.deaths[r.attempt] != nil && (r.opening || len(r.held) > 0), dies, 0)
		add(r.deaths[r.attempt-1] != nil, diedOld, 0)
	}
	if r.caps.has(RefusesReentry) && len(r.hooks) > 0 && r.hooks[0].ctx != nil {
		add(true, insideStart, 0)
		add(true, insideStop, 0)
	}
	return can
}

func (r *run) mayStart(starts, stops bool) bool {
	repeats := r.caps&(Idempotent|ErrorsOnRepeat) != 0
	switch {
	case starts && !r.caps.has(JoinsStarts),
		stops && !r.caps.has(JoinsStarts|Restarts),
		r.failed && !r.caps.has(Retries),
		r.stopped && !r.shut && !r.caps.has(Restarts),
		r.up && !repeats:
		return false
	}
	return true
}

func (r *run) mayStop(starts, stops bool) bool {
	repeats := r.caps&(Idempotent|ErrorsOnRepeat) != 0
	switch {
	case (starts || r.opening) && !r.caps.has(StopsStarts),
		stops && !r.caps.has(JoinsStops),
		!starts && !stops && !r.up && !repeats:
		return false
	}
	return true
}

// lets returns a step that ends a running use or hook without a failure.
func (r *run) lets(can []move) (move, bool) {
	for _, do := range []act{endUse, openReturns, releaseReturns} {
		for _, m := range can {
			if m.Do == do {
				return m, true
			}
		}
	}
	return move{}, false
}

// windUp returns the last call of a schedule: a Stop, if a part is held.
func (r *run) windUp() (move, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		if c != nil {
			return move{}, false
		}
	}
	return move{callStop, 0}, len(r.held) > 0
}

// left logs the goroutines and hooks that are left after the end of a schedule.
func (r *run) left(goroutines int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log(history.Event{Kind: history.Left, Part: goroutines, Bad: len(r.hooks) > 0})
}
