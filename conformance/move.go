package conformance

import "fmt"

// move is one step of the suite; a schedule is a list of moves. A move that is not enabled
// is skipped.
type move struct {
	Do     act
	Caller int `json:",omitempty"`
}

type act uint8

const (
	callStart      act = iota
	callStartEnded     // with a context that has ended
	callStop
	callStopEnded
	callShutdown
	callUse
	endContext
	endUse
	openReturns
	openFails
	openPanics
	openExits
	releaseReturns
	releaseFails
	dies    // the resource that is opening or open
	diedOld // the resource of the previous attempt
	insideStart
	insideStop
	numActs
)

var actNames = [numActs]string{"Start", "Start with an ended context", "Stop", "Stop with an ended context", "Shutdown", "Use",
	"context ends", "use ends", "open returns", "open fails", "open panics", "open exits", "release returns", "release fails",
	"dies", "the one before dies", "Start inside", "Stop inside"}

func (m move) String() string {
	if m.Do <= endUse {
		return fmt.Sprintf("c%d %s", m.Caller+1, actNames[m.Do])
	}
	return actNames[m.Do]
}

// weights are the relative probabilities of the enabled moves.
var weights = [numActs]uint32{
	callStart: 12, callStartEnded: 1, callStop: 5, callStopEnded: 1, callShutdown: 2, callUse: 5, endContext: 4, endUse: 5,
	openReturns: 12, openFails: 5, openPanics: 2, openExits: 1, releaseReturns: 12, releaseFails: 2, dies: 2, diedOld: 2,
	insideStart: 1, insideStop: 1,
}

const callers = 3

// moods are sets of steps. Each set is left out of half of the schedules: with every
// failure possible, long successful runs would be rare.
var moods = [...]map[act]bool{
	{openFails: true, openPanics: true, openExits: true, releaseFails: true},
	{dies: true, diedOld: true},
	{endContext: true, callStartEnded: true, callStopEnded: true},
	{callStop: true, callStopEnded: true, callShutdown: true},
	{callShutdown: true},
	{callUse: true},
	{insideStart: true, insideStop: true},
}

// choose draws one of the enabled moves; false: none is left. The low bits of mood select
// the moods.
func choose(word, mood uint32, can []move) (move, bool) {
	weight := func(m move) uint32 {
		for i, without := range moods {
			if mood&(1<<i) != 0 && without[m.Do] {
				return 0
			}
		}
		return weights[m.Do]
	}
	total := uint32(0)
	for _, m := range can {
		total += weight(m)
	}
	if total == 0 {
		return move{}, false
	}
	n := word % total
	for _, m := range can {
		if n < weight(m) {
			return m, true
		}
		n -= weight(m)
	}
	panic("unreachable")
}
