-------------------------------- MODULE Trace --------------------------------
(****************************************************************************)
(* Traces of real goroutines, each to be a behaviour of Algorithm.  The     *)
(* sections of a trace have an order, that in which they held the lock.     *)
(* What a goroutine did outside the lock has one too, but for itself only:  *)
(* where it belongs among the sections is inferred, and none is left out.   *)
(* TraceData.tla, written by the package trace of verify/, defines          *)
(*    Traces[n] = <<threads, sections>>                                     *)
(*    threads[t][i], a step of a goroutine: <<"S", section, left>>, or what *)
(*       it did outside the lock and what it saw; caller c is thread c      *)
(*    sections[i] = <<action, thread, attempt, waits, values>>, thread 0: of*)
(*       an operation or a timer                                            *)
(*    values = <<st, gen, cur, closing, queued, views, due, again,          *)
(*       restarts>>, a view that of an attempt: <<number, op, held, fate,   *)
(*       open, inuse, forced, relerr, waiters, stoppers, reported>>         *)
(* Trace.cfg is for traces without restarts, TraceRestart.cfg for those     *)
(* with.                                                                    *)
(****************************************************************************)
EXTENDS Algorithm, TLC, TraceData

VARIABLES
    tr,         \* the trace
    sec,        \* how many of its sections are taken
    pos         \* [thread -> how many of its steps are]

traceVars == <<tr, sec, pos>>

Threads    == Traces[tr][1]
Sections   == Traces[tr][2]
HasStep(t) == pos[t] < Len(Threads[t])
Step(t)    == Threads[t][pos[t] + 1]
Invokes    == {"InvokeStart", "InvokeStop", "InvokeShutdown", "InvokeUse"}

TraceInit ==
    /\ Init
    /\ tr \in 1..Len(Traces)
    /\ sec = 0
    /\ pos = [t \in 1..Len(Traces[tr][1]) |-> 0]

-----------------------------------------------------------------------------
(* Outside the lock: the action, and that it saw what it saw in the run.    *)

(* A Finish that begins the next attempt goes through Idle within the       *)
(* section.  A goroutine that loads the word may see it.                    *)
Through == sec > 0 /\ Sections[sec][1] = "Finish" /\ Sections[sec][5][1] = "Starting"

