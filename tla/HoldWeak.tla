------------------------------ MODULE HoldWeak ------------------------------
(****************************************************************************)
(* The mistakes.  Each takes the place of one guard of Hold.                *)
(****************************************************************************)
EXTENDS Hold

(* The first release stops it.                                              *)
WeakIsLast == TRUE

(* The last release stops it under a Run.                                   *)
WeakRunOwns == FALSE

(* A Run is an owner already while its Start waits.                         *)
WeakRunOwnsEarly == run \in {"join", "owns"}

(* A hold is counted only after its Start has returned: the last release    *)
(* may come first.                                                          *)
WeakCounted(S) == 0

(* The last release cancels an opening that others wait for.                *)
WeakMayCancel == TRUE

(* The last release leaves a restart as it is.                              *)
WeakStillDue == TRUE
=============================================================================
