----------------------------- MODULE Partition -----------------------------
(****************************************************************************)
(* Delivery as the Producer does it: one action for each decision of a      *)
(* partition's core, and for each thing that callers, the clock and the     *)
(* network can do to it.  PartitionOnKafka.tla, which extends this module,  *)
(* has the partition's leader.                                              *)
(*                                                                          *)
(* The core of a partition has a queue and at most one batch under way.     *)
(* The batch is sent, with the same sequence numbers, until an answer or    *)
(* the deadlines of its messages decide it.  A request can outlive the      *)
(* producer's interest in it: its connection is lost, and it is appended    *)
(* later all the same.  Attempts are not counted: a batch may be sent any   *)
(* number of times.                                                         *)
(*                                                                          *)
(* Cores share only the producer id and its highest epoch.                  *)
(****************************************************************************)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    Partitions,
    Acks,           \* "all", "one" or "none": Config.Acks
    Idempotent,     \* Config.Idempotence; needs Acks = "all"
    MaxBatch,       \* the most messages in a batch
    MaxSequence,    \* the last sequence number; Kafka's is 2,147,483,647
    EpochLimit,     \* from this epoch on the producer requests another id: 30,000
    MaxMessages,    \* bound: messages, all partitions together
    MaxEpoch,       \* bound: the highest epoch (EpochsSettle: no step comes to it)
    MaxIDs,         \* bound: producer ids
    MaxStarts,      \* bound: starts after the first
    MaxFrees        \* bound: cores freed

ASSUME /\ Acks \in {"all", "one", "none"} /\ Idempotent \in BOOLEAN
       /\ Idempotent => Acks = "all"
       /\ {MaxBatch, MaxMessages, MaxIDs} \subseteq Nat \ {0}
       /\ {MaxSequence, EpochLimit, MaxEpoch, MaxStarts, MaxFrees} \subseteq Nat

VARIABLES
    run,        \* the producer is "started", "stopping" or "stopped"
    admitted,   \* [partition -> messages admitted so far; they are numbered in that order]
    queue,      \* [partition -> messages admitted, in no batch]
    batch,      \* [partition -> the batch under way: messages, first sequence number, whether
                \*  an earlier request with it may have been appended]
    wire,       \* [partition -> how far the request with the batch is; "idle": none]
    verdict,    \* [partition -> [message -> its verdict, "none" until decided]]
    tried,      \* [partition -> [undecided message -> the fate of the requests with it:
                \*  "refused": the last was; "unsure": one may have been appended; else "no"]]
    id,         \* the newest producer id
    highest,    \* [id -> its highest epoch, over all partitions and starts]
    floor,      \* [id -> the highest epoch that a partition without a core may have used]
    pid,        \* [partition -> the producer id that it uses]
    epoch,      \* [partition -> its epoch; None: it has no core]
    sequence,   \* [partition -> its next sequence number; None: another epoch is needed]
    late,       \* requests written whole, whose connection was lost before an answer
    log,        \* [partition -> its log at the leader: batches]
    safe,       \* [partition -> how many of them every replica in sync has]
    lost,       \* [partition -> with Acks = "one": messages lost with their leader]
    starts,     \* starts so far
    frees,      \* cores freed so far
    moves       \* changes of leader so far

core    == <<queue, batch>>
numbers == <<pid, epoch, sequence, highest, floor>>
fates   == <<verdict, tried>>
leader  == <<log, safe, lost, moves>>
bounds  == <<starts, frees>>
vars    == <<run, admitted, core, wire, fates, id, numbers, late, leader, bounds>>

Messages == 1..MaxMessages
IDs      == 1..MaxIDs
None     == -1
NoBatch  == [ms |-> <<>>, seq |-> 0, maybe |-> FALSE]

(* The answers to a produce request, as the table of error codes has them.  *)
(*   "ok"        it is in the log, as Acks says: 0, 46                      *)
(*   "unsure"    it may be in the log or not: 3, 6, 7, 9, 13, 20, 56, -1    *)
(*   "retry"     refused before the append, for now                         *)
(*   "refused"   refused before the append, for good                        *)
(*   "large"     the batch is too large: 10, 18                             *)
(*   "invalid"   some of its records are refused: 87, 32                    *)
(*   "sequence"  not the sequence number or epoch expected: 45, 47, 59      *)
Answers == {"ok", "unsure", "retry", "refused", "large", "invalid", "sequence"}

In(s)         == {s[i] : i \in 1..Len(s)}
Without(s, S) == SelectSeq(s, LAMBDA m : m \notin S)
Max(a, b)     == IF a > b THEN a ELSE b

Undecided(p)  == {m \in 1..admitted[p] : verdict[p][m] = "none"}
HasBatch(p)   == batch[p].ms # <<>>
AllDecided    == \A p \in Partitions : Undecided(p) = {}

RECURSIVE Total(_)
Total(S) == IF S = {} THEN 0 ELSE LET p == CHOOSE p \in S : TRUE IN admitted[p] + Total(S \ {p})

(* The request with the batch of p; it carries the partition's epoch.       *)
Request(p) == [part |-> p, pid |-> pid[p], epoch |-> epoch[p], seq |-> batch[p].seq, ms |-> batch[p].ms]

TypeOK ==
    /\ run \in {"started", "stopping", "stopped"}
    /\ id \in IDs
    /\ highest \in [IDs -> 0..MaxEpoch]
    /\ floor \in [IDs -> None..MaxEpoch]
    /\ \A p \in Partitions :
          /\ admitted[p] \in 0..MaxMessages
          /\ In(queue[p]) \cup In(batch[p].ms) \subseteq 1..admitted[p]
          /\ In(queue[p]) \cap In(batch[p].ms) = {}
          /\ batch[p].maybe \in BOOLEAN
          /\ ~HasBatch(p) => batch[p] = NoBatch /\ wire[p] = "idle"
          /\ wire[p] \in {"idle", "writing", "written"} \cup Answers
          /\ \A m \in Messages : verdict[p][m] \in {"none", "delivered", "notsent", "rejected", "maybe"}
          /\ \A m \in Messages : tried[p][m] \in {"no", "refused", "unsure"}
          /\ Undecided(p) \subseteq In(queue[p]) \cup In(batch[p].ms)
          /\ pid[p] \in IDs
          /\ epoch[p] \in None..highest[pid[p]]
          /\ sequence[p] \in None..MaxSequence + 1
          /\ HasBatch(p) /\ Idempotent => sequence[p] = batch[p].seq + Len(batch[p].ms)
    /\ starts \in 0..MaxStarts /\ frees \in 0..MaxFrees

Init ==
    /\ run = "started"
    /\ admitted = [p \in Partitions |-> 0]
    /\ queue = [p \in Partitions |-> <<>>]
    /\ batch = [p \in Partitions |-> NoBatch]
    /\ wire = [p \in Partitions |-> "idle"]
    /\ verdict = [p \in Partitions |-> [m \in Messages |-> "none"]]
    /\ tried = [p \in Partitions |-> [m \in Messages |-> "no"]]
    /\ id = 1
    /\ highest = [i \in IDs |-> 0] /\ floor = [i \in IDs |-> None]
    /\ pid = [p \in Partitions |-> 1]
    /\ epoch = [p \in Partitions |-> None] /\ sequence = [p \in Partitions |-> None]
    /\ late = {}
    /\ log = [p \in Partitions |-> <<>>] /\ safe = [p \in Partitions |-> 0]
    /\ lost = [p \in Partitions |-> {}]
    /\ starts = 0 /\ frees = 0 /\ moves = 0

-----------------------------------------------------------------------------
(* The guards that the guarantees rest on.  Each has a name, so that a      *)
(* weakened model can replace exactly one of them (weak/*.cfg).             *)

Admits             == run = "started"          \* D7: a message may be put into the queue
MayDecide(p, m)    == verdict[p][m] = "none"   \* D1: a verdict may be given
MayStop            == AllDecided               \* D1: a Stop that is not forced may end
Unsure             == TRUE                     \* D2: an ambiguous answer leaves doubt
InDoubt(p)         == wire[p] # "writing"      \* D2, D5: a connection lost at this point leaves doubt
Doubted(p)         == batch[p].maybe           \* D2: an earlier request may have been appended
Unsent(p, m)       == IF tried[p][m] = "refused" THEN "rejected" ELSE "notsent"  \* D2: the verdict of a message that was not appended
Reached(i)         == highest[i]               \* D2: the epoch that all partitions count as used at a start
Freed(i)           == highest[i]               \* D2: the epoch that a partition without a core counts as used
NextInDoubt(p)     == None                     \* D2: the next sequence number after a batch that ended in doubt
AgainAfter(p)      == ~batch[p].maybe          \* D3: the batch may be sent again after a wrong sequence number
MaySplit(p)        == ~batch[p].maybe /\ Len(batch[p].ms) > 1  \* D3: the batch may be split
MayAdopt(acked)    == acked                    \* D4: a partition may change to the newest producer id
Requeue(p, s)      == s \o queue[p]            \* D4: the queue after messages of the batch went back to it
MayWithdraw(p)     == wire[p] = "idle" /\ ~batch[p].maybe      \* D5: a message may leave the batch
Shortened(p, left) == left                     \* D5: the batch after messages have left it
Expires(p, m)      == TRUE                     \* D6: the deadline of m is observed
MayTake            == run # "stopped"          \* D7: queued messages may be sent

-----------------------------------------------------------------------------
(* Pieces of actions.                                                       *)

(* The undecided messages in S get the verdict v.                           *)
Given(p, S, v)  == [m \in Messages |-> IF m \in S /\ MayDecide(p, m) THEN v ELSE verdict[p][m]]
Decide(p, S, v) == verdict' = [verdict EXCEPT ![p] = Given(p, S, v)]

(* Records the fate of a request with the messages S.  Doubt stays, and     *)
(* nothing is recorded for a decided message.                               *)
Note(p, S, what) ==
    tried' = [tried EXCEPT ![p] = [m \in Messages |->
                IF verdict'[p][m] # "none" THEN "no"
                ELSE IF m \in S /\ @[m] # "unsure" THEN what ELSE @[m]]]

(* The next sequence number, if a batch that begins at s has n messages.    *)
After(s, n) == IF Idempotent THEN s + n ELSE 0

(* The epoch that a partition takes when it needs another one: the highest  *)
(* of its id, if that is above every epoch that it has used, else the next. *)
NextEpoch(p) ==
    LET i    == pid[p]
        used == IF epoch[p] = None THEN floor[i] ELSE epoch[p]
    IN IF highest[i] > used THEN highest[i] ELSE highest[i] + 1

(* The batch ends.  After an acknowledged one the next batch has the        *)
(* sequence numbers that follow; and only here may a partition change to a  *)
(* new producer id, since no old request can be appended any more.  After a *)
(* batch in doubt the next one begins another epoch, which fences this one. *)
End(p, acked) ==
    /\ batch' = [batch EXCEPT ![p] = NoBatch]
    /\ IF MayAdopt(acked) /\ id # pid[p]
       THEN /\ pid'      = [pid EXCEPT ![p] = id]
            /\ epoch'    = [epoch EXCEPT ![p] = None]
            /\ sequence' = [sequence EXCEPT ![p] = None]
       ELSE /\ sequence' = [sequence EXCEPT ![p] = IF acked \/ ~Idempotent THEN @ ELSE NextInDoubt(p)]
            /\ UNCHANGED <<pid, epoch>>
    /\ UNCHANGED <<queue, highest, floor>>

(* The batch waits for its next attempt.  In doubt it is sent again as it   *)
(* is, as long as one of its messages is undecided.  Without doubt, decided *)
(* messages leave it, and the others get consecutive sequence numbers from  *)
(* its first on.                                                            *)
Continue(p, maybe) ==
    LET left == Without(batch[p].ms, {m \in Messages : verdict'[p][m] # "none"})
    IN IF maybe
       THEN IF left = <<>>
            THEN End(p, FALSE)
            ELSE batch' = [batch EXCEPT ![p].maybe = TRUE] /\ UNCHANGED <<queue, numbers>>
       ELSE LET s == Shortened(p, left)
            IN /\ batch' = [batch EXCEPT ![p] = IF s = <<>> THEN NoBatch ELSE [@ EXCEPT !.ms = s]]
               /\ sequence' = [sequence EXCEPT ![p] = After(batch[p].seq, Len(s))]
               /\ UNCHANGED <<queue, pid, epoch, highest, floor>>

-----------------------------------------------------------------------------
(* Calls and deadlines.                                                     *)

(* A call puts a message into the queue of its partition.                   *)
Admit(p) ==
    /\ Admits /\ Total(Partitions) < MaxMessages
    /\ admitted' = [admitted EXCEPT ![p] = @ + 1]
    /\ queue' = [queue EXCEPT ![p] = Append(@, admitted'[p])]
    /\ UNCHANGED <<run, batch, wire, fates, id, numbers, late, leader, bounds>>

(* The caller of WriteMessages leaves, or the deadline of m passes, and no  *)
(* request can have appended m: it is withdrawn from the queue ...          *)
WithdrawQueued(p, m) ==
    /\ m \in In(queue[p]) /\ Expires(p, m)
    /\ queue' = [queue EXCEPT ![p] = Without(@, {m})]
    /\ Decide(p, {m}, Unsent(p, m))
    /\ Note(p, {}, "no")
    /\ UNCHANGED <<run, admitted, batch, wire, id, numbers, late, leader, bounds>>

(* ... or from the batch that waits for its first or next attempt.          *)
WithdrawTaken(p, m) ==
    /\ m \in In(batch[p].ms) /\ MayWithdraw(p) /\ Expires(p, m)
    /\ Decide(p, {m}, Unsent(p, m))
    /\ Note(p, {}, "no")
    /\ Continue(p, FALSE)
    /\ UNCHANGED <<run, admitted, wire, id, late, leader, bounds>>

(* The same, when a request with m is under way or one may have appended    *)
(* it.  The verdict cannot wait, and the batch goes on.                     *)
GiveUp(p, m) ==
    /\ m \in In(batch[p].ms) \cap Undecided(p) /\ ~MayWithdraw(p) /\ Expires(p, m)
    /\ Decide(p, {m}, "maybe")
    /\ Note(p, {}, "no")
    /\ IF wire[p] = "idle" THEN Continue(p, TRUE) ELSE UNCHANGED <<core, numbers>>
    /\ UNCHANGED <<run, admitted, wire, id, late, leader, bounds>>

-----------------------------------------------------------------------------
(* Batches and attempts.                                                    *)

TakeFirst(p, n, s) ==
    /\ batch' = [batch EXCEPT ![p] = [ms |-> SubSeq(queue[p], 1, n), seq |-> s, maybe |-> FALSE]]
    /\ queue' = [queue EXCEPT ![p] = SubSeq(@, n + 1, Len(@))]
    /\ sequence' = [sequence EXCEPT ![p] = After(s, n)]

CanTake(p, n)   == MayTake /\ ~HasBatch(p) /\ n <= Len(queue[p])
Continues(p, n) == ~Idempotent \/ (sequence[p] # None /\ sequence[p] + n <= MaxSequence + 1)

(* The first messages of the queue become the batch, with the sequence      *)
(* numbers that follow those of the last batch ...                          *)
Take(p, n) ==
    /\ CanTake(p, n) /\ Continues(p, n)
    /\ TakeFirst(p, n, After(sequence[p], 0))
    /\ UNCHANGED <<run, admitted, wire, fates, id, pid, epoch, highest, floor, late, leader, bounds>>

(* ... or from 0 on in another epoch: the core is new, the last batch ended *)
(* in doubt, the leader expected another number, or there are none left.    *)
TakeInNextEpoch(p, n) ==
    /\ CanTake(p, n) /\ ~Continues(p, n) /\ NextEpoch(p) <= MaxEpoch
    /\ TakeFirst(p, n, 0)
    /\ epoch' = [epoch EXCEPT ![p] = NextEpoch(p)]
    /\ highest' = [highest EXCEPT ![pid[p]] = NextEpoch(p)]
    /\ UNCHANGED <<run, admitted, wire, fates, id, pid, floor, late, leader, bounds>>

(* The writing of a request with the batch begins: the next attempt.        *)
Send(p) ==
    /\ HasBatch(p) /\ wire[p] = "idle"
    /\ wire' = [wire EXCEPT ![p] = "writing"]
    /\ UNCHANGED <<run, admitted, core, fates, id, numbers, late, leader, bounds>>

-----------------------------------------------------------------------------
(* The network.                                                             *)

(* The request is written whole: the leader may handle it from now on.      *)
Write(p) ==
    /\ wire[p] = "writing"
    /\ wire' = [wire EXCEPT ![p] = "written"]
    /\ UNCHANGED <<run, admitted, core, fates, id, numbers, late, leader, bounds>>

(* The connection is lost before that: a broker drops an incomplete one.    *)
LoseUnwritten(p) ==
    /\ wire[p] = "writing"
    /\ wire' = [wire EXCEPT ![p] = "idle"]
    /\ UNCHANGED <<verdict, tried>>
    /\ Continue(p, batch[p].maybe \/ InDoubt(p))
    /\ UNCHANGED <<run, admitted, id, late, leader, bounds>>

(* The connection is lost after that, or WriteTimeout passes.  The request  *)
(* may reach the leader at any later moment, or never.                      *)
LoseWritten(p) ==
    /\ wire[p] = "written"
    /\ wire' = [wire EXCEPT ![p] = "idle"]
    /\ late' = late \cup {Request(p)}
    /\ UNCHANGED verdict
    /\ Note(p, In(batch[p].ms), "unsure")
    /\ Continue(p, batch[p].maybe \/ InDoubt(p))
    /\ UNCHANGED <<run, admitted, id, leader, bounds>>

(* The leader has handled the request, and its answer is lost.              *)
LoseAnswer(p) ==
    /\ wire[p] \in Answers
    /\ wire' = [wire EXCEPT ![p] = "idle"]
    /\ UNCHANGED verdict
    /\ Note(p, In(batch[p].ms), "unsure")
    /\ Continue(p, batch[p].maybe \/ InDoubt(p))
    /\ UNCHANGED <<run, admitted, id, late, leader, bounds>>

-----------------------------------------------------------------------------
(* Answers.  Messages that have their verdict keep it.                      *)

Answered(p, answer) ==
    /\ wire[p] = answer
    /\ wire' = [wire EXCEPT ![p] = "idle"]
    /\ UNCHANGED <<run, admitted, id, late, leader, bounds>>

AnswerOk(p) ==
    /\ Answered(p, "ok")
    /\ Decide(p, In(batch[p].ms), "delivered")
    /\ Note(p, {}, "no")
    /\ End(p, TRUE)

(* With Acks = "none" there are no answers: the request was handed over.    *)
HandedOver(p) ==
    /\ Acks = "none" /\ wire[p] = "written"
    /\ wire' = [wire EXCEPT ![p] = "idle"]
    /\ late' = late \cup {Request(p)}
    /\ Decide(p, In(batch[p].ms), "delivered")
    /\ Note(p, {}, "no")
    /\ End(p, TRUE)
    /\ UNCHANGED <<run, admitted, id, leader, bounds>>

AnswerUnsure(p) ==
    /\ Answered(p, "unsure")
    /\ UNCHANGED verdict
    /\ Note(p, In(batch[p].ms), "unsure")
    /\ Continue(p, batch[p].maybe \/ Unsure)

AnswerRetry(p) ==
    /\ Answered(p, "retry")
    /\ UNCHANGED verdict
    /\ Note(p, In(batch[p].ms), "refused")
    /\ Continue(p, batch[p].maybe)

(* Refused for good; or in part, or for its size, when taking the batch     *)
(* apart is not possible.                                                   *)
AnswerRefused(p) ==
    /\ Answered(p, wire[p])
    /\ \/ wire[p] = "refused"
       \/ wire[p] = "large" /\ ~MaySplit(p)
       \/ wire[p] = "invalid" /\ Doubted(p)
    /\ Decide(p, In(batch[p].ms), IF Doubted(p) THEN "maybe" ELSE "rejected")
    /\ Note(p, {}, "no")
    /\ Continue(p, Doubted(p))

(* Too large: its first half keeps the sequence numbers, the other half is  *)
(* the next batch.  Never after a request that may have been appended.      *)
Split(p) ==
    LET b    == batch[p]
        half == (Len(b.ms) + 1) \div 2
        open == Undecided(p)
        head == SelectSeq(SubSeq(b.ms, 1, half), LAMBDA m : m \in open)
        tail == SelectSeq(SubSeq(b.ms, half + 1, Len(b.ms)), LAMBDA m : m \in open)
    IN /\ Answered(p, "large") /\ MaySplit(p)
       /\ UNCHANGED verdict
       /\ Note(p, In(b.ms), "no")
       /\ batch' = [batch EXCEPT ![p] = IF head = <<>> THEN NoBatch ELSE [ms |-> head, seq |-> b.seq, maybe |-> FALSE]]
       /\ queue' = [queue EXCEPT ![p] = Requeue(p, tail)]
       /\ sequence' = [sequence EXCEPT ![p] = After(b.seq, Len(head))]
       /\ UNCHANGED <<pid, epoch, highest, floor>>

(* The records R are refused, and nothing was appended.                     *)
AnswerInvalid(p, R) ==
    /\ Answered(p, "invalid") /\ ~Doubted(p)
    /\ R # {} /\ R \subseteq In(batch[p].ms)
    /\ Decide(p, R, "rejected")
    /\ Note(p, In(batch[p].ms), "no")
    /\ Continue(p, FALSE)

(* The leader expected another sequence number or epoch.  In doubt the      *)
(* verdict is ErrMaybeDelivered.  Otherwise the messages go back into the   *)
(* queue, and are sent in another epoch.                                    *)
AnswerSequence(p) ==
    /\ Answered(p, "sequence")
    /\ IF AgainAfter(p)
       THEN LET open == Undecided(p)
            IN /\ UNCHANGED verdict
               /\ Note(p, In(batch[p].ms), "no")
               /\ batch' = [batch EXCEPT ![p] = NoBatch]
               /\ queue' = [queue EXCEPT ![p] = Requeue(p, SelectSeq(batch[p].ms, LAMBDA m : m \in open))]
               /\ sequence' = [sequence EXCEPT ![p] = None]
               /\ UNCHANGED <<pid, epoch, highest, floor>>
       ELSE /\ Decide(p, In(batch[p].ms), "maybe")
            /\ Note(p, {}, "no")
            /\ Continue(p, TRUE)

-----------------------------------------------------------------------------
(* The producer.                                                            *)

Stop ==
    /\ run = "started"
    /\ run' = "stopping"
    /\ UNCHANGED <<admitted, core, wire, fates, id, numbers, late, leader, bounds>>

(* The connections are closed.  Requests written whole may still arrive.    *)
Close ==
    /\ late' = late \cup {Request(p) : p \in {q \in Partitions : wire[q] = "written"}}
    /\ wire' = [p \in Partitions |-> "idle"]
    /\ queue' = [p \in Partitions |-> <<>>]
    /\ batch' = [p \in Partitions |-> NoBatch]
    /\ tried' = [p \in Partitions |-> [m \in Messages |-> "no"]]
    /\ run' = "stopped"

(* A Stop ends when every message has its verdict.                          *)
StopEnds ==
    /\ run = "stopping" /\ MayStop
    /\ Close
    /\ UNCHANGED <<admitted, verdict, id, numbers, leader, bounds>>

(* A Stop is forced, or the producer dies: every message gets its verdict   *)
(* now.                                                                     *)
Cut ==
    /\ run # "stopped" /\ ~AllDecided
    /\ Close
    /\ verdict' = [p \in Partitions |-> [m \in Messages |->
                     IF m \notin Undecided(p) THEN verdict[p][m]
                     ELSE IF m \in In(batch[p].ms) /\ ~MayWithdraw(p) THEN "maybe"
                     ELSE Unsent(p, m)]]
    /\ UNCHANGED <<admitted, id, numbers, leader, bounds>>

(* Every partition begins another epoch, because its core of the last start *)
(* is gone.                                                                 *)
Start ==
    /\ run = "stopped" /\ starts < MaxStarts
    /\ run' = "started" /\ starts' = starts + 1
    /\ floor' = [i \in IDs |-> IF i <= id THEN Reached(i) ELSE None]
    /\ epoch' = [p \in Partitions |-> None]
    /\ sequence' = [p \in Partitions |-> None]
    /\ UNCHANGED <<admitted, core, wire, fates, id, pid, highest, late, leader, frees>>

(* The core of an idle partition is freed.                                  *)
Free(p) ==
    /\ run = "started" /\ frees < MaxFrees
    /\ Idempotent /\ queue[p] = <<>> /\ ~HasBatch(p) /\ epoch[p] # None
    /\ frees' = frees + 1
    /\ floor' = [floor EXCEPT ![pid[p]] = Freed(pid[p])]
    /\ epoch' = [epoch EXCEPT ![p] = None]
    /\ sequence' = [sequence EXCEPT ![p] = None]
    /\ UNCHANGED <<run, admitted, core, wire, fates, id, pid, highest, late, leader, starts>>

(* The epochs of the producer id are running out, and the cluster gives     *)
(* another.  Each partition changes to it by itself: End.                   *)
NewID ==
    /\ run = "started" /\ id < MaxIDs /\ highest[id] >= EpochLimit
    /\ id' = id + 1
    /\ UNCHANGED <<run, admitted, core, wire, fates, numbers, late, leader, bounds>>
=============================================================================
