-------------------------------- MODULE Pairs --------------------------------
(****************************************************************************)
(* The formulas that Z3 proves, at single pairs of states, real and         *)
(* altered: Z3's formulas are evaluated at the same pairs, and each must    *)
(* have the same value.  PairsData.tla, written by ../verify/proof/pairs.py,*)
(* defines                                                                  *)
(*    Rows[i]     = a state, its variables in the order of Before           *)
(*    PairList[n] = <<the row before the step, the row after it>>           *)
(*    LastAttempt = the number of attempts in each row                      *)
(*    Values      = <<the value of each formula, ...>>                      *)
(* A row has attempts 0 and beyond the last as in Init, so that an altered  *)
(* number of an attempt has a value, too.                                   *)
(****************************************************************************)
EXTENDS PairsData

VARIABLES
    pair,       \* which one
    taken       \* its step has been taken

Numbers         == 0..LastAttempt + 2
Of(column, none) == [g \in Numbers |-> IF g \in 1..LastAttempt THEN column[g] ELSE none]
Parts(column)   == [g \in Numbers |-> IF g \in 1..LastAttempt THEN SubSeq(AllParts, 1, column[g]) ELSE <<>>]
Named(column)   == [c \in Callers |-> column[c]]

Before(r) ==
    /\ st = r[1] /\ gen = r[2] /\ closing = r[3] /\ cur = r[4]
    /\ due = r[5] /\ again = r[6] /\ restarts = r[7]
    /\ calls = r[8] /\ fails = r[9]
    /\ op = Of(r[10], "none") /\ held = Parts(r[11]) /\ reported = Of(r[12], FALSE)
    /\ fate = Of(r[13], "none") /\ open = Of(r[14], FALSE) /\ inuse = Of(r[15], 0)
    /\ forced = Of(r[16], FALSE) /\ relerr = Of(r[17], FALSE)
    /\ pc = Named(r[18]) /\ on = Named(r[19]) /\ ended = Named(r[20]) /\ out = Named(r[21])

After(r) ==
    /\ st' = r[1] /\ gen' = r[2] /\ closing' = r[3] /\ cur' = r[4]
    /\ due' = r[5] /\ again' = r[6] /\ restarts' = r[7]
    /\ calls' = r[8] /\ fails' = r[9]
    /\ op' = Of(r[10], "none") /\ held' = Parts(r[11]) /\ reported' = Of(r[12], FALSE)
    /\ fate' = Of(r[13], "none") /\ open' = Of(r[14], FALSE) /\ inuse' = Of(r[15], 0)
    /\ forced' = Of(r[16], FALSE) /\ relerr' = Of(r[17], FALSE)
    /\ pc' = Named(r[18]) /\ on' = Named(r[19]) /\ ended' = Named(r[20]) /\ out' = Named(r[21])

PairsInit == pair \in 1..Len(PairList) /\ taken = FALSE /\ Before(Rows[PairList[pair][1]])

PairsNext ==
    /\ ~taken /\ taken' = TRUE /\ pair' = pair
    /\ After(Rows[PairList[pair][2]])
    /\ PrintT(ToString(<<pair, Values>>))
=============================================================================
