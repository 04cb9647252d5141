---------------------------- MODULE DeliveryWeak ----------------------------
(****************************************************************************)
(* The ways to get delivery wrong.  Each definition stands in for the guard *)
(* of Partition that its name ends with; each DeliveryWeak*.cfg puts one of *)
(* them in its place, and TLC must then refute the guarantee that the file  *)
(* is named after.  delivery.json lists the variants.                       *)
(****************************************************************************)
EXTENDS DeliveryMC

(* D1: an answer that comes after the deadline changes the verdict ...      *)
LateMayDecide(p, m) == TRUE

(* ... or a Stop ends when the queues are empty.                            *)
HastyMayStop == \A p \in Partitions : queue[p] = <<>>

(* D2: an ambiguous answer counts as "not appended": error 6, which a       *)
(* leader also gives when it loses its place after the append ...           *)
WeakUnsure == FALSE

(* ... or a request that was written, and not answered, does ...            *)
WeakInDoubt(p) == FALSE

(* ... or a batch that is refused in the end counts as rejected, although   *)
(* an earlier request may have been appended ...                            *)
WeakDoubted(p) == FALSE

(* ... or what a broker refused last counts as not sent ...                 *)
WeakUnsent(p, m) == "notsent"

(* ... or a start takes the epoch after the last start's, although a        *)
(* partition has gone further ...                                           *)
SessionReached(i) == floor[i] + 1

(* ... or the core of an idle partition is freed, and the next one begins   *)
(* the same epoch at sequence number 0 again ...                            *)
WeakFreed(i) == highest[i] - 1

(* ... or after a batch that ended in doubt the next one has its sequence   *)
(* numbers, in the same epoch.                                              *)
WeakNextInDoubt(p) == batch[p].seq

(* D3: a batch is sent again in another epoch, although an earlier request  *)
(* may have been appended ...                                               *)
WeakAgainAfter(p) == TRUE

(* ... or it is split.                                                      *)
WeakMaySplit(p) == Len(batch[p].ms) > 1

(* D4: a partition changes to a new producer id after a batch that ended in *)
(* doubt: a new id fences nothing ...                                       *)
WeakMayAdopt(acked) == TRUE

(* ... or the second half of a batch that was split goes to the end of the  *)
(* queue.                                                                   *)
WeakRequeue(p, s) == queue[p] \o s

(* D5: a message is withdrawn from a batch that may have been appended ...  *)
WeakMayWithdraw(p) == wire[p] = "idle"

(* ... or never, once it has been taken ...                                 *)
NeverMayWithdraw(p) == FALSE

(* ... or what is withdrawn is sent all the same, with the rest ...         *)
WeakShortened(p, left) == batch[p].ms

(* ... or a request that was not written whole leaves doubt.                *)
AlwaysInDoubt(p) == TRUE

(* D6: deadlines are looked at between two attempts only.                   *)
WeakExpires(p, m) == wire[p] = "idle"

(* D7: a Stop waits for what lingers in the queue, and does not send it ... *)
WeakMayTake == run = "started"

(* ... or messages are admitted as long as it has not ended.                *)
WeakAdmits == run # "stopped"
=============================================================================
