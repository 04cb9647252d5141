package spec

import (
	"slices"
	"strings"
)

// Guarantee is a guarantee of a lifecycle. Its name is the same in the TLA+ (an invariant,
// an action property or a temporal property), in the doc comment that makes the promise,
// and in the test that shows it.
type Guarantee struct{ ID, Name, Promise string }

// String returns, for example, "G1 SingleFlight".
func (g Guarantee) String() string { return g.ID + " " + g.Name }

var guarantees = []Guarantee{
	{"G1", "SingleFlight", "At most one operation runs at any time. Concurrent Starts open the resource once, and all that wait get that result."},
	{"G2", "Idempotence", "Start when started, Stop when idle and Shutdown when closed return nil and run nothing."},
	{"G3", "StartedIsOpen", "If Start returns nil, the resource was open, with all its parts, at some moment during the call."},
	{"G4", "Rollback", "A failed attempt releases every part it held, once, in reverse order, before a waiting caller gets the error. Then Start works again."},
	{"G5", "NoStaleFailure", "A Start that comes after an attempt began to roll back waits for the next attempt, which all such Starts share, and never gets the old error."},
	{"G6", "NoForeignCancellation", "A caller that gives up does not cancel the attempt for the others. When the last caller that waits gives up, the attempt is cancelled, unless it is a restart."},
	{"G7", "NoLeak", "When Idle or Closed, no part is held and no goroutine runs."},
	{"G8", "StopWins", "A Stop during a start cancels it and waits for its rollback. The start never succeeds afterwards: its callers get ErrStopped or ErrClosed."},
	{"G9", "DrainFirst", "A release waits for the uses in flight, or is forced. A Stop that forces it gets the number of uses that were cut off."},
	{"G10", "UseOnlyStarted", "A use is admitted only while Started, and keeps the resource open unless the release is forced."},
	{"G11", "CloseIsFinal", "After Shutdown nothing opens again."},
	{"G12", "Progress", "Every call returns if hooks return, and uses, retries and restarts end. Whatever hooks do, a call returns once its own context ends."},
	{"G13", "OwnGeneration", "An old attempt, lease or failure report never affects a newer one."},
	{"G14", "CauseKept", "The cause of the last failure, with the part that failed, is readable until the next successful start."},
	{"G15", "NoSelfDeadlock", "Start, Stop or Shutdown from inside a hook or use, with its context, returns ErrReentrant instead of waiting for itself. Start when Started returns nil."},
}

// Guarantees returns G1 to G15, in order.
func Guarantees() []Guarantee { return slices.Clone(guarantees) }

// GuaranteeOf returns the guarantee with that name or ID, or false if there is none.
func GuaranteeOf(nameOrID string) (Guarantee, bool) {
	i := slices.IndexFunc(guarantees, func(g Guarantee) bool { return g.Name == nameOrID || g.ID == nameOrID })
	if i < 0 {
		return Guarantee{}, false
	}
	return guarantees[i], true
}

// rule maps a difference to the guarantee that it concerns. Empty fields match anything.
// The first rule that matches decides: special rules come before general ones.
type rule struct {
	variable  string
	actions   []Action
	want, got string // a value, or a value with ! before it
	guarantee string
}

var (
	inStart = []Action{InvokeStart, StartFast, StartEnter}
	inStop  = []Action{InvokeStop, StopEnter}
	inShut  = []Action{InvokeShutdown, ShutdownEnter}
	inUse   = []Action{InvokeUse, UseLoad, UseAdd, UseSlow}
	endUse  = []Action{UseEnd, UseDrop}
)

func act(as ...Action) []Action { return as }

