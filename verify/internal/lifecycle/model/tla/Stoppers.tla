------------------------------ MODULE Stoppers ------------------------------
(* The algorithm from the moment when a first Start has returned: nothing   *)
(* else has happened, one call is made.  With three callers this is small   *)
(* enough to be dumped whole, and it has what two callers cannot show: two  *)
(* who wait to stop while a third uses the resource (MayForce), and two who *)
(* wait for one attempt while a third does something else.                  *)
EXTENDS Algorithm

InitStarted ==
    /\ st = "Started" /\ gen = 1 /\ closing = FALSE /\ cur = 1
    /\ due = FALSE /\ again = FALSE /\ restarts = 0
    /\ op     = [g \in Attempts |-> "none"]
    /\ held   = [g \in Attempts |-> IF g = 1 THEN [i \in 1..NParts |-> i] ELSE <<>>]
    /\ reported = [g \in Attempts |-> FALSE]
    /\ fate   = [g \in Attempts |-> "none"]
    /\ open   = [g \in Attempts |-> g = 1]
    /\ inuse  = [g \in Attempts |-> 0]
    /\ forced = [g \in Attempts |-> FALSE]
    /\ relerr = [g \in Attempts |-> FALSE]
    /\ pc     = [c \in Callers |-> "idle"]
    /\ on     = [c \in Callers |-> 0]
    /\ ended  = [c \in Callers |-> FALSE]
    /\ out    = [c \in Callers |-> None]
    /\ calls = 1 /\ fails = 0
=============================================================================
