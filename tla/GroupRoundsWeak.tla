--------------------------- MODULE GroupRoundsWeak ---------------------------
(****************************************************************************)
(* The mistakes.  Each takes the place of one guard of GroupRounds.         *)
(****************************************************************************)
EXTENDS GroupRounds

(* The round is told after the critical section, as signals often are.      *)
WeakTellsAtOnce == FALSE

(* The round that runs is the last.                                         *)
WeakAnotherFollows == FALSE
=============================================================================
