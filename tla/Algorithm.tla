------------------------------ MODULE Algorithm ------------------------------
(****************************************************************************)
(* The start protocol as fsm/ runs it: one action for each critical        *)
(* section, atomic instruction and wait of the Go code, under the same      *)
(* name.  README.md in this folder says how to read it.                     *)
(****************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Callers,    \* the goroutines that call the lifecycle
    NParts,     \* how many parts a complete open acquires
    Retries,    \* a try that failed may be made again (fsm.WithRetry)
    MaxRestarts,\* restarts in a row (fsm.WithRestart) before the backoff must give up; 0: none
    MaxCalls,   \* bound: calls of any kind, all callers together
    MaxFails    \* bound: failure reports (Scope.Fail, Lease.Fail)

ASSUME /\ NParts \in Nat /\ MaxCalls \in Nat \ {0} /\ MaxFails \in Nat
       /\ Retries \in BOOLEAN /\ MaxRestarts \in Nat

VARIABLES
    st,         \* the state word: what State and Start's fast path load
    gen,        \* the number of attempts begun; also the current one's number
    closing,    \* Shutdown has been called
    cur,        \* the attempt whose gate Acquire tries (0: none)
    due,        \* what died is to be started again: Starts wait for that
    again,      \* the attempt under way is such a restart
    restarts,   \* how many restarts were made in a row
    op,         \* [attempt -> where its operation's goroutine is]
    held,       \* [attempt -> the parts it holds, in the order of acquiring]
    reported,   \* [attempt -> a failure of its present try was reported; open has yet to return]
    fate,       \* [attempt -> why it is rolled back]
    open,       \* [attempt -> its gate admits uses]
    inuse,      \* [attempt -> its admitted uses that have not ended]
    forced,     \* [attempt -> its drain was cut short]
    relerr,     \* [attempt -> a release of it failed]
    pc,         \* [caller -> where it is in its call]
    on,         \* [caller -> the attempt that it waits for or uses]
    ended,      \* [caller -> its call's context has ended]
    out,        \* [caller -> its call's result, fixed but not yet returned]
    calls,      \* calls made so far
    fails       \* failures reported so far

machine     == <<st, gen, closing, cur>>
supervision == <<due, again, restarts>>
attempts    == <<op, held, reported, fate, open, inuse, forced, relerr>>
callers     == <<pc, on, ended, out>>
bounds      == <<calls, fails>>
vars        == <<machine, supervision, attempts, callers, bounds>>

(* A call begins at most one attempt, and a death is followed by at most    *)
(* MaxRestarts restarts.                                                    *)
MaxGen   == MaxCalls + MaxFails * MaxRestarts
Attempts == 1..MaxGen
States   == {"Idle", "Starting", "Started", "Stopping", "Closed"}
None     == <<"none", 0>>

(* The wait of a Start, of a Stop, of a Shutdown.                           *)
Waits    == {"wait", "stopwait", "shutwait"}

(* Callers that wait for attempt g to open or to be rolled back, and        *)
(* callers that wait for it to be released.  A caller with a result in out  *)
(* has been answered and only has to return.                                *)
Joined(g)   == {c \in Callers : pc[c] = "wait" /\ on[c] = g /\ out[c] = None}
Stoppers(g) == {c \in Callers : pc[c] \in {"stopwait", "shutwait"} /\ on[c] = g /\ out[c] = None}
Using(g)    == {c \in Callers : pc[c] \in {"using", "drop"} /\ on[c] = g}

(* The attempt was a restart and has failed: another one is due.            *)
FailedAgain(g) == again /\ fate[g] = "failed"

TypeOK ==
    /\ st \in States
    /\ gen \in 0..MaxGen
    /\ closing \in BOOLEAN
    /\ cur \in 0..MaxGen
    /\ due \in BOOLEAN
    /\ again \in BOOLEAN
    /\ restarts \in 0..MaxRestarts
    /\ op \in [Attempts -> {"none", "open", "drain", "release"}]
    /\ held \in [Attempts -> {SubSeq([i \in 1..NParts |-> i], 1, n) : n \in 0..NParts}]
    /\ reported \in [Attempts -> BOOLEAN]
    /\ fate \in [Attempts -> {"none", "failed", "abandoned", "stopped", "closed"}]
    /\ open \in [Attempts -> BOOLEAN]
    /\ inuse \in [Attempts -> 0..Cardinality(Callers)]
    /\ forced \in [Attempts -> BOOLEAN]
    /\ relerr \in [Attempts -> BOOLEAN]
    /\ pc \in [Callers -> {"idle", "start", "enter", "stop", "shut", "use", "add", "slow",
                           "using", "drop", "done"} \cup Waits]
    /\ on \in [Callers -> 0..MaxGen]
    /\ ended \in [Callers -> BOOLEAN]
    /\ \A c \in Callers :
          out[c] \in {None, <<"ok", 0>>, <<"ctx", 0>>, <<"stopped", 0>>, <<"closed", 0>>,
                      <<"notstarted", 0>>, <<"relerr", 0>>}
                     \cup ({"failed"} \X Attempts)
                     \cup ({"cut"} \X (1..Cardinality(Callers)))
    /\ calls \in 0..MaxCalls
    /\ fails \in 0..MaxFails

Init ==
    /\ st = "Idle" /\ gen = 0 /\ closing = FALSE /\ cur = 0
    /\ due = FALSE /\ again = FALSE /\ restarts = 0
    /\ op     = [g \in Attempts |-> "none"]
    /\ held   = [g \in Attempts |-> <<>>]
    /\ reported = [g \in Attempts |-> FALSE]
    /\ fate   = [g \in Attempts |-> "none"]
    /\ open   = [g \in Attempts |-> FALSE]
    /\ inuse  = [g \in Attempts |-> 0]
    /\ forced = [g \in Attempts |-> FALSE]
    /\ relerr = [g \in Attempts |-> FALSE]
    /\ pc     = [c \in Callers |-> "idle"]
    /\ on     = [c \in Callers |-> 0]
    /\ ended  = [c \in Callers |-> FALSE]
    /\ out    = [c \in Callers |-> None]
    /\ calls = 0 /\ fails = 0

-----------------------------------------------------------------------------
(* The guards that the guarantees rest on.  Each has a name, so that a      *)
(* weakened model can replace exactly one of them (weak/*.cfg).             *)

MayBegin         == st = "Idle" /\ ~due                  \* G1, G8: a Start begins an attempt
MayJoin          == st = "Starting"                      \* G5: a Start joins the current one
FastPathOpen     == st = "Started"                       \* G3: a Start has nothing to do
FoundOpen        == st = "Started"                       \* G2: nor has one that had to look again
StillWanted(g)   == st = "Starting" /\ gen = g           \* G6, G8: an open that succeeds is kept
MayRetry(g)      == st = "Starting" /\ gen = g           \* G6, G8: another try is made
MayLeave(c)      == ended[c]                             \* G6, G12: the context's branch of a wait
LastLeaves(c)    == Joined(on[c]) = {c} /\ ~again        \* G6: no other caller wants it
Complete(g)      == Len(held[g]) = NParts                \* G3: open returns with all parts
StillAlive(g)    == ~reported[g]                         \* G13: and the resource has not died before
AllReleased(g)   == held[g] = <<>>                       \* G4, G7: the operation may end
RolledBack(g)    == held[g] = <<>>                       \* G4: the next try may begin
Undo(s)          == SubSeq(s, 1, Len(s) - 1)             \* G4: the part to release is the last
StopSees         == {"Starting", "Started", "Stopping"}  \* G8: where a Stop has something to stop
Forgets          == FALSE                                \* G8: a Stop leaves a restart due
KeepsOn          == FALSE                                \* G8: a Stop leaves the attempt a restart
StopTells        == Joined(gen + 1)                      \* G8: which Starts a Stop answers when idle
Drained(g)       == inuse[g] = 0                         \* G9: no admitted use is in flight
MayForce(c, g)   == pc[c] = "shutwait" \/ Stoppers(g) = {c}  \* G9: c may cut the drain short
Admits(g)        == open[g]                              \* G10: the gate's sign bit
Final            == closing                              \* G11: Shutdown has been called
Current(g)       == g = gen                              \* G13: the report is of this attempt
Queued           == Joined(gen + 1)                      \* G12: callers of the next attempt
WaitsFor(g)      == due \/ FailedAgain(g)                \* G8: they wait for a restart
GivesUpFor       == Joined(gen + 1)                      \* G12: callers of the attempt instead

-----------------------------------------------------------------------------
(* Pieces of critical sections.                                             *)

(* Answer every caller in S with r: they return when they next run.         *)
Answer(S, r) == out' = [c \in Callers |-> IF c \in S THEN r ELSE out[c]]

(* Close the gate of the running attempt and let its operation drain it.    *)
BeginRelease(g, cut) ==
    /\ open'   = [open EXCEPT ![g] = FALSE]
    /\ op'     = [op EXCEPT ![g] = "drain"]
    /\ forced' = [forced EXCEPT ![g] = cut]

(* The next attempt begins.  The callers that wait for it have joined it.   *)
Begin(restart) ==
    /\ st' = "Starting" /\ gen' = gen + 1
    /\ op' = [op EXCEPT ![gen + 1] = "open"]
    /\ again' = restart

(* A Stop or a Shutdown takes effect: nothing is started again.             *)
CallOff ==
    /\ due' = (due /\ Forgets)
    /\ again' = (again /\ KeepsOn)
    /\ restarts' = 0

(* The call of c is over and only has to return.                            *)
Done(c, r) ==
    /\ pc'  = [pc EXCEPT ![c] = "done"]
    /\ out' = [out EXCEPT ![c] = r]
    /\ on'  = [on EXCEPT ![c] = 0]

-----------------------------------------------------------------------------
(* A call begins, its context ends, it returns.  These are the caller's     *)
(* own steps.                                                               *)

(* (A guard stands before each use of a shared body, here and in            *)
(* ReleaseOk: TLC labels an edge with the innermost bare name.)             *)
MayInvoke(c) == pc[c] = "idle" /\ calls < MaxCalls

Invoke(c, where) ==
    /\ calls' = calls + 1
    /\ pc' = [pc EXCEPT ![c] = where]
    /\ UNCHANGED <<machine, supervision, attempts, on, ended, out, fails>>

InvokeStart(c)    == MayInvoke(c) /\ Invoke(c, "start")
InvokeStop(c)     == MayInvoke(c) /\ Invoke(c, "stop")
InvokeShutdown(c) == MayInvoke(c) /\ Invoke(c, "shut")
InvokeUse(c)      == MayInvoke(c) /\ Invoke(c, "use")

ContextEnds(c) ==
    /\ pc[c] \in {"start", "enter", "stop", "shut"} \cup Waits
    /\ out[c] = None /\ ~ended[c]
    /\ ended' = [ended EXCEPT ![c] = TRUE]
    /\ UNCHANGED <<machine, supervision, attempts, pc, on, out, bounds>>

Return(c) ==
    /\ out[c] # None
    /\ pc'    = [pc EXCEPT ![c] = "idle"]
    /\ on'    = [on EXCEPT ![c] = 0]
    /\ ended' = [ended EXCEPT ![c] = FALSE]
    /\ out'   = [out EXCEPT ![c] = None]
    /\ UNCHANGED <<machine, supervision, attempts, bounds>>

-----------------------------------------------------------------------------
(* Start.                                                                   *)

(* One atomic load.                                                         *)
StartFast(c) ==
    /\ pc[c] = "start"
    /\ IF FastPathOpen
       THEN Done(c, <<"ok", 0>>)
       ELSE pc' = [pc EXCEPT ![c] = "enter"] /\ UNCHANGED <<on, out>>
    /\ UNCHANGED <<machine, supervision, attempts, ended, bounds>>

(* Begin an attempt, join the one that is opening, or wait for the next:    *)
(* the one after the release that is under way, or the restart that is due. *)
StartEnter(c) ==
    /\ pc[c] = "enter"
    /\ CASE FoundOpen -> Done(c, <<"ok", 0>>) /\ UNCHANGED <<machine, again, op>>
         [] ~FoundOpen /\ Final -> Done(c, <<"closed", 0>>) /\ UNCHANGED <<machine, again, op>>
         [] ~FoundOpen /\ ~Final /\ ended[c] -> Done(c, <<"ctx", 0>>) /\ UNCHANGED <<machine, again, op>>
         [] ~FoundOpen /\ ~Final /\ ~ended[c] ->
              /\ pc' = [pc EXCEPT ![c] = "wait"]
              /\ IF MayBegin
                 THEN Begin(FALSE) /\ on' = [on EXCEPT ![c] = gen + 1]
                 ELSE /\ on' = [on EXCEPT ![c] = IF MayJoin THEN gen ELSE gen + 1]
                      /\ UNCHANGED <<st, gen, again, op>>
              /\ UNCHANGED <<closing, cur, out>>
    /\ UNCHANGED <<due, restarts, held, reported, fate, open, inuse, forced, relerr, ended, bounds>>

(* The context's branch of the wait.  The last to leave an attempt that is  *)
(* opening cancels it.                                                      *)
StartLeave(c) ==
    /\ pc[c] = "wait" /\ MayLeave(c) /\ out[c] = None
    /\ IF st = "Starting" /\ on[c] = gen /\ LastLeaves(c)
       THEN st' = "Stopping" /\ fate' = [fate EXCEPT ![gen] = "abandoned"]
       ELSE UNCHANGED <<st, fate>>
    /\ Done(c, <<"ctx", 0>>)
    /\ UNCHANGED <<gen, closing, cur, supervision, op, held, reported, open, inuse, forced, relerr, ended, bounds>>

-----------------------------------------------------------------------------
(* Stop and Shutdown.                                                       *)

(* The effect of both on an attempt that is opening, running or being       *)
(* released.  The callers that wait for a release to end get r.             *)
BeginStop(c, where, r) ==
    /\ pc' = [pc EXCEPT ![c] = where]
    /\ on' = [on EXCEPT ![c] = gen]
    /\ CASE st = "Starting" ->
              /\ st' = "Stopping" /\ fate' = [fate EXCEPT ![gen] = r]
              /\ UNCHANGED <<op, open, forced, out>>
         [] st = "Started" ->
              /\ st' = "Stopping" /\ BeginRelease(gen, FALSE)
              /\ UNCHANGED <<fate, out>>
         [] st = "Stopping" ->
              /\ Answer(Queued, <<r, 0>>)
              /\ UNCHANGED <<st, fate, op, open, forced>>

(* There is nothing to stop.  Starts may wait for a restart.                *)
StopsNothing(c, r) ==
    /\ pc'  = [pc EXCEPT ![c] = "done"]
    /\ on'  = [on EXCEPT ![c] = 0]
    /\ out' = [d \in Callers |-> IF d = c THEN <<"ok", 0>> ELSE IF d \in StopTells THEN r ELSE out[d]]
    /\ UNCHANGED <<fate, op, open, forced>>

StopEnter(c) ==
    /\ pc[c] = "stop"
    /\ IF st \in StopSees
       THEN BeginStop(c, "stopwait", "stopped")
       ELSE StopsNothing(c, <<"stopped", 0>>) /\ UNCHANGED st
    /\ CallOff
    /\ UNCHANGED <<gen, closing, cur, held, reported, inuse, relerr, ended, bounds>>

ShutdownEnter(c) ==
    /\ pc[c] = "shut"
    /\ closing' = TRUE
    /\ IF st \in {"Idle", "Closed"}
       THEN st' = "Closed" /\ StopsNothing(c, <<"closed", 0>>)
       ELSE BeginStop(c, "shutwait", "closed")
    /\ CallOff
    /\ UNCHANGED <<gen, cur, held, reported, inuse, relerr, ended, bounds>>

(* The context's branch of the wait: it may cut the drain short.            *)
StopLeave(c) ==
    /\ pc[c] \in {"stopwait", "shutwait"} /\ MayLeave(c) /\ out[c] = None
    /\ LET g   == on[c]
           cut == op[g] = "drain" /\ ~forced[g] /\ inuse[g] > 0 /\ MayForce(c, g)
       IN /\ forced' = [forced EXCEPT ![g] = @ \/ cut]
          /\ Done(c, IF cut THEN <<"cut", inuse[g]>> ELSE <<"ctx", 0>>)
    /\ UNCHANGED <<machine, supervision, op, held, reported, fate, open, inuse, relerr, ended, bounds>>

-----------------------------------------------------------------------------
(* The operation: opening, draining, releasing.  g is the attempt.          *)

(* open registers the release of one more part.                             *)
OpenPart(g) ==
    /\ op[g] = "open" /\ Len(held[g]) < NParts
    /\ held' = [held EXCEPT ![g] = Append(@, Len(@) + 1)]
    /\ UNCHANGED <<machine, supervision, op, reported, fate, open, inuse, forced, relerr, callers, bounds>>

(* open returned the resource.  (If a failure was reported before, that is  *)
(* OpenErr or OpenRetry.)                                                   *)
OpenOk(g) ==
    /\ op[g] = "open" /\ Complete(g) /\ StillAlive(g)
    /\ IF StillWanted(g)
       THEN /\ st' = "Started" /\ cur' = g
            /\ again' = FALSE
            /\ open' = [open EXCEPT ![g] = TRUE]
            /\ op' = [op EXCEPT ![g] = "none"]
            /\ Answer(Joined(g), <<"ok", 0>>)
       ELSE /\ op' = [op EXCEPT ![g] = "release"]
            /\ UNCHANGED <<st, cur, again, open, out>>
    /\ UNCHANGED <<gen, closing, due, restarts, held, reported, fate, inuse, forced, relerr, pc, on, ended, bounds>>

(* open returned an error, panicked or exited.  Or a failure was reported   *)
(* before, whatever it returned.                                            *)
OpenErr(g) ==
    /\ op[g] = "open"
    /\ op' = [op EXCEPT ![g] = "release"]
    /\ reported' = [reported EXCEPT ![g] = FALSE]
    /\ IF st = "Starting" /\ gen = g
       THEN st' = "Stopping" /\ fate' = [fate EXCEPT ![g] = "failed"]
       ELSE UNCHANGED <<st, fate>>
    /\ UNCHANGED <<gen, closing, cur, supervision, held, open, inuse, forced, relerr, callers, bounds>>

(* The same, and it is to be tried again.  The attempt goes on: the parts   *)
(* that this try holds are released, and the waiters go on waiting.         *)
OpenRetry(g) ==
    /\ Retries
    /\ op[g] = "open"
    /\ op' = [op EXCEPT ![g] = "release"]
    /\ reported' = [reported EXCEPT ![g] = FALSE]
    /\ UNCHANGED <<machine, supervision, held, fate, open, inuse, forced, relerr, callers, bounds>>

(* Nothing is held any more, and the pause before the next try is over.     *)
TryAgain(g) ==
    /\ op[g] = "release" /\ RolledBack(g) /\ MayRetry(g)
    /\ op'     = [op EXCEPT ![g] = "open"]
    /\ relerr' = [relerr EXCEPT ![g] = FALSE]
    /\ UNCHANGED <<machine, supervision, held, reported, fate, open, inuse, forced, callers, bounds>>

(* The start timeout fires.                                                 *)
Timeout(g) ==
    /\ st = "Starting" /\ gen = g
    /\ st' = "Stopping" /\ fate' = [fate EXCEPT ![g] = "failed"]
    /\ UNCHANGED <<gen, closing, cur, supervision, op, held, reported, open, inuse, forced, relerr, callers, bounds>>

(* Scope.Fail or Lease.Fail of attempt g, however late.  A report of a try  *)
(* that is being rolled back has no effect.  A report of a try that may be  *)
(* repeated counts when open returns: until then nothing is rolled back,    *)
(* and others may join.                                                     *)
Fail(g) ==
    /\ g <= gen /\ fails < MaxFails
    /\ fails' = fails + 1
    /\ CASE st = "Starting" /\ op[gen] = "open" /\ Current(g) /\ Retries ->
              /\ reported' = [reported EXCEPT ![gen] = TRUE]
              /\ UNCHANGED <<st, due, fate, op, open, forced>>
         [] st = "Starting" /\ op[gen] = "open" /\ Current(g) /\ ~Retries ->
              /\ st' = "Stopping" /\ fate' = [fate EXCEPT ![gen] = "failed"]
              /\ UNCHANGED <<due, reported, op, open, forced>>
         [] st = "Started" /\ Current(g) ->
              /\ st' = "Stopping" /\ BeginRelease(gen, TRUE)
              /\ due' = (MaxRestarts > 0)
              /\ UNCHANGED <<reported, fate>>
         [] OTHER ->
              UNCHANGED <<st, due, reported, fate, op, open, forced>>
    /\ UNCHANGED <<gen, closing, cur, again, restarts, held, inuse, relerr, callers, calls>>

(* The drain is over: whether it was forced is decided here.                *)
DrainEnd(g) ==
    /\ op[g] = "drain" /\ (Drained(g) \/ forced[g])
    /\ op' = [op EXCEPT ![g] = "release"]
    /\ UNCHANGED <<machine, supervision, held, reported, fate, open, inuse, forced, relerr, callers, bounds>>

(* The release of the last part held returned.                              *)
MayRelease(g) == op[g] = "release" /\ held[g] # <<>>

ReleasePart(g, bad) ==
    /\ held' = [held EXCEPT ![g] = Undo(@)]
    /\ relerr' = [relerr EXCEPT ![g] = @ \/ bad]
    /\ UNCHANGED <<machine, supervision, op, reported, fate, open, inuse, forced, callers, bounds>>

ReleaseOk(g)  == MayRelease(g) /\ ReleasePart(g, FALSE)
ReleaseErr(g) == MayRelease(g) /\ ReleasePart(g, TRUE)

(* Nothing is held any more.  Every waiter is answered.  The callers that   *)
(* queued get an attempt of their own in the same section, or wait on for   *)
(* the restart that is due.                                                 *)
Finish(g) ==
    /\ op[g] = "release" /\ AllReleased(g) /\ st = "Stopping"
    /\ fate'   = [fate EXCEPT ![g] = "none"]
    /\ forced' = [forced EXCEPT ![g] = FALSE]
    /\ relerr' = [relerr EXCEPT ![g] = FALSE]
    /\ out' = [c \in Callers |->
                 CASE c \in Joined(g)   -> IF fate[g] = "failed" THEN <<"failed", g>> ELSE <<fate[g], 0>>
                   [] c \in Stoppers(g) -> <<IF relerr[g] THEN "relerr" ELSE "ok", 0>>
                   [] OTHER             -> out[c]]
    /\ IF Final
       THEN st' = "Closed" /\ op' = [op EXCEPT ![g] = "none"] /\ UNCHANGED gen
       ELSE IF Queued # {} /\ ~WaitsFor(g)
       THEN st' = "Starting" /\ gen' = gen + 1 /\ op' = [op EXCEPT ![g] = "none", ![gen + 1] = "open"]
       ELSE st' = "Idle" /\ op' = [op EXCEPT ![g] = "none"] /\ UNCHANGED gen
    /\ due' = (due \/ FailedAgain(g))
    /\ again' = FALSE
    /\ cur' = 0
    /\ UNCHANGED <<closing, restarts, held, reported, open, inuse, pc, on, ended, bounds>>

-----------------------------------------------------------------------------
(* A resource that died is started again.  A backoff says when, or that     *)
(* there were enough restarts. g is the attempt that died, or the restart   *)
(* that failed.                                                             *)

MayRestart(g) == st = "Idle" /\ due /\ g = gen

Restart(g) ==
    /\ MayRestart(g) /\ restarts < MaxRestarts
    /\ Begin(TRUE)
    /\ due' = FALSE /\ restarts' = restarts + 1
    /\ UNCHANGED <<closing, cur, held, reported, fate, open, inuse, forced, relerr, callers, bounds>>

(* There is no restart.  The callers that wait for it get an attempt of     *)
(* their own, as the next Start would.                                      *)
GivesUp(g) ==
    /\ MayRestart(g)
    /\ IF GivesUpFor # {}
       THEN Begin(FALSE)
       ELSE UNCHANGED <<st, gen, again, op>>
    /\ due' = FALSE /\ restarts' = 0
    /\ UNCHANGED <<closing, cur, held, reported, fate, open, inuse, forced, relerr, callers, bounds>>

-----------------------------------------------------------------------------
(* Use, and Acquire with Release: the admission gate, as in sync.RWMutex.   *)

(* Load the pointer to the attempt opened last.                             *)
UseLoad(c) ==
    /\ pc[c] = "use"
    /\ on' = [on EXCEPT ![c] = cur]
    /\ pc' = [pc EXCEPT ![c] = IF cur = 0 THEN "slow" ELSE "add"]
    /\ UNCHANGED <<machine, supervision, attempts, ended, out, bounds>>

(* Add one to its gate: the sum's sign tells whether it was open.           *)
UseAdd(c) ==
    /\ pc[c] = "add"
    /\ IF Admits(on[c])
       THEN inuse' = [inuse EXCEPT ![on[c]] = @ + 1] /\ pc' = [pc EXCEPT ![c] = "using"] /\ UNCHANGED on
       ELSE pc' = [pc EXCEPT ![c] = "slow"] /\ on' = [on EXCEPT ![c] = 0] /\ UNCHANGED inuse
    /\ UNCHANGED <<machine, supervision, op, held, reported, fate, open, forced, relerr, ended, out, bounds>>

(* Refused by the gate: the critical section decides.                       *)
UseSlow(c) ==
    /\ pc[c] = "slow"
    /\ IF st = "Started"
       THEN /\ inuse' = [inuse EXCEPT ![gen] = @ + 1]
            /\ pc' = [pc EXCEPT ![c] = "using"]
            /\ on' = [on EXCEPT ![c] = gen]
            /\ UNCHANGED out
       ELSE /\ Done(c, <<IF closing THEN "closed" ELSE "notstarted", 0>>)
            /\ UNCHANGED inuse
    /\ UNCHANGED <<machine, supervision, op, held, reported, fate, open, forced, relerr, ended, bounds>>

(* Take one from the gate: an open gate needs nothing more.                 *)
UseEnd(c) ==
    /\ pc[c] = "using"
    /\ IF open[on[c]]
       THEN inuse' = [inuse EXCEPT ![on[c]] = @ - 1] /\ Done(c, <<"ok", 0>>)
       ELSE pc' = [pc EXCEPT ![c] = "drop"] /\ UNCHANGED <<inuse, on, out>>
    /\ UNCHANGED <<machine, supervision, op, held, reported, fate, open, forced, relerr, ended, bounds>>

(* The gate was closed meanwhile: the last one out ends the drain.          *)
UseDrop(c) ==
    /\ pc[c] = "drop"
    /\ inuse' = [inuse EXCEPT ![on[c]] = @ - 1]
    /\ Done(c, <<"ok", 0>>)
    /\ UNCHANGED <<machine, supervision, op, held, reported, fate, open, forced, relerr, ended, bounds>>

-----------------------------------------------------------------------------
(* All calls made and returned, no operation under way.                     *)
Terminated ==
    /\ \A c \in Callers : pc[c] = "idle"
    /\ \A g \in Attempts : op[g] = "none"
    /\ calls = MaxCalls /\ ~due

Terminating == Terminated /\ UNCHANGED vars

Next ==
    \/ \E c \in Callers : InvokeStart(c)
    \/ \E c \in Callers : InvokeStop(c)
    \/ \E c \in Callers : InvokeShutdown(c)
    \/ \E c \in Callers : InvokeUse(c)
    \/ \E c \in Callers : ContextEnds(c)
    \/ \E c \in Callers : Return(c)
    \/ \E c \in Callers : StartFast(c)
    \/ \E c \in Callers : StartEnter(c)
    \/ \E c \in Callers : StartLeave(c)
    \/ \E c \in Callers : StopEnter(c)
    \/ \E c \in Callers : ShutdownEnter(c)
    \/ \E c \in Callers : StopLeave(c)
    \/ \E c \in Callers : UseLoad(c)
    \/ \E c \in Callers : UseAdd(c)
    \/ \E c \in Callers : UseSlow(c)
    \/ \E c \in Callers : UseEnd(c)
    \/ \E c \in Callers : UseDrop(c)
    \/ \E g \in Attempts : OpenPart(g)
    \/ \E g \in Attempts : OpenOk(g)
    \/ \E g \in Attempts : OpenErr(g)
    \/ \E g \in Attempts : OpenRetry(g)
    \/ \E g \in Attempts : TryAgain(g)
    \/ \E g \in Attempts : Timeout(g)
    \/ \E g \in Attempts : Fail(g)
    \/ \E g \in Attempts : DrainEnd(g)
    \/ \E g \in Attempts : ReleaseOk(g)
    \/ \E g \in Attempts : ReleaseErr(g)
    \/ \E g \in Attempts : Finish(g)
    \/ \E g \in Attempts : Restart(g)
    \/ \E g \in Attempts : GivesUp(g)
    \/ Terminating

(* What liveness may assume: a goroutine that can run does run, hooks       *)
(* return, admitted uses end, a pause passes, tries come to an end, and the *)
(* backoff of the restarts answers.  It may not assume that a context ends, *)
(* a timeout fires, a failure is reported, or a further call is made.  (One *)
(* of each line's steps is enabled at a time, and stays so until it is      *)
(* taken: to be fair to the line is to be fair to each.)                    *)
CallRuns(c) ==
    \/ Return(c)
    \/ StartFast(c) \/ StartEnter(c) \/ StartLeave(c)
    \/ StopEnter(c) \/ ShutdownEnter(c) \/ StopLeave(c)
    \/ UseLoad(c) \/ UseAdd(c) \/ UseSlow(c)
UseRuns(c)       == UseEnd(c) \/ UseDrop(c)
OperationRuns(g) == \/ OpenPart(g) \/ OpenOk(g) \/ OpenErr(g) \/ OpenRetry(g) \/ TryAgain(g)
                    \/ DrainEnd(g) \/ ReleaseOk(g) \/ ReleaseErr(g) \/ Finish(g)

TriesEnd         == \E g \in Attempts : OpenOk(g) \/ OpenErr(g)
BackoffSays      == \E g \in Attempts : Restart(g) \/ GivesUp(g)

Fairness ==
    /\ \A c \in Callers  : WF_vars(CallRuns(c)) /\ WF_vars(UseRuns(c))
    /\ \A g \in Attempts : WF_vars(OperationRuns(g))
    /\ SF_vars(TriesEnd)
    /\ WF_vars(BackoffSays)

Spec == Init /\ [][Next]_vars /\ Fairness
=============================================================================
