------------------------------ MODULE Delivery ------------------------------
(****************************************************************************)
(* The contract of delivery: what becomes of the messages that a Producer   *)
(* admits to one partition, whatever the implementation.  Read this module  *)
(* first; the guarantees D1 to D4 stand at its end.                         *)
(*                                                                          *)
(* A message is admitted when its call puts it into the partition's queue.  *)
(* From then on three things can happen to it, in any order: requests with  *)
(* it are sent, a leader appends it to the log, and the producer decides    *)
(* its verdict, once.  The contract says which of these exclude which.      *)
(****************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    MaxMessages,    \* bound: messages
    Acks,           \* "all", "one" or "none": what a delivered message needs
    Idempotent,     \* a message is in the log at most once (needs "all")
    MaxLog          \* bound: messages in the log, when not idempotent

ASSUME /\ MaxMessages \in Nat \ {0} /\ MaxLog \in Nat
       /\ Acks \in {"all", "one", "none"} /\ Idempotent \in BOOLEAN
       /\ Idempotent => Acks = "all"

VARIABLES
    run,        \* the producer is "started", "stopping" or "stopped"
    admitted,   \* how many messages were admitted; they are numbered in that order
    stage,      \* [message -> how far an undecided message has come]
    verdict,    \* [message -> its verdict, "none" until decided]
    log,        \* the partition's log: its messages, in its order
    lost        \* with "one": messages that were in the log of a leader which was replaced

vars     == <<run, admitted, stage, verdict, log, lost>>
messages == <<stage, verdict>>
cluster  == <<log, lost>>

Messages == 1..MaxMessages

(* "queued":  no request has appended it, and none can any more;            *)
(* "refused": the same, and a broker refused it last;                       *)
(* "sent":    a request with it is under way, or may have appended it.      *)
Stages   == {"queued", "refused", "sent"}

(* "delivered"; and the errors ErrNotSent, ErrRejected, ErrMaybeDelivered.  *)
Verdicts == {"none", "delivered", "notsent", "rejected", "maybe"}

In(s)     == {s[i] : i \in 1..Len(s)}
Undecided == {m \in 1..admitted : verdict[m] = "none"}

TypeOK ==
    /\ run \in {"started", "stopping", "stopped"}
    /\ admitted \in 0..MaxMessages
    /\ stage \in [Messages -> Stages]
    /\ verdict \in [Messages -> Verdicts]
    /\ In(log) \subseteq Messages
    /\ lost \subseteq Messages

Init ==
    /\ run = "started" /\ admitted = 0
    /\ stage = [m \in Messages |-> "queued"]
    /\ verdict = [m \in Messages |-> "none"]
    /\ log = <<>> /\ lost = {}

-----------------------------------------------------------------------------
(* The producer.                                                            *)

Admit ==
    /\ run = "started" /\ admitted < MaxMessages
    /\ admitted' = admitted + 1
    /\ UNCHANGED <<run, messages, cluster>>

(* The writing of a request begins; S are its undecided messages.           *)
Send(S) ==
    /\ run # "stopped" /\ S # {} /\ S \subseteq Undecided
    /\ stage' = [m \in Messages |-> IF m \in S THEN "sent" ELSE stage[m]]
    /\ UNCHANGED <<run, admitted, verdict, cluster>>

(* When a message may get a verdict.  With "all" a delivered message is in  *)
(* the log, and stays there; with "one" a leader had appended it; with      *)
(* "none" it was handed to the network.                                     *)
Delivered(m) ==
    /\ stage[m] = "sent"
    /\ CASE Acks = "all"  -> m \in In(log)
         [] Acks = "one"  -> m \in In(log) \cup lost
         [] Acks = "none" -> TRUE

May(m, v) ==
    CASE v = "delivered" -> Delivered(m)
      [] v = "notsent"   -> stage[m] = "queued"
      [] v = "rejected"  -> stage[m] \in {"sent", "refused"} /\ m \notin In(log) \cup lost
      [] v = "maybe"     -> stage[m] = "sent"

(* An undecided message gets its verdict; or it becomes certain that no     *)
(* request has appended it, or will.                                        *)
Decides(m)  == m \in Undecided /\ verdict'[m] # "none" /\ May(m, verdict'[m]) /\ stage'[m] = "queued"
Returns(m)  == /\ m \in Undecided /\ verdict'[m] = "none"
               /\ stage[m] = "sent" /\ stage'[m] # "sent" /\ m \notin In(log) \cup lost
Untouched(m) == verdict'[m] = verdict[m] /\ stage'[m] = stage[m]

Outcome ==
    /\ verdict' \in [Messages -> Verdicts] /\ stage' \in [Messages -> Stages]
    /\ \A m \in Messages : Decides(m) \/ Returns(m) \/ Untouched(m)
    /\ UNCHANGED <<admitted, cluster>>

(* An answer, a deadline that passes, a caller that leaves: all at any time *)
(* for any of the messages.                                                 *)
Decide == run # "stopped" /\ UNCHANGED run /\ Outcome

(* Stop or Shutdown begins: nothing is admitted any more.                   *)
Stop ==
    /\ run = "started"
    /\ run' = "stopping"
    /\ UNCHANGED <<admitted, messages, cluster>>

(* The Stop ends.  If it was forced, every message that is left gets its    *)
(* verdict in this step.                                                    *)
Stopped ==
    /\ run # "stopped"
    /\ run' = "stopped"
    /\ Outcome
    /\ Undecided' = {}

Start ==
    /\ run = "stopped"
    /\ run' = "started"
    /\ UNCHANGED <<admitted, messages, cluster>>

-----------------------------------------------------------------------------
(* The cluster.                                                             *)

(* A request may arrive long after the producer has lost interest in it.    *)
MayCome(m) == (m \in Undecided /\ stage[m] = "sent") \/ verdict[m] \in {"maybe", "delivered"}

Ascending(S) == CHOOSE s \in [1..Cardinality(S) -> S] : \A i, j \in 1..Cardinality(S) : i < j => s[i] < s[j]

Appended(S) ==
    /\ S # {} /\ \A m \in S : MayCome(m)
    /\ Idempotent => \A m \in S, n \in In(log) : m > n
    /\ ~Idempotent => Len(log) + Cardinality(S) <= MaxLog
    /\ log' = log \o Ascending(S)
    /\ UNCHANGED <<run, admitted, messages, lost>>

(* Another leader: it may lack the last messages, unless Acks = "all" has   *)
(* called them delivered.                                                   *)
Move(n) ==
    /\ Acks = "all" => \A m \in Messages : verdict[m] = "delivered" => m \in In(SubSeq(log, 1, n))
    /\ log' = SubSeq(log, 1, n)
    /\ lost' = IF Acks = "one" THEN lost \cup In(SubSeq(log, n + 1, Len(log))) ELSE lost
    /\ UNCHANGED <<run, admitted, messages>>

-----------------------------------------------------------------------------
Next ==
    \/ Admit
    \/ \E S \in SUBSET Messages : Send(S)
    \/ Decide
    \/ Stop
    \/ Stopped
    \/ Start
    \/ \E S \in SUBSET Messages : Appended(S)
    \/ \E n \in 0..Len(log) : Move(n)

Safety == Init /\ [][Next]_vars

Progress ==
    /\ \A m \in Messages : (m <= admitted) ~> (verdict[m] # "none")
    /\ (run = "stopping") ~> (run = "stopped")

Spec == Safety /\ Progress

-----------------------------------------------------------------------------
(* What follows, by the names that the Go documentation and the tests cite. *)
(* OneVerdict and TruthWhenDecided hold of each step, the others of each    *)
(* state.                                                                   *)

(* D1.  A message that was admitted gets exactly one verdict, which never   *)
(* changes; when a Stop has returned, every verdict is decided.             *)
OneVerdict ==
    /\ \A m \in Messages : verdict[m] # "none" => verdict'[m] = verdict[m]
    /\ \A m \in Messages : verdict'[m] # "none" => m <= admitted
    /\ run' = "stopped" => Undecided' = {}

(* D2.  Delivered: the message is in the log, as Acks says.  ErrNotSent and *)
(* ErrRejected: it is not in the log and never will be; a broker refused it *)
(* last, or not.  ErrMaybeDelivered: only if the writing of a request with  *)
(* it had begun, and its outcome is not known.                              *)
Truth ==
    \A m \in Messages :
       /\ verdict[m] = "delivered" /\ Acks = "all" => m \in In(log)
       /\ verdict[m] \in {"notsent", "rejected"} => m \notin In(log) \cup lost

TruthWhenDecided ==
    \A m \in Messages : verdict[m] = "none" /\ verdict'[m] # "none" => May(m, verdict'[m])

(* D3.  With idempotence a message is in the log at most once.              *)
Once == Idempotent => \A i, j \in 1..Len(log) : log[i] = log[j] => i = j

(* D4.  With idempotence the log has the messages in the order in which     *)
(* they were admitted, those that are there.  (A message is its number in   *)
(* that order.)                                                             *)
Order == Idempotent => \A i, j \in 1..Len(log) : i < j => log[i] <= log[j]

OneVerdictAlways       == [][OneVerdict]_vars
TruthWhenDecidedAlways == [][TruthWhenDecided]_vars
=============================================================================
