------------------------------ MODULE Sections ------------------------------
(****************************************************************************)
(* Algorithm, with the critical sections split that write more than one     *)
(* word which lock-free readers load: the state word, the pointer to the    *)
(* attempt that is open, and the gate of that attempt.  A lock-free step    *)
(* may come between any two of these writes.  The algorithm still keeps the *)
(* contract.  So to take a section for one action, as Algorithm does, hides *)
(* nothing.                                                                 *)
(*                                                                          *)
(* In the Go code: openReturned (O1 to O4), releaseLocked with the          *)
(* transition before or after it (R1, R2), and finish (F1 to F4).           *)
(****************************************************************************)
EXTENDS Guarantees

VARIABLES
    word,       \* the state word
    section     \* the section that is half done, and whose it is; Free: none

Free  == <<"free", 0>>
svars == <<vars, word, section>>

-----------------------------------------------------------------------------
(* The order of the writes.  SectionsWeak replaces one at a time.           *)

GateFirst    == TRUE    \* a release closes the gate before the word is Stopping
WordFirst    == TRUE    \* the word is Started before the pointer leads to the gate
AnswersLast  == TRUE    \* the word is Idle or Closed before a Stop is answered

-----------------------------------------------------------------------------
(* Lock-free steps, and those of the callers themselves.                    *)

WordStartFast(c) ==
    /\ pc[c] = "start"
    /\ IF word = "Started"
       THEN Done(c, <<"ok", 0>>)
       ELSE pc' = [pc EXCEPT ![c] = "enter"] /\ UNCHANGED <<on, out>>
    /\ UNCHANGED <<machine, supervision, attempts, ended, bounds>>