// blame is the table of Blame. Roughly: a gate that is wrongly open or closed is G10 or,
// during a drain, G9; a part that is wrongly held or released is G4; an attempt too many
// is G1; an answer that never comes is G12.
var blame = []rule{
	// A step that can be taken and should not (want no), or the reverse.
	{VarEnabled, act(OpenPart), "no", "", "SingleFlight"},
	{VarEnabled, act(OpenOk), "no", "", "StartedIsOpen"},
	{VarEnabled, act(OpenErr, OpenRetry, ReleaseOk, ReleaseErr), "", "", "Rollback"},
	{VarEnabled, act(TryAgain), "no", "", "NoForeignCancellation"},
	{VarEnabled, act(DrainEnd, StopLeave), "no", "", "DrainFirst"},
	{VarEnabled, act(Finish), "no", "", "NoLeak"},
	{VarEnabled, act(StartLeave, ContextEnds, Timeout), "no", "", "NoForeignCancellation"},
	{VarEnabled, act(Fail), "", "", "OwnGeneration"},
	{VarEnabled, act(Restart, GivesUp), "no", "", "StopWins"},
	{VarEnabled, inUse, "no", "", "UseOnlyStarted"},
	{VarEnabled, endUse, "no", "", "DrainFirst"},
	{VarEnabled, inStop, "no", "", "StopWins"},
	{VarEnabled, inShut, "no", "", "CloseIsFinal"},
	{VarEnabled, inStart, "no", "", "Idempotence"},
	{VarEnabled, act(Return), "no", "", "StartedIsOpen"},
	{VarEnabled, nil, "yes", "no", "Progress"},

	// The state.
	{"st", inStart, "Closed", "", "CloseIsFinal"},
	{"st", inStart, "Started", "", "Idempotence"},
	{"st", inStart, "", "Starting", "SingleFlight"},
	{"st", inStart, "", "", "Progress"},
	{"st", act(StartLeave, OpenOk), "", "", "NoForeignCancellation"},
	{"st", act(OpenErr, OpenRetry, Timeout), "", "", "Rollback"},
	{"st", act(TryAgain), "", "", "NoForeignCancellation"},
	{"st", act(Fail), "", "", "OwnGeneration"},
	{"st", act(Restart), "", "", "StopWins"},
	{"st", act(GivesUp), "", "", "Progress"},
	{"st", inStop, "", "", "StopWins"},
	{"st", inShut, "", "", "CloseIsFinal"},
	{"st", act(Finish), "Closed", "", "CloseIsFinal"},
	{"st", act(Finish), "Starting", "", "Progress"},
	{"st", act(Finish), "Idle", "Starting", "SingleFlight"},
	{"st", act(Finish), "", "", "Rollback"},
	{"st", inUse, "", "", "UseOnlyStarted"},
	{"st", nil, "", "", "NoLeak"},
	{"closing", nil, "", "", "CloseIsFinal"},

	// The attempts.
	{"gen", act(Finish, GivesUp), "", "", "Progress"},
	{"gen", nil, "", "", "SingleFlight"},
	{"due", nil, "", "", "StopWins"},
	{"again", nil, "", "", "StopWins"},
	{"restarts", nil, "", "", "StopWins"},
	{"reported", nil, "", "", "OwnGeneration"},
	{"cur", act(Finish), "", "", "NoLeak"},
	{"cur", nil, "", "", "UseOnlyStarted"},
	{"op", act(TryAgain, OpenRetry), "", "", "Rollback"},
	{"op", nil, "open", "", "SingleFlight"},
	{"op", nil, "", "open", "SingleFlight"},
	{"op", act(OpenOk, OpenErr), "", "", "Rollback"},
	{"op", nil, "drain", "", "DrainFirst"},
	{"op", nil, "", "drain", "DrainFirst"},
	{"op", nil, "", "", "NoLeak"},
	{"held", nil, "", "", "Rollback"},
	{"relerr", nil, "", "", "Rollback"},
	{"fate", act(StartLeave), "", "", "NoForeignCancellation"},
	{"fate", slices.Concat(inStop, inShut), "", "", "StopWins"},
	{"fate", act(OpenErr, OpenRetry, Timeout), "", "", "Rollback"},
	{"fate", nil, "", "", "OwnGeneration"},
	{"open", nil, "", "", "UseOnlyStarted"},
	{"inuse", endUse, "", "", "DrainFirst"},
	{"inuse", nil, "", "", "UseOnlyStarted"},
	{"forced", nil, "", "", "DrainFirst"},

	// A panic of the code.
	{VarPanic, inStart, "Started", "", "Idempotence"},
	{VarPanic, inStart, "Closed", "", "CloseIsFinal"},
	{VarPanic, append(act(Finish, OpenPart), inStart...), "", "", "SingleFlight"},
	{VarPanic, act(Restart, GivesUp), "", "", "StopWins"},
	{VarPanic, act(StartLeave, OpenOk), "", "", "NoForeignCancellation"},
	{VarPanic, act(OpenErr, OpenRetry, TryAgain, Timeout), "", "", "Rollback"},
	{VarPanic, act(Fail), "Stopping", "", "DrainFirst"},
	{VarPanic, act(Fail), "", "", "OwnGeneration"},
	{VarPanic, inStop, "", "", "StopWins"},
	{VarPanic, inShut, "", "", "CloseIsFinal"},
	{VarPanic, inUse, "", "", "UseOnlyStarted"},
	{VarPanic, append(act(DrainEnd, StopLeave), endUse...), "", "", "DrainFirst"},
	{VarPanic, nil, "", "", "NoLeak"},

	// Outside the model's variables: how often open was called, the contexts of the
	// hooks, the order of the releases.
	{VarOpens, nil, "", "", "SingleFlight"},
	{VarContext, slices.Concat(inStop, inShut, endUse, act(StopLeave)), "live", "", "DrainFirst"},
	{VarContext, nil, "live", "", "NoForeignCancellation"},
	{VarContext, act(StartLeave), "", "", "NoForeignCancellation"},
	{VarContext, slices.Concat(inStop, inShut), "", "", "StopWins"},
	{VarContext, nil, "", "", "NoLeak"},

	// The results.
	{"out", nil, "!none", "none", "Progress"},
	{"out", act(StartFast), "", "ok", "StartedIsOpen"},
	{"out", act(StartEnter), "ok", "", "Idempotence"},
	{"out", act(OpenErr, OpenRetry, TryAgain, Timeout), "", "", "Rollback"},
	{"out", slices.Concat(inStop, inShut), "", "ctx", "StopWins"},
	{"out", inUse, "", "", "UseOnlyStarted"},
	{"out", nil, "cut", "", "DrainFirst"},
	{"out", nil, "", "cut", "DrainFirst"},
	{"out", nil, "stopped", "", "StopWins"},
	{"out", nil, "", "stopped", "StopWins"},
	{"out", inStart, "closed", "", "CloseIsFinal"},
	{"out", inStart, "", "closed", "CloseIsFinal"},
	{"out", nil, "closed", "", "StopWins"},
	{"out", nil, "", "closed", "StopWins"},
	{"out", nil, "ctx", "", "NoForeignCancellation"},
	{"out", nil, "", "ctx", "NoForeignCancellation"},
	{"out", nil, "relerr", "", "DrainFirst"},
	{"out", nil, "", "relerr", "DrainFirst"},
	{"out", nil, "failed", "ok", "StartedIsOpen"},
	{"out", nil, "", "failed", "NoStaleFailure"},
	{"out", nil, "failed", "", "SingleFlight"},
	{"out", slices.Concat(inStop, inShut), "", "", "Idempotence"},
	{"out", nil, "", "ok", "StartedIsOpen"},
	{"out", nil, "", "", "SingleFlight"},

	// Where the callers are.
	{"pc", act(StartFast), "", "done", "StartedIsOpen"},
	{"pc", inStart, "done", "", "Idempotence"},
	{"pc", inStart, "", "", "SingleFlight"},
	{"pc", slices.Concat(inStop, inShut), "done", "", "Idempotence"},
	{"pc", inStop, "", "", "StopWins"},
	{"pc", inShut, "", "", "CloseIsFinal"},
	{"pc", inUse, "", "", "UseOnlyStarted"},
	{"pc", slices.Concat(endUse, act(StopLeave)), "", "", "DrainFirst"},
	{"pc", act(StartLeave, ContextEnds), "", "", "NoForeignCancellation"},
	{"pc", nil, "", "", "Progress"},
	{"on", inStart, "", "", "NoStaleFailure"},
	{"on", act(OpenErr, OpenRetry, TryAgain, Timeout), "", "", "Rollback"},
	{"on", slices.Concat(inStop, inShut), "", "", "StopWins"},
	{"on", nil, "", "", "OwnGeneration"},
	{"ended", nil, "", "", "NoForeignCancellation"},
	{"fails", nil, "", "", "OwnGeneration"},
	{"calls", nil, "", "", "Progress"},
}

// Blame returns the guarantee that a difference after a step, or in whether the step is
// enabled, most plausibly concerns. It is an aid for reports: one broken guard often breaks
// several guarantees. It never returns G14 or G15, which are outside the model.
func Blame(st Step, d Difference) Guarantee {
	for _, r := range blame {
		if r.variable == d.Var && (r.actions == nil || slices.Contains(r.actions, st.Action)) &&
			matches(r.want, d.Want) && matches(r.got, d.Got) {
			g, _ := GuaranteeOf(r.guarantee)
			return g
		}
	}
	g, _ := GuaranteeOf("Progress")
	return g
}

// matches compares without the number that a result may have: "failed" is "failed,2".
func matches(pattern, value string) bool {
	if pattern == "" {
		return true
	}
	value, _, _ = strings.Cut(value, ",")
	if pattern[0] == '!' {
		return value != pattern[1:]
	}
	return value == pattern
}
