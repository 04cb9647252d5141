---------------------------- MODULE DeliveryTrace ---------------------------
(****************************************************************************)
(* Traces of whole producers, each to be a behaviour of PartitionOnKafka.   *)
(* The events of the cores are recorded, in their order.  What the network  *)
(* and the leaders did is not: these steps are inferred.  At the end the    *)
(* logs are those that were read back, and the verdicts those that the      *)
(* callers got.  TraceData.tla, written by verify/internal/delivery/trace,  *)
(* defines                                                                  *)
(*    Traces[n] = [events, logs, told, others], where                       *)
(*    events[i] = <<event, partition, argument, decided, changed, state>>;  *)
(*       the partition of Start and NewID is 0                              *)
(*    decided   = the <<message, verdict>> that the event leads to          *)
(*    changed   = messages have left the batch, and others are in it        *)
(*    state     = the state of the core after the event; "" if not recorded *)
(*    logs[p]   = the records <<message, producer id, epoch>>, in order     *)
(*    told[p]   = the <<message, verdict>> that callers got                 *)
(*    others    = the verdicts of the messages that were not admitted       *)
(* The argument of Admit and Withdraw is a message; of Take and Send the    *)
(* request <<id, epoch, sequence, messages, again>>; of Answer <<class of   *)
(* the code, places of the refused records>>; of NewID the id.              *)
(****************************************************************************)
EXTENDS DeliveryGuarantees, TLC, TraceData

VARIABLES
    tr,         \* the trace
    at,         \* how many of its events are taken
    said        \* [partition -> what its events have said, and the model does not have:
                \*  the request is written whole, a Stop has come, its end has; cut: the
                \*  verdicts of that end]

traceVars == <<tr, at, said>>

Events  == Traces[tr].events
HasNext == at < Len(Events)
Event   == Events[at + 1]
Nothing == [written |-> FALSE, stops |-> FALSE, ends |-> FALSE, cut |-> {}]

TraceInit ==
    /\ Init
    /\ tr \in 1..Len(Traces)
    /\ at = 0
    /\ said = [p \in Partitions |-> Nothing]

-----------------------------------------------------------------------------
(* The recorded steps.                                                      *)

