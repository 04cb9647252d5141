------------------------- MODULE DeliveryGuarantees -------------------------
(****************************************************************************)
(* The algorithm keeps the contract: seen through this mapping, partition   *)
(* by partition, each of its steps is a step of Delivery, or none.  And the *)
(* guarantees D1 to D7, of all partitions.  (D8 and D9 concern bytes,       *)
(* connections and brokers; the Go tests show them.)                        *)
(*                                                                          *)
(* A promise about a step is written [][...]_vars: unprimed is before the   *)
(* step, primed after it.  None mentions a named guard of Partition: a      *)
(* weakened guard would weaken it too.                                      *)
(****************************************************************************)
EXTENDS PartitionOnKafka

RECURSIVE Flat(_)
Flat(s) == IF s = <<>> THEN <<>> ELSE Head(s).ms \o Flat(Tail(s))

(* How far an undecided message has come, by the true fate of its requests, *)
(* not by the core's belief (batch.maybe).                                  *)
Stage(p, m) ==
    IF verdict[p][m] # "none" THEN "queued"
    ELSE IF tried[p][m] = "unsure" \/ (wire[p] # "idle" /\ m \in In(batch[p].ms)) THEN "sent"
    ELSE IF tried[p][m] = "refused" THEN "refused" ELSE "queued"

D(p) == INSTANCE Delivery WITH
        admitted <- admitted[p],
        stage    <- [m \in Messages |-> Stage(p, m)],
        verdict  <- verdict[p],
        log      <- Flat(log[p]),
        lost     <- lost[p],
        MaxLog   <- MaxLog * MaxBatch

KeepsContractStep == [][\A p \in Partitions : UNCHANGED D(p)!vars \/ D(p)!Next]_vars
KeepsContract     == (\A p \in Partitions : D(p)!Init) /\ KeepsContractStep

THEOREM Spec => \A p \in Partitions : D(p)!Spec

-----------------------------------------------------------------------------
(* D1 to D4 are the contract's.                                             *)

OneVerdict       == [][\A p \in Partitions : D(p)!OneVerdict]_vars           \* D1
Truth            == \A p \in Partitions : D(p)!Truth                        \* D2
TruthWhenDecided == [][\A p \in Partitions : D(p)!TruthWhenDecided]_vars     \* D2
Once             == \A p \in Partitions : D(p)!Once                         \* D3
Order            == \A p \in Partitions : D(p)!Order                        \* D4

(* In this step m of partition p gets its verdict.                          *)
Decided(p, m) == verdict[p][m] = "none" /\ verdict'[p][m] # "none"

(****************************************************************************)
(* D5.  A message that no request can have appended, queued or taken, is    *)
(* withdrawn when its caller leaves, its deadline passes or the producer is *)
(* cut.  It is in no request then and does not come later.  What is left    *)
(* keeps its order, and has consecutive sequence numbers from the batch's   *)
(* first on.  From a batch that may have been appended nothing is taken: it *)
(* is sent again as it is, or not at all.                                   *)
(****************************************************************************)
Clear(p, m) == m \in In(queue[p]) \/ (m \in In(batch[p].ms) /\ wire[p] = "idle" /\ tried[p][m] # "unsure")

Withdrawn == [][
    \A p \in Partitions :
       LET gone    == {m \in Messages : Decided(p, m) /\ Clear(p, m)}
           indoubt == \E m \in In(batch[p].ms) : tried[p][m] = "unsure"
       IN /\ \A m \in gone : verdict'[p][m] \in {"notsent", "rejected"}
          /\ gone # {} /\ run' # "stopped" =>
                /\ queue'[p] = Without(queue[p], gone)
                /\ batch'[p].ms = Without(batch[p].ms, gone)
                /\ batch'[p].ms # <<>> => batch'[p].seq = batch[p].seq
                /\ HasBatch(p) /\ Idempotent => sequence'[p] = batch[p].seq + Len(batch'[p].ms)
          /\ indoubt =>
                /\ batch'[p].ms \in {batch[p].ms, <<>>}
                /\ \A m \in In(batch[p].ms) : Decided(p, m) => verdict'[p][m] \in {"delivered", "maybe"}
    ]_vars

(****************************************************************************)
(* D6.  Every message gets its verdict when its deadline passes, whatever   *)
(* callers, brokers and the network do or fail to do (Spec assumes of them  *)
(* nothing).  So D1's "every message".                                      *)
(****************************************************************************)
Deadline == \A p \in Partitions, m \in Messages : (m <= admitted[p]) ~> (verdict[p][m] # "none")

(****************************************************************************)
(* D7.  A Stop sends what is queued and ends when all verdicts are there:   *)
(* if the brokers answer, without any deadline passing (ServiceSpec); if    *)
(* not, once the deadlines have passed (Spec).                              *)
(****************************************************************************)
DrainsAtOnce     == (run = "stopping") ~> (run = "stopped")
DrainsByDeadline == (run = "stopping") ~> (run = "stopped")

(* Its second part: nothing is admitted meanwhile, and all verdicts are     *)
(* there at the end, be it forced or not.                                   *)
DrainsAlone == [][
    /\ run # "started" => admitted' = admitted
    /\ run' = "stopped" => \A p \in Partitions : Undecided(p)' = {} /\ wire'[p] = "idle" /\ queue'[p] = <<>> /\ batch'[p] = NoBatch
    ]_vars

(****************************************************************************)
(* Epochs of several partitions do not chase each other: there is a new one *)
(* for each batch that ends in doubt, each start and each core freed.       *)
(****************************************************************************)
RECURSIVE InDoubtIn(_)
InDoubtIn(S) ==
    IF S = {} THEN 0
    ELSE LET p == CHOOSE p \in S : TRUE
         IN Cardinality({m \in Messages : verdict[p][m] = "maybe"}) + InDoubtIn(S \ {p})

EpochsSettle ==
    MaxSequence >= MaxMessages =>
       \A i \in IDs : highest[i] <= InDoubtIn(Partitions) + starts + frees
=============================================================================
