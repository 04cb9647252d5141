package conformance

import "slices"

// simpler has, for a step, a simpler one that replaces it if the same guarantee still breaks.
var simpler = map[act]act{openExits: openFails, openPanics: openFails, callShutdown: callStop,
	callStopEnded: callStop, releaseFails: releaseReturns, dies: openFails}

// size orders schedules by their length, then by the callers that they need.
func size(moves []move) int {
	n := 100 * len(moves)
	for _, m := range moves {
		n += m.Caller
	}
	return n
}

// minimise searches for a schedule that breaks the same guarantee, and from which no step
// and no two steps can be left out.
func (e *exploration) minimise(f *finding) (*finding, error) {
	id := f.Guarantee.ID
	spun := e.d.spun
	try := func(moves []move, orEqual bool) (bool, error) {
		if e.d.spun > spun+2*mostSpun {
			return false, nil // each such run takes as long as Subject.Patience
		}
		o, err := e.d.run(moves, nil)
		if err != nil {
			return false, err
		}
		g := judge(o, nil)
		if g == nil || g.Guarantee.ID != id || size(g.moves) > size(f.moves) || size(g.moves) == size(f.moves) && !orEqual {
			return false, nil
		}
		f = g
		return true, nil
	}
	for smaller := true; smaller; {
		smaller = false
		for _, two := range []bool{false, true} {
			for i := 0; i < len(f.moves); i++ {
				for j := i; j < len(f.moves) && (two || j == i); j++ {
					moves := slices.Delete(slices.Clone(f.moves), j, j+1)
					if two && j > i {
						moves = slices.Delete(moves, i, i+1)
					}
					ok, err := try(moves, false)
					if err != nil {
						return nil, err
					}
					if ok {
						smaller, i, j = true, max(i-1, 0), i
					}
				}
			}
		}
		for i := 0; i+1 < len(f.moves); i++ { // calls one after another are simpler than concurrent ones
			moves := slices.Clone(f.moves)
			moves[i], moves[i+1] = moves[i+1], moves[i]
			ok, err := try(moves, false)
			if err != nil {
				return nil, err
			}
			smaller = smaller || ok
		}
		for i := 0; i < len(f.moves); i++ {
			if to, ok := simpler[f.moves[i].Do]; ok {
				moves := slices.Clone(f.moves)
				moves[i].Do = to
				if _, err := try(moves, true); err != nil { // a shorter schedule may be simplified again
					return nil, err
				}
			}
		}
	}
	reproduced := 0
	for range 3 {
		ok, err := try(f.moves, true)
		if err != nil {
			return nil, err
		}
		if ok {
			reproduced++
		}
	}
	f.reproduced = reproduced
	return f, nil
}