(* Once the resource is open its callers' contexts are not looked at.       *)
BeingAnswered(c) == section[1] \in {"opened", "pointer"} /\ c \in Joined(section[2])

LockFree ==
    \E c \in Callers :
        \/ InvokeStart(c) \/ InvokeStop(c) \/ InvokeShutdown(c) \/ InvokeUse(c)
        \/ ContextEnds(c) /\ ~BeingAnswered(c)
        \/ Return(c) \/ WordStartFast(c) \/ UseLoad(c) \/ UseAdd(c) \/ UseEnd(c)

(* Sections that write one of the words at most.                            *)
Whole ==
    /\ section = Free
    /\ \/ \E c \in Callers :
            \/ StartEnter(c) \/ StartLeave(c) \/ StopLeave(c) \/ UseSlow(c) \/ UseDrop(c)
            \/ st # "Started" /\ (StopEnter(c) \/ ShutdownEnter(c))
       \/ \E g \in Attempts :
            \/ OpenPart(g) \/ OpenErr(g) \/ OpenRetry(g) \/ TryAgain(g) \/ Timeout(g)
            \/ ~StillWanted(g) /\ OpenOk(g)
            \/ ~(st = "Started" /\ Current(g)) /\ Fail(g)
            \/ DrainEnd(g) \/ ReleaseOk(g) \/ ReleaseErr(g)
            \/ Restart(g) \/ GivesUp(g)
    /\ word' = st'
    /\ UNCHANGED section

(* OpenOk of an attempt that is kept: the gate, the word, the pointer, the  *)
(* answers.                                                                 *)
O1(g) ==
    /\ section = Free /\ op[g] = "open" /\ Complete(g) /\ StillAlive(g) /\ StillWanted(g)
    /\ open' = [open EXCEPT ![g] = TRUE]
    /\ section' = <<"gate", g>>
    /\ UNCHANGED <<machine, supervision, op, held, reported, fate, inuse, forced, relerr, callers, bounds, word>>

O2(g) ==
    /\ section = <<IF WordFirst THEN "gate" ELSE "pointer", g>>
    /\ st' = "Started" /\ word' = "Started" /\ again' = FALSE
    /\ op' = [op EXCEPT ![g] = "none"]
    /\ section' = <<"opened", g>>
    /\ UNCHANGED <<gen, closing, cur, due, restarts, held, reported, fate, open, inuse, forced, relerr, callers, bounds>>

O3(g) ==
    /\ section = <<IF WordFirst THEN "opened" ELSE "gate", g>> /\ cur # g
    /\ cur' = g
    /\ section' = <<"pointer", g>>
    /\ UNCHANGED <<st, gen, closing, supervision, attempts, callers, bounds, word>>

O4(g) ==
    /\ section[2] = g /\ section[1] \in {"opened", "pointer"} /\ st = "Started" /\ cur = g
    /\ Answer(Joined(g), <<"ok", 0>>)
    /\ section' = Free
    /\ UNCHANGED <<machine, supervision, attempts, pc, on, ended, bounds, word>>

(* A Stop, a Shutdown or a failure report of what runs: the gate, then the  *)
(* word and the rest.                                                       *)
R1(who) ==
    /\ section = Free /\ st = "Started"
    /\ IF GateFirst
       THEN open' = [open EXCEPT ![gen] = FALSE] /\ UNCHANGED word
       ELSE word' = "Stopping" /\ UNCHANGED open
    /\ section' = who
    /\ UNCHANGED <<machine, supervision, op, held, reported, fate, inuse, forced, relerr, callers, bounds>>

R2(who) == section = who /\ section' = Free /\ word' = "Stopping"

Releases ==
    \/ \E c \in Callers : pc[c] = "stop" /\ R1(<<"stop", c>>)
    \/ \E c \in Callers : pc[c] = "shut" /\ R1(<<"shut", c>>)
    \/ fails < MaxFails /\ R1(<<"fail", gen>>)
    \/ \E c \in Callers : R2(<<"stop", c>>) /\ StopEnter(c)
    \/ \E c \in Callers : R2(<<"shut", c>>) /\ ShutdownEnter(c)
    \/ R2(<<"fail", gen>>) /\ Fail(gen)

(* Finish: the pointer, the word, the word again if an attempt begins, the  *)
(* answers.                                                                 *)
Begins(g) == ~Final /\ Queued # {} /\ ~WaitsFor(g)

F1(g) ==
    /\ section = Free /\ op[g] = "release" /\ AllReleased(g) /\ st = "Stopping"
    /\ cur' = 0
    /\ section' = <<IF AnswersLast THEN "ends" ELSE "answers", g>>
    /\ UNCHANGED <<st, gen, closing, supervision, attempts, callers, bounds, word>>

F2(g) ==
    /\ section = <<"ends", g>>
    /\ word' = IF Final THEN "Closed" ELSE "Idle"
    /\ section' = <<IF Begins(g) THEN "begins" ELSE "answers", g>>
    /\ UNCHANGED vars

F3(g) ==
    /\ section = <<"begins", g>>
    /\ word' = "Starting"
    /\ section' = <<"answers", g>>
    /\ UNCHANGED vars

F4(g) ==
    /\ section = <<"answers", g>>
    /\ Finish(g)
    /\ section' = IF AnswersLast THEN Free ELSE <<"late", gen'>>
    /\ UNCHANGED word

(* (Only if the answers come first.)                                        *)
F5(g) ==
    /\ section = <<"late", g>>
    /\ word' = st
    /\ section' = Free
    /\ UNCHANGED vars

SectionsInit == Init /\ word = "Idle" /\ section = Free

SectionsNext ==
    \/ LockFree /\ UNCHANGED <<word, section>>
    \/ Whole
    \/ Releases
    \/ \E g \in Attempts : O1(g) \/ O2(g) \/ O3(g) \/ O4(g)
    \/ \E g \in Attempts : F1(g) \/ F2(g) \/ F3(g) \/ F4(g) \/ F5(g)
    \/ Terminating /\ UNCHANGED <<word, section>>

-----------------------------------------------------------------------------
(* What lock-free readers rely on.                                          *)

(* Between sections the words say what Algorithm says.                      *)
WordsFit ==
    section = Free =>
       /\ word = st
       /\ \A g \in Attempts : open[g] <=> (g = gen /\ st = "Started")
       /\ st = "Started" => cur = gen

(* G10: a use is admitted only while the word is Started.  So a caller that *)
(* has seen Stopping is not admitted to that attempt any more.              *)
AdmittedWhileStarted ==
    [][\A c \in Callers : pc[c] # "using" /\ pc'[c] = "using" => word = "Started"]_svars

(* G3, G7: a caller that is answered finds the word that its answer says: a *)
(* Start Started, a Stop or a Shutdown that released everything not Stopping. *)
AnsweredAfterTheWord ==
    [][\A c \in Callers : out[c] = None /\ out'[c] # None =>
        /\ pc[c] \in {"start", "enter", "wait"} /\ out'[c] = <<"ok", 0>> => word' = "Started"
        /\ pc[c] \in {"stopwait", "shutwait"} /\ out'[c][1] \in {"ok", "relerr"} => word' # "Stopping"
      ]_svars

-----------------------------------------------------------------------------
(* Refinement's mapping, at a moment in the middle of a section too: a use  *)
(* holds its attempt open until the section that closes the gate is over,   *)
(* and a caller that joined it has its answer once the resource is open.    *)
SplitHoldsOpen(g) ==
    \/ open[g]
    \/ op[g] = "drain" /\ ~forced[g]
    \/ g = gen /\ section[1] \in {"stop", "shut", "fail"}

SplitOut(c) ==
    CASE BeingAnswered(c) /\ st = "Started" -> <<"ok", 0>>
      [] out[c][1] = "failed" /\ ~BeingAnswered(c) -> <<"failed", 0>>
      [] OTHER -> out[c]

C == INSTANCE Abstract WITH
        Restarts <- MaxRestarts > 0,
        res   <- CASE st \in {"Idle", "Closed"} -> "empty"
                   [] st = "Starting"           -> "opening"
                   [] st = "Started"            -> "open"
                   [] st = "Stopping"           -> "closing",
        why   <- IF gen = 0 THEN "none" ELSE fate[gen],
        final <- closing,
        due   <- due,
        again <- again,
        call  <- [c \in Callers |->
                    CASE SplitOut(c) # None                                      -> "done"
                      [] SplitOut(c) = None /\ pc[c] = "enter"                   -> "start"
                      [] SplitOut(c) = None /\ pc[c] = "wait"                    -> IF on[c] = gen THEN "join" ELSE "start"
                      [] SplitOut(c) = None /\ pc[c] \in {"add", "slow"}         -> "use"
                      [] SplitOut(c) = None /\ pc[c] \in {"using", "drop"}       -> IF SplitHoldsOpen(on[c]) THEN "using" ELSE "cut"
                      [] OTHER                                                   -> pc[c]],
        ended <- ended,
        out   <- [c \in Callers |-> SplitOut(c)]

SectionsKeepContract == C!Safety
=============================================================================
