----------------------------- MODULE Refinement -----------------------------
(****************************************************************************)
(* The algorithm keeps the contract: seen through this mapping, each of its *)
(* steps is a step of Abstract, or none.  So the whole object is            *)
(* linearizable: each call takes effect in one step between its invocation  *)
(* and its return (G3).                                                     *)
(****************************************************************************)
EXTENDS Guarantees

(* Where a use has been admitted: held open for it until the release is     *)
(* forced.                                                                  *)
HoldsOpen(g) == open[g] \/ (op[g] = "drain" /\ ~forced[g])

A == INSTANCE Abstract WITH
        Restarts <- MaxRestarts > 0,
        res   <- CASE st \in {"Idle", "Closed"} -> "empty"
                   [] st = "Starting"           -> "opening"
                   [] st = "Started"            -> "open"
                   [] st = "Stopping"           -> "closing",
        why   <- IF gen = 0 THEN "none" ELSE fate[gen],
        final <- closing,
        due   <- due,
        again <- again,
        call  <- [c \in Callers |->
                    CASE out[c] # None                          -> "done"
                      [] out[c] = None /\ pc[c] = "enter"       -> "start"
                      [] out[c] = None /\ pc[c] = "wait"        -> IF on[c] = gen THEN "join" ELSE "start"
                      [] out[c] = None /\ pc[c] \in {"add", "slow"}   -> "use"
                      [] out[c] = None /\ pc[c] \in {"using", "drop"} -> IF HoldsOpen(on[c]) THEN "using" ELSE "cut"
                      [] OTHER                                  -> pc[c]],
        ended <- ended,
        out   <- [c \in Callers |-> IF out[c][1] = "failed" THEN <<"failed", 0>> ELSE out[c]]

(* Most steps change nothing of the contract.  TLC sees that at once if it  *)
(* looks first.                                                             *)
KeepsContractStep     == [][UNCHANGED A!vars \/ A!Next]_(A!vars)
KeepsContract         == A!Init /\ KeepsContractStep
KeepsContractProgress == A!Progress

THEOREM Spec => A!Spec
=============================================================================
