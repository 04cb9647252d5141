---------------------------- MODULE DeliveryReach ---------------------------
(****************************************************************************)
(* A guarantee of the form "whenever ..., then ..." says nothing if the     *)
(* whenever never comes.  Each line below is such a premise, or a way for a *)
(* promise to come true; TLC prints it the first time that a step shows it, *)
(* and `run.sh reach` fails if one of them is missing from all runs.        *)
(****************************************************************************)
EXTENDS DeliveryMC

Lines == 1..46

ASSUME \A i \in Lines : TLCSet(i, FALSE)

Seen(i, name, Situation) ==
    (~TLCGet(i) /\ Situation) => TLCSet(i, TRUE) /\ PrintT("REACHED " \o name)

(* In some partition, for some message.                                     *)
Gets(v)      == \E p \in Partitions, m \in Messages : Decided(p, m) /\ verdict'[p][m] = v
InLog(p, m)  == m \in In(Flat(log[p]))
IsLate(p, m) == \E r \in late : r.part = p /\ m \in In(r.ms)
Comes(p, m)  == ~InLog(p, m) /\ InLog(p, m)'
Waiting(p)   == HasBatch(p) /\ wire[p] = "idle"
Gone(p)      == {m \in Messages : Decided(p, m)}

Watch ==
    /\ Seen( 1, "D1: an answer comes after the deadline of one of two messages", \E p \in Partitions : wire[p] = "ok" /\ Len(batch[p].ms) = 2 /\ Cardinality(Undecided(p) \cap In(batch[p].ms)) = 1 /\ wire'[p] = "idle")
    /\ Seen( 2, "D1: an answer comes after the deadlines of all", \E p \in Partitions : wire[p] = "ok" /\ HasBatch(p) /\ Undecided(p) = {} /\ wire'[p] = "idle")
    /\ Seen( 3, "D1: a Stop ends, and messages had been admitted", run = "stopping" /\ run' = "stopped" /\ \E p \in Partitions : admitted[p] > 0)
    /\ Seen( 4, "D2: delivered, by the answer to a first request", \E p \in Partitions : ~batch[p].maybe /\ Gone(p) # {} /\ wire[p] = "ok")
    /\ Seen( 5, "D2: delivered, by the answer to a duplicate", \E p \in Partitions, m \in Messages : Decided(p, m) /\ verdict'[p][m] = "delivered" /\ tried[p][m] = "unsure")
    /\ Seen( 6, "D2: maybe, and it is in the log", \E p \in Partitions, m \in Messages : Decided(p, m) /\ verdict'[p][m] = "maybe" /\ InLog(p, m))
    /\ Seen( 7, "D2: maybe, and it is not", \E p \in Partitions, m \in Messages : Decided(p, m) /\ verdict'[p][m] = "maybe" /\ ~InLog(p, m))
    /\ Seen( 8, "D2: maybe, and it comes later", \E p \in Partitions, m \in Messages : verdict[p][m] = "maybe" /\ Comes(p, m))
    /\ Seen( 9, "D2: maybe, while the request is being written", \E p \in Partitions : wire[p] = "writing" /\ Gone(p) # {} /\ run' # "stopped")
    /\ Seen(10, "D2: rejected for good", \E p \in Partitions, m \in Messages : Decided(p, m) /\ verdict'[p][m] = "rejected" /\ wire[p] = "refused")
    /\ Seen(11, "D2: refused for good after a request in doubt: maybe", \E p \in Partitions, m \in Messages : Decided(p, m) /\ verdict'[p][m] = "maybe" /\ wire[p] = "refused" /\ wire'[p] = "idle" /\ run' # "stopped")
    /\ Seen(12, "D2: refused for now, then withdrawn: rejected", \E p \in Partitions, m \in Messages : Decided(p, m) /\ verdict'[p][m] = "rejected" /\ wire[p] = "idle")
    /\ Seen(13, "D2: too large and alone: rejected", \E p \in Partitions, m \in Messages : Decided(p, m) /\ verdict'[p][m] = "rejected" /\ wire[p] = "large")
    /\ Seen(14, "D2: one record of a batch is refused, the other is sent again", \E p \in Partitions : wire[p] = "invalid" /\ wire'[p] = "idle" /\ Gone(p) # {} /\ batch'[p].ms # <<>>)
    /\ Seen(15, "D2: an unwritten request is lost, and no doubt is left", \E p \in Partitions : wire[p] = "writing" /\ wire'[p] = "idle" /\ HasBatch(p) /\ ~batch'[p].maybe /\ batch'[p].ms # <<>> /\ run' # "stopped")
    /\ Seen(16, "D2: a core that was freed begins the next epoch", \E p \in Partitions : epoch[p] = None /\ epoch'[p] > 0 /\ frees > 0 /\ starts = 0)
    /\ Seen(17, "D2: a start begins an epoch above one to which a partition has gone", starts = 1 /\ \E p \in Partitions : epoch[p] = None /\ epoch'[p] > 1)
    /\ Seen(18, "D3: a late request is a duplicate", \E r \in late : IsDuplicate(r))
    /\ Seen(19, "D3: a late request is fenced by a newer epoch", \E r \in late : ~IsDuplicate(r) /\ ~Fits(r) /\ log[r.part] # <<>> /\ Newest(r.part, r.pid).epoch > r.epoch)
    /\ Seen(20, "D3: a late request is appended while the batch waits", \E p \in Partitions, m \in Messages : Comes(p, m) /\ Waiting(p) /\ m \in In(batch[p].ms))
    /\ Seen(21, "D3: a late request is appended while the batch is under way", \E p \in Partitions, m \in Messages : Comes(p, m) /\ wire[p] = "written" /\ wire'[p] = "written" /\ m \in In(batch[p].ms))
    /\ Seen(22, "D3: a message is appended again that a change of leader forgot", \E p \in Partitions, m \in Messages : moves > 0 /\ Comes(p, m) /\ tried[p][m] = "unsure" /\ ~IsLate(p, m))
    /\ Seen(23, "D3: a change of leader forgets", \E p \in Partitions : Len(log'[p]) < Len(log[p]))
    /\ Seen(24, "D3: a change of leader keeps what is acknowledged", \E p \in Partitions : moves' > moves /\ safe[p] > 0)
    /\ Seen(25, "D4: a message lands behind one that is in doubt", \E p \in Partitions, m \in Messages : Comes(p, m) /\ \E n \in 1..m - 1 : verdict[p][n] = "maybe" /\ InLog(p, n))
    /\ Seen(26, "D4: a message lands, and one in doubt before it never does", \E p \in Partitions, m \in Messages : Comes(p, m) /\ \E n \in 1..m - 1 : verdict[p][n] = "maybe" /\ ~InLog(p, n) /\ IsLate(p, n))
    /\ Seen(27, "D4: after a forced stop an old request arrives before a new one", \E p \in Partitions, m \in Messages : Comes(p, m) /\ starts = 1 /\ verdict[p][m] = "maybe" /\ Waiting(p))
    /\ Seen(28, "D4: after a forced stop a new one fences it", \E p \in Partitions, m \in Messages : Comes(p, m) /\ starts = 1 /\ verdict[p][m] = "none" /\ \E n \in 1..m - 1 : IsLate(p, n) /\ ~InLog(p, n))
    /\ Seen(29, "D4: a partition changes to a new producer id", pid' # pid)
    /\ Seen(30, "D4: a partition has to keep the old one after a batch in doubt", \E p \in Partitions : id # pid[p] /\ Gone(p) # {} /\ sequence'[p] = None /\ pid'[p] = pid[p])
    /\ Seen(31, "D4: a batch is split, and its second half goes back into the queue", \E p \in Partitions : wire[p] = "large" /\ wire'[p] = "idle" /\ queue'[p] # queue[p] /\ HasBatch(p)')
    /\ Seen(32, "D5: withdrawn from the queue", \E p \in Partitions : Gone(p) \cap In(queue[p]) # {} /\ run' # "stopped")
    /\ Seen(33, "D5: withdrawn from a batch, before its first attempt", \E p \in Partitions : Waiting(p) /\ Gone(p) \cap In(batch[p].ms) # {} /\ ~batch[p].maybe /\ batch'[p].ms # <<>>)
    /\ Seen(34, "D5: withdrawn from a batch of one", \E p \in Partitions : Waiting(p) /\ Gone(p) # {} /\ ~batch[p].maybe /\ batch'[p].ms = <<>> /\ run' # "stopped")
    /\ Seen(35, "D5: given up while it waits in doubt, and sent again for the other", \E p \in Partitions : Waiting(p) /\ batch[p].maybe /\ Gone(p) # {} /\ Len(batch'[p].ms) = 2)
    /\ Seen(36, "D5: given up while it waits in doubt, the last of its batch", \E p \in Partitions : Waiting(p) /\ batch[p].maybe /\ Gone(p) # {} /\ batch'[p].ms = <<>> /\ run' # "stopped")
    /\ Seen(37, "D5: the producer is cut, with a message queued and one in doubt", \E p \in Partitions : run' = "stopped" /\ run # "stopped" /\ queue[p] # <<>> /\ wire[p] = "written")
    /\ Seen(38, "D6: a deadline passes while a request is under way", \E p \in Partitions : wire[p] = "written" /\ wire' = wire /\ Gone(p) # {})
    /\ Seen(39, "D7: a Stop finds something in the queue", run = "started" /\ run' = "stopping" /\ \E p \in Partitions : queue[p] # <<>>)
    /\ Seen(40, "D7: it is sent", run = "stopping" /\ \E p \in Partitions : ~HasBatch(p) /\ batch'[p].ms # <<>>)
    /\ Seen(41, "D7: a Stop ends with a request under way that nobody awaits", run = "stopping" /\ run' = "stopped" /\ \E p \in Partitions : wire[p] = "written" /\ Undecided(p) = {})
    /\ Seen(42, "D7: a Stop is forced", run = "stopping" /\ run' = "stopped" /\ \E p \in Partitions : Undecided(p) # {})
    /\ Seen(43, "epochs: a partition takes the highest, which another has begun", \E p \in Partitions : epoch[p] # None /\ epoch'[p] > epoch[p] /\ highest' = highest)
    /\ Seen(44, "epochs: a leader expects another one, and the batch is sent in the next", \E p \in Partitions : wire[p] = "sequence" /\ wire'[p] = "idle" /\ ~batch[p].maybe /\ queue'[p] # <<>> /\ ~HasBatch(p)')
    /\ Seen(45, "epochs: a leader expects another one, and the batch is in doubt", \E p \in Partitions : wire[p] = "sequence" /\ wire'[p] = "idle" /\ batch[p].maybe /\ Gone(p) # {})
    /\ Seen(46, "epochs: the sequence numbers of one are used up", \E p \in Partitions : ~HasBatch(p) /\ sequence[p] = MaxSequence + 1 /\ epoch'[p] > epoch[p])
=============================================================================
