-------------------------- MODULE PartitionOnKafka --------------------------
(****************************************************************************)
(* The leader of a partition, as Kafka's is, beside the producer of         *)
(* Partition.tla.  For each producer id it knows what its log has of it:    *)
(* the epoch and sequence numbers of the last batches.  It knows nothing    *)
(* else: of an id that is not in its log it takes any epoch and sequence    *)
(* number (Kafka 2.5 to 4.4; before and after that only number 0, as does   *)
(* kfake).  A change of leader forgets batches that not every replica in    *)
(* sync had.                                                                *)
(****************************************************************************)
EXTENDS Partition

CONSTANTS
    Codes,          \* the answers that the leader may give; all of Answers, or fewer in a small model
    ZeroFirst,      \* a producer id that is new to the partition must begin with sequence number 0
    EpochPerID,     \* the broker has one epoch for each id, not for each partition and id: kfake
    MaxMoves,       \* bound: changes of leader
    MaxLog          \* bound: batches in a log, when not idempotent

ASSUME Codes \subseteq Answers /\ {MaxMoves, MaxLog} \subseteq Nat

(* The batches in the log of p with producer id i, and the last of them.    *)
Of(p, i)     == {k \in 1..Len(log[p]) : log[p][k].pid = i}
Newest(p, i) == log[p][CHOOSE k \in Of(p, i) : \A j \in Of(p, i) : j <= k]

(* A duplicate has the epoch, first and last sequence number of a batch.    *)
(* (Kafka compares with the last five, which are all that a small model     *)
(* has.  With one batch under way the last one is enough.)                  *)
Same(b, r)      == b.pid = r.pid /\ b.epoch = r.epoch /\ b.seq = r.seq /\ Len(b.ms) = Len(r.ms)
Duplicates(r)   == {k \in Of(r.part, r.pid) : Same(log[r.part][k], r) /\ Newest(r.part, r.pid).epoch = r.epoch}

(* With EpochPerID a higher epoch in any log fences the request.            *)
Fenced(r) == EpochPerID /\ \E p \in Partitions : \E k \in Of(p, r.pid) : log[p][k].epoch > r.epoch

IsDuplicate(r) == Idempotent /\ ~Fenced(r) /\ Duplicates(r) # {}

Follows(r) ==
    IF Of(r.part, r.pid) = {}
    THEN ZeroFirst => r.seq = 0
    ELSE LET b == Newest(r.part, r.pid)
         IN \/ b.epoch < r.epoch /\ r.seq = 0
            \/ b.epoch = r.epoch /\ r.seq = b.seq + Len(b.ms)

Fits(r) ==
    IF Idempotent
    THEN ~Fenced(r) /\ ~IsDuplicate(r) /\ Follows(r)
    ELSE Len(log[r.part]) < MaxLog

Appended(r) == log' = [log EXCEPT ![r.part] = Append(@, [pid |-> r.pid, epoch |-> r.epoch, seq |-> r.seq, ms |-> r.ms])]

-----------------------------------------------------------------------------
(* What the leader does with a request of which the producer awaits the     *)
(* answer.                                                                  *)

Answer(p, answer) ==
    /\ wire[p] = "written" /\ answer \in Codes /\ Acks # "none"
    /\ wire' = [wire EXCEPT ![p] = answer]
    /\ UNCHANGED <<run, admitted, core, fates, id, numbers, late, lost, moves, bounds>>

(* It appends the batch and, with Acks = "all", waits for its replicas.     *)
LeaderAppends(p) ==
    /\ Answer(p, "ok") /\ Fits(Request(p))
    /\ Appended(Request(p))
    /\ safe' = [safe EXCEPT ![p] = IF Acks = "all" THEN Len(log[p]) + 1 ELSE @]

(* It appends the batch, and then cannot say that its replicas have it:     *)
(* it lost its place meanwhile, or there are too few of them.               *)
LeaderAppendsUnsure(p) ==
    /\ Answer(p, "unsure") /\ Fits(Request(p))
    /\ Appended(Request(p))
    /\ UNCHANGED safe

(* It has the batch already.                                                *)
LeaderHasIt(p) ==
    /\ Answer(p, "ok") /\ IsDuplicate(Request(p))
    /\ safe' = [safe EXCEPT ![p] = Max(@, CHOOSE k \in Duplicates(Request(p)) : TRUE)]
    /\ UNCHANGED log

(* It is not the leader, or fails: with a code that it gives after an       *)
(* append, too.                                                             *)
LeaderFails(p) ==
    /\ Answer(p, "unsure")
    /\ UNCHANGED <<log, safe>>

(* It refuses the batch before it looks at epoch and sequence number.       *)
LeaderRefuses(p, answer) ==
    /\ answer \in {"retry", "refused", "large", "invalid"}
    /\ Answer(p, answer)
    /\ UNCHANGED <<log, safe>>

(* It expects another epoch or sequence number.                             *)
LeaderExpectsAnother(p) ==
    /\ Idempotent /\ Answer(p, "sequence")
    /\ ~IsDuplicate(Request(p)) /\ ~Fits(Request(p))
    /\ UNCHANGED <<log, safe>>

-----------------------------------------------------------------------------
(* A request arrives whose producer no longer awaits an answer.  It stays   *)
(* in late, because the same bytes may have been sent more than once.       *)
LateAppends(r) ==
    /\ r \in late /\ Fits(r)
    /\ Appended(r)
    /\ UNCHANGED <<run, admitted, core, wire, fates, id, numbers, late, safe, lost, moves, bounds>>

(* Another replica becomes the leader: it has the first n batches, which    *)
(* are at least those that every replica in sync has.                       *)
Move(p, n) ==
    /\ moves < MaxMoves /\ n >= safe[p] /\ n <= Len(log[p])
    /\ moves' = moves + 1
    /\ log' = [log EXCEPT ![p] = SubSeq(@, 1, n)]
    /\ lost' = IF Acks = "one"
               THEN [lost EXCEPT ![p] = @ \cup UNION {In(log[p][k].ms) : k \in n + 1..Len(log[p])}]
               ELSE lost
    /\ UNCHANGED <<run, admitted, core, wire, fates, id, numbers, late, safe, bounds>>

-----------------------------------------------------------------------------
(* Stopped, and no start is left.                                           *)
Terminated  == run = "stopped" /\ starts = MaxStarts
Terminating == Terminated /\ UNCHANGED vars

Next ==
    \/ \E p \in Partitions : Admit(p)
    \/ \E p \in Partitions, m \in Messages : WithdrawQueued(p, m)
    \/ \E p \in Partitions, m \in Messages : WithdrawTaken(p, m)
    \/ \E p \in Partitions, m \in Messages : GiveUp(p, m)
    \/ \E p \in Partitions, n \in 1..MaxBatch : Take(p, n)
    \/ \E p \in Partitions, n \in 1..MaxBatch : TakeInNextEpoch(p, n)
    \/ \E p \in Partitions : Send(p)
    \/ \E p \in Partitions : Write(p)
    \/ \E p \in Partitions : LoseUnwritten(p)
    \/ \E p \in Partitions : LoseWritten(p)
    \/ \E p \in Partitions : LoseAnswer(p)
    \/ \E p \in Partitions : AnswerOk(p)
    \/ \E p \in Partitions : HandedOver(p)
    \/ \E p \in Partitions : AnswerUnsure(p)
    \/ \E p \in Partitions : AnswerRetry(p)
    \/ \E p \in Partitions : AnswerRefused(p)
    \/ \E p \in Partitions : Split(p)
    \/ \E p \in Partitions, R \in SUBSET Messages : AnswerInvalid(p, R)
    \/ \E p \in Partitions : AnswerSequence(p)
    \/ Stop
    \/ StopEnds
    \/ Cut
    \/ Start
    \/ \E p \in Partitions : Free(p)
    \/ NewID
    \/ \E p \in Partitions : LeaderAppends(p)
    \/ \E p \in Partitions : LeaderAppendsUnsure(p)
    \/ \E p \in Partitions : LeaderHasIt(p)
    \/ \E p \in Partitions : LeaderFails(p)
    \/ \E p \in Partitions, answer \in Codes : LeaderRefuses(p, answer)
    \/ \E p \in Partitions : LeaderExpectsAnother(p)
    \/ \E r \in late : LateAppends(r)
    \/ \E p \in Partitions, n \in 0..MaxMessages : Move(p, n)
    \/ Terminating

(* What liveness may assume.  Deadlines: the clock goes on, and nothing     *)
(* else.  Brokers may never answer, and connections may hang without end.   *)
Expiry(p, m) == WithdrawQueued(p, m) \/ WithdrawTaken(p, m) \/ GiveUp(p, m)

Deadlines == \A p \in Partitions, m \in Messages : WF_vars(Expiry(p, m))

(* Service: no deadline passes, and a broker that is asked again and again  *)
(* answers one day.  A message may linger in the queue without end, unless  *)
(* the producer is stopping.                                                *)
TakesAny(p)   == \E n \in 1..MaxBatch : Take(p, n) \/ TakeInNextEpoch(p, n)
AnswersNot(p) == \/ AnswerUnsure(p) \/ AnswerRetry(p) \/ AnswerRefused(p) \/ Split(p)
                 \/ \E R \in SUBSET Messages : AnswerInvalid(p, R)

Service ==
    \A p \in Partitions :
       /\ WF_vars(run = "stopping" /\ TakesAny(p)) /\ WF_vars(Send(p))
       /\ SF_vars(Write(p))
       /\ SF_vars(LeaderAppends(p) \/ LeaderHasIt(p) \/ LeaderExpectsAnother(p))
       /\ SF_vars(AnswerOk(p) \/ AnswerSequence(p) \/ HandedOver(p))
       /\ WF_vars(AnswersNot(p))

Spec        == Init /\ [][Next]_vars /\ Deadlines /\ WF_vars(StopEnds)
ServiceSpec == Init /\ [][Next]_vars /\ Service /\ WF_vars(StopEnds)
=============================================================================
