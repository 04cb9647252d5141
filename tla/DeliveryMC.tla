----------------------------- MODULE DeliveryMC -----------------------------
(* What the configurations Delivery*.cfg run.                               *)
EXTENDS DeliveryGuarantees, TLC

(* Which partition is which makes no difference to a step.                  *)
Symmetry == Permutations(Partitions)

(* Where a batch in doubt is fenced because another partition has taken the *)
(* next epoch (EpochPerID): that takes three messages.  To see it in a      *)
(* small model it begins where the batch of one partition is in the log,    *)
(* its answer lost, and the other has had two delivered.                    *)
Stored(e, s, m) == [pid |-> 1, epoch |-> e, seq |-> s, ms |-> <<m>>]

InitFenced ==
    LET a == CHOOSE p \in Partitions : TRUE
        Of2(x, y) == [p \in Partitions |-> IF p = a THEN x ELSE y]
    IN /\ run = "started"
       /\ admitted = Of2(1, 2)
       /\ queue = Of2(<<>>, <<>>)
       /\ batch = Of2([ms |-> <<1>>, seq |-> 0, maybe |-> TRUE], NoBatch)
       /\ wire = Of2("idle", "idle")
       /\ verdict = [p \in Partitions |-> [m \in Messages |-> IF p # a /\ m <= 2 THEN "delivered" ELSE "none"]]
       /\ tried = [p \in Partitions |-> [m \in Messages |-> IF p = a /\ m = 1 THEN "unsure" ELSE "no"]]
       /\ id = 1
       /\ highest = [i \in IDs |-> 1] /\ floor = [i \in IDs |-> 0]
       /\ pid = Of2(1, 1) /\ epoch = Of2(0, 1) /\ sequence = Of2(1, 1)
       /\ late = {}
       /\ log = Of2(<<Stored(0, 0, 1)>>, <<Stored(0, 0, 1), Stored(1, 0, 2)>>)
       /\ safe = Of2(0, 2)
       /\ lost = Of2({}, {})
       /\ starts = 0 /\ frees = 1 /\ moves = 0

(* Where a partition has gone one epoch further than its start, and has a   *)
(* request under way there: for what comes after another start.             *)
InitFurther ==
    LET All(x) == [p \in Partitions |-> x]
    IN /\ run = "started"
       /\ admitted = All(2)
       /\ queue = All(<<>>)
       /\ batch = All([ms |-> <<2>>, seq |-> 0, maybe |-> FALSE])
       /\ wire = All("written")
       /\ verdict = All([m \in Messages |-> IF m = 1 THEN "maybe" ELSE "none"])
       /\ tried = All([m \in Messages |-> "no"])
       /\ id = 1
       /\ highest = [i \in IDs |-> 1] /\ floor = [i \in IDs |-> None]
       /\ pid = All(1) /\ epoch = All(1) /\ sequence = All(1)
       /\ late = {[part |-> p, pid |-> 1, epoch |-> 0, seq |-> 0, ms |-> <<1>>] : p \in Partitions}
       /\ log = All(<<>>) /\ safe = All(0)
       /\ lost = All({})
       /\ starts = 0 /\ frees = 0 /\ moves = 0

(* Where one partition has a batch in the first epoch, not sent yet, and    *)
(* the other, whose first batch ended in doubt, has one in the next: the    *)
(* first is fenced then, without doubt (EpochPerID).                        *)
InitBehind ==
    LET a == CHOOSE p \in Partitions : TRUE
        Of2(x, y) == [p \in Partitions |-> IF p = a THEN x ELSE y]
    IN /\ run = "started"
       /\ admitted = Of2(1, 2)
       /\ queue = Of2(<<>>, <<>>)
       /\ batch = Of2([ms |-> <<1>>, seq |-> 0, maybe |-> FALSE], [ms |-> <<2>>, seq |-> 0, maybe |-> FALSE])
       /\ wire = Of2("idle", "idle")
       /\ verdict = [p \in Partitions |-> [m \in Messages |-> IF p # a /\ m = 1 THEN "maybe" ELSE "none"]]
       /\ tried = [p \in Partitions |-> [m \in Messages |-> "no"]]
       /\ id = 1
       /\ highest = [i \in IDs |-> 1] /\ floor = [i \in IDs |-> None]
       /\ pid = Of2(1, 1) /\ epoch = Of2(0, 1) /\ sequence = Of2(1, 1)
       /\ late = {[part |-> p, pid |-> 1, epoch |-> 0, seq |-> 0, ms |-> <<1>>] : p \in Partitions \ {a}}
       /\ log = Of2(<<>>, <<>>) /\ safe = Of2(0, 0)
       /\ lost = Of2({}, {})
       /\ starts = 0 /\ frees = 0 /\ moves = 0

(* Without idempotence each copy of a batch takes a place in the log, which *)
(* has a bound.  So that the bound does not keep a Stop from its end, every *)
(* step leaves places for what must still be appended.                      *)
Missing(p) == Len(queue[p]) + IF HasBatch(p) /\ wire[p] # "ok" THEN 1 ELSE 0
HasRoom    == \A p \in Partitions : Len(log[p]) + Missing(p) + MaxMessages - Total(Partitions) <= MaxLog

ServiceSpecInRoom  == Init /\ [][Next /\ HasRoom']_vars /\ Service /\ WF_vars(StopEnds)
SpecFenced         == InitFenced /\ [][Next]_vars /\ Deadlines /\ WF_vars(StopEnds)
ServiceSpecFenced  == InitFenced /\ [][Next]_vars /\ Service /\ WF_vars(StopEnds)
SpecFurther        == InitFurther /\ [][Next]_vars /\ Deadlines /\ WF_vars(StopEnds)
ServiceSpecFurther == InitFurther /\ [][Next]_vars /\ Service /\ WF_vars(StopEnds)
=============================================================================