Asks(p, r) ==
    /\ pid'[p] = r[1] /\ epoch'[p] = r[2]
    /\ (IF Idempotent THEN batch'[p].seq ELSE None) = r[3]
    /\ batch'[p].ms = r[4] /\ batch'[p].maybe = r[5]

(* An answer that names no record of the batch says that it is too large.   *)
(* One that is in no table is final, and leaves doubt.                      *)
Refuses(p, e) == {batch[p].ms[i] : i \in e[3][2] \cap DOMAIN batch[p].ms}

Class(p, e) ==
    CASE e[3][1] = "final"                             -> "unsure"
      [] e[3][1] = "invalid" /\ Refuses(p, e) = {}     -> "large"
      [] OTHER                                         -> e[3][1]

TakesAnswer(p, e) ==
    /\ said[p].written /\ wire[p] = Class(p, e)
    /\ \/ AnswerOk(p)
       \/ AnswerUnsure(p)
       \/ AnswerRetry(p)
       \/ AnswerRefused(p)
       \/ Split(p)
       \/ AnswerInvalid(p, Refuses(p, e))
       \/ AnswerSequence(p)

(* The model stops all partitions at once: it does so with the last of the  *)
(* events.                                                                  *)
Last(p, field) == \A q \in Partitions \ {p} : said[q][field]

Ends(p, cut) ==
    IF ~Last(p, "ends") THEN UNCHANGED vars
    ELSE IF cut # {} \/ \E q \in Partitions : said[q].cut # {} THEN Cut ELSE StopEnds

Takes(e) ==
    LET p == e[2]
    IN CASE e[1] = "Start"      -> Start
         [] e[1] = "NewID"      -> NewID /\ id' = e[3]
         [] e[1] = "Admit"      -> ~said[p].stops /\ Admit(p) /\ admitted'[p] = e[3]
         [] e[1] = "Withdraw"   -> WithdrawQueued(p, e[3]) \/ WithdrawTaken(p, e[3]) \/ GiveUp(p, e[3])
         [] e[1] = "Take"       -> (Take(p, Len(e[3][4])) \/ TakeInNextEpoch(p, Len(e[3][4]))) /\ Asks(p, e[3])
         [] e[1] = "Send"       -> Send(p) /\ Asks(p, e[3])
         [] e[1] = "Write"      -> wire[p] # "idle" /\ UNCHANGED vars
         [] e[1] = "Lose"       -> IF said[p].written THEN LoseWritten(p) \/ LoseAnswer(p) ELSE LoseUnwritten(p)
         [] e[1] = "Answer"     -> TakesAnswer(p, e)
         [] e[1] = "HandedOver" -> said[p].written /\ HandedOver(p)
         [] e[1] = "Free"       -> Free(p)
         [] e[1] = "Stop"       -> ~said[p].stops /\ (IF Last(p, "stops") THEN Stop ELSE UNCHANGED vars)
         [] e[1] = "StopEnds"   -> said[p].stops /\ Ends(p, {})
         [] e[1] = "Cut"        -> Ends(p, e[4])

Says(e) ==
    LET p == e[2]
    IN CASE e[1] = "Start" -> [q \in Partitions |-> Nothing]
         [] e[1] = "NewID" -> said
         [] e[1] = "Send"  -> [said EXCEPT ![p].written = FALSE]
         [] e[1] = "Write" -> [said EXCEPT ![p].written = TRUE]
         [] e[1] = "Stop"  -> [said EXCEPT ![p].stops = TRUE]
         [] e[1] \in {"StopEnds", "Cut"} -> [said EXCEPT ![p].ends = TRUE, ![p].cut = e[4]]
         [] OTHER          -> said

(* The step led to what the event did.  Verdicts of an end are the model's  *)
(* when it stops.                                                           *)
Verdicts(p) == {<<m, verdict'[p][m]>> : m \in {n \in Messages : verdict'[p][n] # verdict[p][n]}}

States(p) ==
    IF batch'[p].ms = <<>> THEN {"Empty"}
    ELSE LET doubt == IF batch'[p].maybe THEN "Doubt" ELSE ""
         IN IF wire'[p] = "idle" THEN {doubt \o "Waiting"} ELSE {doubt \o "Writing", doubt \o "Awaiting"}

Agrees(e) ==
    LET p == e[2]
    IN /\ \A q \in Partitions :
             Verdicts(q) = IF e[1] \in {"StopEnds", "Cut"} THEN (IF run' = "stopped" THEN said'[q].cut ELSE {})
                         ELSE IF q = p THEN e[4] ELSE {}
       /\ p # 0 => (batch[p].ms # <<>> /\ batch'[p].ms # <<>> /\ batch[p].ms # batch'[p].ms) = e[5]
       /\ e[6] # "" => e[6] \in States(p)

TakeEvent ==
    /\ HasNext
    /\ LET e == Event
       IN /\ IF e[2] = 0 THEN TRUE ELSE ~said[e[2]].ends
          /\ Takes(e)
          /\ said' = Says(e)
          /\ Agrees(e)
    /\ at' = at + 1
    /\ UNCHANGED tr

(* The model begins started: before the first start it stops.  It stops     *)
(* too before a cut that has nothing to decide.                             *)
TakeStop ==
    /\ HasNext /\ UNCHANGED traceVars
    /\ \/ at = 0 /\ Event[1] = "Start" /\ (Stop \/ StopEnds)
       \/ Event[1] \in {"StopEnds", "Cut"} /\ Last(Event[2], "ends") /\ AllDecided /\ Stop

-----------------------------------------------------------------------------
(* The inferred steps.  They are taken only before an event that depends on *)
(* what they do, since all other events neither read nor write a log, a     *)
(* late request, or a request under way.                                    *)

Awaited == IF HasNext THEN Event[1] \in {"Answer", "Lose", "HandedOver", "StopEnds", "Cut"} ELSE TRUE

(* A log that was read back is its whole history: an append that it does    *)
(* not have next leads nowhere, unless a change of leader loses it.         *)
RECURSIVE Records(_)
Records(s) ==
    IF s = <<>> THEN <<>>
    ELSE [i \in 1..Len(Head(s).ms) |-> <<Head(s).ms[i], Head(s).pid, Head(s).epoch>>] \o Records(Tail(s))

Read(p) == Traces[tr].logs[p]

Explains(p) ==
    LET r == Records(log[p])
    IN Len(r) <= Len(Read(p)) /\ r = SubSeq(Read(p), 1, Len(r))

Comes(r) ==
    LET n == Len(Records(log[r.part]))
        l == Read(r.part)
    IN n + Len(r.ms) <= Len(l) /\ \A i \in 1..Len(r.ms) : l[n + i] = <<r.ms[i], r.pid, r.epoch>>

(* The event that ends the request under way; <<"">>: there is none.        *)
Outcome(p) ==
    LET all == {i \in at + 1..Len(Events) : Events[i][2] = p /\ Events[i][1] \in {"Answer", "Lose", "HandedOver", "StopEnds", "Cut"}}
    IN IF all = {} THEN <<"">> ELSE Events[CHOOSE i \in all : \A j \in all : i <= j]

(* Of the answers that a leader may give only the next that the producer    *)
(* got leads on.  Without one, an append is all that matters.               *)
Leads(p) ==
    LET e == Outcome(p)
        c == IF e[1] = "Answer" THEN Class(p, e) ELSE "none"
    IN /\ wire[p] = "written"
       /\ \/ c = "ok" /\ (MaxMoves > 0 \/ Comes(Request(p))) /\ LeaderAppends(p)
          \/ c = "none" /\ Comes(Request(p)) /\ LeaderAppends(p)
          \/ c = "ok" /\ LeaderHasIt(p)
          \/ c = "unsure" /\ Comes(Request(p)) /\ LeaderAppendsUnsure(p)
          \/ c = "unsure" /\ LeaderFails(p)
          \/ c = "sequence" /\ LeaderExpectsAnother(p)
          \/ LeaderRefuses(p, c)

(* Where leaders do not answer, an append of what comes can be taken first: *)
(* nothing depends on it.                                                   *)
Early == Awaited /\ Acks = "none" /\ \E r \in late : Comes(r)

Infer ==
    /\ Awaited /\ UNCHANGED traceVars
    /\ \/ \E r \in late : Comes(r) /\ LateAppends(r)
       \/ ~Early /\ \E p \in Partitions : Write(p) \/ Leads(p)

(* A leader that loses a batch does so as soon as it has acknowledged it.   *)
(* (MaxMoves is 0 unless leaders lose, and Acks = "one": in the other modes *)
(* such a batch may as well never have been appended.)                      *)
Astray == {p \in Partitions : ~Explains(p)}

Loses ==
    /\ \E p \in Astray : Move(p, Len(log[p]) - 1)
    /\ UNCHANGED traceVars

-----------------------------------------------------------------------------
TraceNext ==
    IF MaxMoves > 0 /\ Astray # {}
    THEN Loses
    ELSE \/ Infer
         \/ ~Early /\ (TakeEvent \/ TakeStop)

Accepted ==
    /\ ~HasNext /\ Traces[tr].others \subseteq {"notsent", "rejected"}
    /\ \A p \in Partitions :
          /\ Records(log[p]) = Read(p)
          /\ {<<m, verdict[p][m]>> : m \in 1..admitted[p]} = Traces[tr].told[p]

(* Says which traces are accepted.  The tests compare their numbers.        *)
Report == Accepted => PrintT(<<"accepted", tr>>)
=============================================================================