Outside(t) ==
    LET e == Step(t)
    IN CASE e[1] = "S"              -> FALSE
         [] e[1] = "InvokeStart"    -> InvokeStart(t)
         [] e[1] = "InvokeStop"     -> InvokeStop(t)
         [] e[1] = "InvokeShutdown" -> InvokeShutdown(t)
         [] e[1] = "InvokeUse"      -> InvokeUse(t)
         [] e[1] = "Return"         -> out[t] = <<e[2], e[3]>> /\ Return(t)
         [] e[1] = "StartFast"      -> StartFast(t) /\ (pc'[t] = "done") = (e[2] = 1)
         [] e[1] = "UseLoad"        -> UseLoad(t) /\ on'[t] = e[2]
         [] e[1] = "UseAdd"         -> UseAdd(t) /\ (pc'[t] = "using") = (e[2] = 1)
         [] e[1] = "UseEnd"         -> UseEnd(t) /\ (pc'[t] = "done") = (e[2] = 1)
         [] e[1] = "State"          -> (st = e[2] \/ (e[2] = "Idle" /\ Through)) /\ UNCHANGED vars
         [] e[1] = "Cancel"         -> UNCHANGED vars

TakeOutside(t) ==
    /\ HasStep(t) /\ Outside(t)
    /\ pos' = [pos EXCEPT ![t] = @ + 1]
    /\ UNCHANGED <<tr, sec>>

(* Steps that no other goroutine notices: to take them first loses nothing. *)
Calm(t) ==
    /\ HasStep(t)
    /\ \/ Step(t)[1] = "Cancel"
       \/ Step(t)[1] \in Invokes /\ MayInvoke(t)
       \/ Step(t)[1] = "Return" /\ out[t] # None /\ out[t] = <<Step(t)[2], Step(t)[3]>>

(* The context of a call ends some time after it was cancelled.  No         *)
(* goroutine makes that step; it is taken where the next step of its caller *)
(* depends on it.                                                           *)
Call(t) == Cardinality({i \in 1..pos[t] : Threads[t][i][1] \in Invokes})

Cancelled(t) ==
    \E u \in DOMAIN pos : \E i \in 1..pos[u] : Threads[u][i] = <<"Cancel", t, Call(t)>>

TakeEnd(t) ==
    /\ t \in Callers /\ HasStep(t)
    /\ Step(t)[1] = "S" /\ Step(t)[3]
    /\ ~ended[t] /\ Cancelled(t)
    /\ ContextEnds(t)
    /\ UNCHANGED traceVars

-----------------------------------------------------------------------------
(* Under the lock: the action, and what the fields were at its end.         *)

Due ==
    /\ sec < Len(Sections)
    /\ LET t == Sections[sec + 1][2]
       IN IF t = 0 THEN TRUE ELSE HasStep(t) /\ Step(t)[1] = "S" /\ Step(t)[2] = sec + 1

Inside(a, t, g) ==
    CASE a = "StartEnter"    -> StartEnter(t)
      [] a = "StartLeave"    -> StartLeave(t)
      [] a = "StopEnter"     -> StopEnter(t)
      [] a = "ShutdownEnter" -> ShutdownEnter(t)
      [] a = "StopLeave"     -> StopLeave(t)
      [] a = "UseSlow"       -> UseSlow(t)
      [] a = "UseDrop"       -> UseDrop(t)
      [] a = "OpenPart"      -> OpenPart(g)
      [] a = "OpenOk"        -> OpenOk(g)
      [] a = "OpenErr"       -> OpenErr(g)
      [] a = "OpenRetry"     -> OpenRetry(g)
      [] a = "TryAgain"      -> TryAgain(g)
      [] a = "Timeout"       -> Timeout(g)
      [] a = "Fail"          -> Fail(g)
      [] a = "DrainEnd"      -> DrainEnd(g)
      [] a = "ReleaseOk"     -> ReleaseOk(g)
      [] a = "ReleaseErr"    -> ReleaseErr(g)
      [] a = "Finish"        -> Finish(g)
      [] a = "Restart"       -> Restart(gen)
      [] a = "GivesUp"       -> GivesUp(gen)

Enters == {"StartEnter", "StopEnter", "ShutdownEnter"}
Leaves == {"StartLeave", "StopLeave", "UseDrop"}

(* Of the supervisor: the section is about the attempt that it begins, if   *)
(* it begins one.                                                           *)
Supervises == {"Restart", "GivesUp"}

(* The attempt that a caller's section is about: the one that the caller is *)
(* to wait for, that it waited for or used, or the current one.             *)
Concerns(a, t) ==
    CASE a \in Enters  -> on'[t]
      [] a \in Leaves  -> on[t]
      [] a = "UseSlow" -> IF st \in {"Idle", "Closed"} THEN 0 ELSE gen

(* Joined and Stoppers of Algorithm, after the step.  (Not Joined(g)': TLC  *)
(* would look for g in the next state too.)                                 *)
Waiting(g, where) == Cardinality({c \in Callers : pc'[c] \in where /\ on'[c] = g /\ out'[c] = None})

(* How many uses are in flight is counted outside the lock while the gate   *)
(* is open, and known once it is closed.  A stopper that goes on to wait is *)
(* counted right after the record.                                          *)
ViewAgrees(a, g, v) ==
    /\ v[1] <= gen'
    /\ op'[v[1]] = v[2] /\ Len(held'[v[1]]) = v[3] /\ fate'[v[1]] = v[4] /\ open'[v[1]] = v[5]
    /\ IF v[5] THEN TRUE ELSE inuse'[v[1]] = v[6]
    /\ forced'[v[1]] = v[7] /\ relerr'[v[1]] = v[8] /\ reported'[v[1]] = v[11]
    /\ Waiting(v[1], {"wait"}) = v[9]
    /\ Waiting(v[1], {"stopwait", "shutwait"}) = v[10] + (IF a \in {"StopEnter", "ShutdownEnter"} /\ g = v[1] THEN 1 ELSE 0)

Agrees(s) ==
    /\ st' = s[5][1] /\ gen' = s[5][2] /\ cur' = s[5][3] /\ closing' = s[5][4]
    /\ due' = s[5][7] /\ again' = s[5][8] /\ restarts' = s[5][9]
    /\ Waiting(s[5][2] + 1, {"wait"}) = s[5][5]
    /\ \A i \in 1..Len(s[5][6]) : ViewAgrees(s[1], s[3], s[5][6][i])
    /\ IF s[1] \in Enters \cup Leaves \cup {"UseSlow"}
       THEN LET g == Concerns(s[1], s[2])
            IN (g > 0) = s[4] /\ s[3] = (IF g > gen' THEN 0 ELSE g)
       ELSE s[1] \in Supervises => s[3] = (IF gen' > gen THEN gen' ELSE 0)

TakeInside ==
    /\ Due
    /\ LET s == Sections[sec + 1]
       IN /\ IF s[2] = 0 /\ s[1] \notin Supervises THEN s[3] \in Attempts ELSE TRUE
          /\ Inside(s[1], s[2], s[3]) /\ Agrees(s)
          /\ pos' = IF s[2] = 0 THEN pos ELSE [pos EXCEPT ![s[2]] = @ + 1]
    /\ sec' = sec + 1
    /\ UNCHANGED tr

-----------------------------------------------------------------------------
TraceNext ==
    LET calm == {t \in DOMAIN pos : Calm(t)}
    IN IF calm # {}
       THEN TakeOutside(CHOOSE t \in calm : \A u \in calm : t <= u)
       ELSE \/ \E t \in DOMAIN pos : TakeOutside(t)
            \/ \E t \in DOMAIN pos : TakeEnd(t)
            \/ TakeInside

(* Every step has its place, every call has returned, no operation runs,    *)
(* and no restart is due.                                                   *)
Accepted ==
    /\ sec = Len(Sections)
    /\ \A t \in DOMAIN pos : ~HasStep(t)
    /\ \A c \in Callers : pc[c] = "idle"
    /\ \A g \in Attempts : op[g] = "none"
    /\ ~due

(* The accepted traces.  The program that runs TLC compares their numbers,  *)
(* and the number of states found, with the expected ones.                  *)
Report == Accepted => PrintT(<<"accepted", tr>>)
=============================================================================
