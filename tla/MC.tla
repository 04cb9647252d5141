--------------------------------- MODULE MC ---------------------------------
(* What the configurations in this folder run.                              *)
EXTENDS Refinement, TLC

(* Which caller is which makes no difference to a step.                     *)
Symmetry == Permutations(Callers)

(* Two stoppers and a use take three callers and four calls.  To see them   *)
(* in a small model it begins where one caller has started the resource and *)
(* uses it, two calls on.                                                   *)
InitInUse ==
    LET user == CHOOSE c \in Callers : TRUE
    IN /\ st = "Started" /\ gen = 1 /\ closing = FALSE /\ cur = 1
       /\ due = FALSE /\ again = FALSE /\ restarts = 0
       /\ op     = [g \in Attempts |-> "none"]
       /\ held   = [g \in Attempts |-> IF g = 1 THEN AllParts ELSE <<>>]
       /\ reported = [g \in Attempts |-> FALSE]
       /\ fate   = [g \in Attempts |-> "none"]
       /\ open   = [g \in Attempts |-> g = 1]
       /\ inuse  = [g \in Attempts |-> IF g = 1 THEN 1 ELSE 0]
       /\ forced = [g \in Attempts |-> FALSE]
       /\ relerr = [g \in Attempts |-> FALSE]
       /\ pc     = [c \in Callers |-> IF c = user THEN "using" ELSE "idle"]
       /\ on     = [c \in Callers |-> IF c = user THEN 1 ELSE 0]
       /\ ended  = [c \in Callers |-> FALSE]
       /\ out    = [c \in Callers |-> None]
       /\ calls = 2 /\ fails = 0

SpecInUse        == InitInUse /\ [][Next]_vars /\ Fairness
PatientSpecInUse == InitInUse /\ [][Next]_vars /\ PatientFairness
=============================================================================
