------------------------------ MODULE GroupWeak ------------------------------
(****************************************************************************)
(* The mistakes.  Each takes the place of one guard of Group.               *)
(****************************************************************************)
EXTENDS Group

(* All members start at once.                                               *)
WeakNeedsAreHeld(i) == TRUE

(* All members stop at once.                                                *)
WeakNeedingAreDown(i) == TRUE

(* A failed start leaves what has been started.                             *)
WeakHoldsNothing == TRUE

(* A start that the group has left is not waited for.                       *)
WeakNothingEnds == TRUE

(* Only what died is started again, under what needs it.                    *)
WeakTakenDown(i) == {i}

(* What started while its need died again is not taken down again.          *)
WeakStaysTorn(i) == FALSE
=============================================================================
