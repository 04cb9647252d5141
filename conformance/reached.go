package conformance

import "fmt"

// missed says, for each guarantee, what happened in no schedule if it was not reached.
var missed = map[string]string{
	"G1":  "no Start was called while an open or a release ran",
	"G2":  "no Start was called while it was started, and no Stop while it was stopped",
	"G3":  "no Start returned nil",
	"G4":  "no open failed",
	"G5":  "no Start was called after an attempt had failed",
	"G6":  "no context of a Start ended during its call",
	"G7":  "no schedule ended",
	"G8":  "no Stop was called while it was opening",
	"G9":  "no Stop was called while a use ran",
	"G10": "no Use was called",
	"G11": "nothing was called after a Shutdown",
	"G12": "no call had to wait for an open or a release",
	"G13": "no attempt's failure function was known",
	"G14": "no Start returned an error because of an open",
	"G15": "no open or release was given a context",
}

// fix says how a guarantee is reached, if more schedules are not enough.
var fix = map[string]string{
	"G3":  "let Start call Hooks.Open, or OpenPart for each of Subject.Parts, and return nil when they have",
	"G4":  "let Start call Hooks.Open or OpenPart",
	"G9":  "let Use call its function",
	"G12": "let Start call Hooks.Open or OpenPart, and wait for it",
	"G13": "call Hooks.OnDeath before the attempt opens its last part",
	"G14": "let Start return the error of Hooks.Open",
	"G15": "pass Hooks.Open and Release the contexts by which the lifecycle knows its own calls",
}

// notReached says why a guarantee was not reached, and what to change.
func notReached(id string, schedules int) string {
	why := fmt.Sprintf("%s in %d schedules; ", missed[id], schedules)
	if how := fix[id]; how != "" {
		why += how + ", "
	}
	why += "raise Subject.Schedules"
	if caps := offered[id]; caps != 0 {
		why += fmt.Sprintf(", or take %v out of Subject.Capabilities", caps)
	}
	return why
}
