-------------------------------- MODULE Weak --------------------------------
(****************************************************************************)
(* The ways to get it wrong.  Each definition stands in for the guard of    *)
(* Algorithm whose name follows "Weak"; each Weak*.cfg puts one of them in  *)
(* its place, and TLC must then refute the guarantee that the file is named *)
(* after.  manifest.json lists which other guarantees break with it.        *)
(****************************************************************************)
EXTENDS MC

(* G1: a Start does not see that another has begun.                         *)
WeakMayBegin == st \in {"Idle", "Starting"}

(* G2: having taken the lock, a Start does not look again.                  *)
WeakFoundOpen == FALSE

(* G3: "started" is set when the start begins ...                           *)
WeakFastPathOpen == st \in {"Starting", "Started"}

(* ... or the resource is used before its last part is there.               *)
WeakComplete(g) == TRUE

(* G4: parts are released in the order in which they were acquired ...      *)
WeakUndo(s) == Tail(s)

(* ... or the next try begins while parts of the last are held.             *)
WeakRolledBack(g) == TRUE

(* G5: an attempt that has failed, and is being rolled back, can be joined. *)
WeakMayJoin == st = "Starting" \/ (st = "Stopping" /\ fate[gen] = "failed")

(* G6: any caller that leaves cancels the attempt ...                       *)
WeakLastLeaves(c) == TRUE

(* ... or the last to leave a restart takes it along ...                    *)
RestartLastLeaves(c) == Joined(on[c]) = {c}

(* ... or an attempt that was cancelled, and opens all the same, counts ... *)
WeakStillWanted(g) == gen = g

(* ... or is tried again.                                                   *)
WeakMayRetry(g) == gen = g

(* G7: a failed attempt's parts are forgotten.                              *)
WeakAllReleased(g) == held[g] = <<>> \/ fate[g] = "failed"

(* G8: a Stop sees only what is already running ...                         *)
WeakStopSees == {"Started", "Stopping"}

(* ... or, when it is idle, not the Starts that wait for a restart ...      *)
WeakStopTells == {}

(* ... or finds nothing to stop then, and leaves the restart due ...        *)
WeakForgets == TRUE

(* ... or takes away what is due, but not what will be if the restart that  *)
(* is under way fails.                                                      *)
WeakKeepsOn == TRUE

(* A Start does not wait for the restart: it begins at once ...             *)
HastyMayBegin == st = "Idle"

(* ... or as soon as what died has been released.                           *)
HastyWaitsFor(g) == FALSE

(* G9: the release does not wait for uses in flight ...                     *)
WeakDrained(g) == TRUE

(* ... or any stopper that leaves cuts them off, although others wait ...   *)
WeakMayForce(c, g) == TRUE

(* ... or none does.                                                        *)
DeafMayForce(c, g) == FALSE

(* G10: the count is taken, the gate's sign is not looked at.               *)
WeakAdmits(g) == TRUE

(* G11: Shutdown counts only once it has come to its end.                   *)
WeakFinal == closing /\ st = "Closed"

(* G12: the last use to end does not wake the drain ...                     *)
DeafDrained(g) == FALSE

(* ... or the callers that queued for the next attempt are forgotten ...    *)
WeakQueued == {}

(* ... or the callers that wait for a restart, when the backoff gives up    *)
(* ...                                                                      *)
WeakGivesUpFor == {}

(* ... or a context's end is not looked at while parts are being released.  *)
WeakMayLeave(c) == ended[c] /\ op[on[c]] # "release"

(* G13: a failure report is taken for the current attempt's ...             *)
WeakCurrent(g) == TRUE

(* ... or one that comes before open has returned is forgotten.             *)
WeakStillAlive(g) == TRUE
=============================================================================
