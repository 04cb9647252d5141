--------------------------- MODULE WeakSupervisor ---------------------------
(* The ways to get supervision wrong, as Weak has them for Algorithm.       *)
EXTENDS Supervisor

(* A Stop of what is idle finds nothing to stop, and leaves the timer.      *)
WeakForgets == TRUE

(* A Stop takes the timer away, but not the Start that is on its way ...    *)
WeakCalledOff == "wanted"

(* ... or that goes on without a look at its context.                       *)
WeakMayGoOn == TRUE
=============================================================================
