------------------------------ MODULE Abstract ------------------------------
(****************************************************************************)
(* The contract: what a caller of Start, Stop, Shutdown and Use may rely    *)
(* on, whatever the implementation.  Read this module first.                *)
(*                                                                          *)
(* Each call has three moments.  It is invoked.  Once, before it returns,   *)
(* it takes effect, in one indivisible step that fixes its result.  It      *)
(* returns.  One step may give effect to many calls: one opening answers    *)
(* all callers that joined it.  A call that has to wait takes two steps: it *)
(* joins an opening or a closing, and is answered when that ends.           *)
(*                                                                          *)
(* The contract is a finite automaton for a finite set of callers: nothing  *)
(* is counted.                                                              *)
(****************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS
    Callers,
    Restarts    \* what died is started again (fsm.WithRestart)

ASSUME Restarts \in BOOLEAN

VARIABLES
    res,    \* the resource: "empty", busy ("opening" or "closing"), or "open"
    why,    \* while closing: why an opening is undone ("none": it was open)
    final,  \* a Shutdown has taken effect
    due,    \* what died is to be started again
    again,  \* the opening, or its undoing, is of such a restart
    call,   \* [caller -> where it is in its call]
    ended,  \* [caller -> its call's context has ended]
    out     \* [caller -> its call's result, once fixed]

vars        == <<res, why, final, due, again, call, ended, out>>
supervision == <<due, again>>

None == <<"none", 0>>
Ok   == <<"ok", 0>>
Ctx  == <<"ctx", 0>>

(* "start", "stop", "shut", "use": invoked, without effect as yet.  "join", *)
(* "stopwait", "shutwait": waiting for what is under way.  "using": holds   *)
(* the resource open.  "cut": still running, and the resource was released  *)
(* under it.  "done": the result is fixed.                                  *)
Calls == {"idle", "start", "join", "stop", "stopwait", "shut", "shutwait", "use", "using", "cut", "done"}

At(place)  == {c \in Callers : call[c] = place}
Stopping   == At("stopwait") \cup At("shutwait")
Verdict(c) == IF call[c] = "stop" THEN "stopped" ELSE "closed"

TypeOK ==
    /\ res \in {"empty", "opening", "open", "closing"}
    /\ why \in {"none", "failed", "abandoned", "stopped", "closed"}
    /\ final \in BOOLEAN /\ due \in BOOLEAN /\ again \in BOOLEAN
    /\ call \in [Callers -> Calls]
    /\ ended \in [Callers -> BOOLEAN]
    /\ \A c \in Callers :
          out[c] \in ({"none", "ok", "ctx", "failed", "stopped", "closed", "notstarted", "relerr"} \X {0})
                     \cup ({"cut"} \X (1..Cardinality(Callers)))

Init ==
    /\ res = "empty" /\ why = "none" /\ final = FALSE /\ due = FALSE /\ again = FALSE
    /\ call = [c \in Callers |-> "idle"]
    /\ ended = [c \in Callers |-> FALSE]
    /\ out = [c \in Callers |-> None]

(* The call of c has its result, and only has to return.                    *)
Answer(c, r) == call' = [call EXCEPT ![c] = "done"] /\ out' = [out EXCEPT ![c] = r]
Move(c, place) == call' = [call EXCEPT ![c] = place] /\ UNCHANGED out

-----------------------------------------------------------------------------
(* The steps of callers alone.                                              *)

Invoke(c) ==
    /\ call[c] = "idle"
    /\ \E kind \in {"start", "stop", "shut", "use"} : Move(c, kind)
    /\ UNCHANGED <<res, why, final, supervision, ended>>

ContextEnds(c) ==
    /\ call[c] \in {"start", "join", "stop", "stopwait", "shut", "shutwait"} /\ ~ended[c]
    /\ ended' = [ended EXCEPT ![c] = TRUE]
    /\ UNCHANGED <<res, why, final, supervision, call, out>>

Return(c) ==
    /\ call[c] = "done"
    /\ call' = [call EXCEPT ![c] = "idle"]
    /\ out' = [out EXCEPT ![c] = None]
    /\ ended' = [ended EXCEPT ![c] = FALSE]
    /\ UNCHANGED <<res, why, final, supervision>>

-----------------------------------------------------------------------------
(* Start.  If the resource is open: nil, at once.  Otherwise it is refused  *)
(* once closed, and then when its own context has ended.                    *)

StartOfOpen(c) ==
    /\ call[c] = "start" /\ res = "open"
    /\ Answer(c, Ok)
    /\ UNCHANGED <<res, why, final, supervision, ended>>

StartRefused(c) ==
    /\ call[c] = "start" /\ res # "open" /\ (final \/ ended[c])
    /\ Answer(c, IF final THEN <<"closed", 0>> ELSE Ctx)
    /\ UNCHANGED <<res, why, final, supervision, ended>>

(* It begins an attempt, or joins the one that is opening.  No Start joins  *)
(* a closing: it stays where it is until that has ended, and until the      *)
(* restart that is due begins, if there is one.                             *)
StartJoins(c) ==
    /\ call[c] = "start" /\ res \in {"empty", "opening"} /\ ~due /\ ~final /\ ~ended[c]
    /\ res' = "opening"
    /\ Move(c, "join")
    /\ UNCHANGED <<why, final, supervision, ended>>

(* The waiters get nil when all is open ...                                 *)
Opened ==
    /\ res = "opening"
    /\ res' = "open"
    /\ call' = [c \in Callers |-> IF call[c] = "join" THEN "done" ELSE call[c]]
    /\ out' = [c \in Callers |-> IF call[c] = "join" THEN Ok ELSE out[c]]
    /\ again' = FALSE
    /\ UNCHANGED <<why, final, due, ended>>

(* ... or wait until everything acquired is released (Released).            *)
OpenFails ==
    /\ res = "opening"
    /\ res' = "closing" /\ why' = "failed"
    /\ UNCHANGED <<final, supervision, call, ended, out>>

(* A caller whose context ends leaves alone.  The last one cancels the      *)
(* attempt, unless that is a restart.                                       *)
StartLeaves(c) ==
    /\ call[c] = "join" /\ ended[c]
    /\ Answer(c, Ctx)
    /\ IF res = "opening" /\ At("join") = {c} /\ ~again
       THEN res' = "closing" /\ why' = "abandoned"
       ELSE UNCHANGED <<res, why>>
    /\ UNCHANGED <<final, supervision, ended>>

-----------------------------------------------------------------------------
(* Stop and Shutdown.  If the resource is empty: nil, at once, and the      *)
(* Starts that wait for a restart (S) are answered.  It takes effect even   *)
(* if its context has ended.                                                *)

StopOfEmpty(c) ==
    /\ call[c] \in {"stop", "shut"} /\ res = "empty"
    /\ final' = (final \/ call[c] = "shut")
    /\ \E S \in SUBSET At("start") :
          /\ ~due => S = {}
          /\ call' = [d \in Callers |-> IF d \in S \cup {c} THEN "done" ELSE call[d]]
          /\ out' = [d \in Callers |-> IF d = c THEN Ok ELSE IF d \in S THEN <<Verdict(c), 0>> ELSE out[d]]
    /\ due' = FALSE
    /\ UNCHANGED <<res, why, again, ended>>

(* It cancels an opening, begins the closing of an open resource, or joins  *)
(* the closing that is under way.  Then the Starts that wait for its end    *)
(* (S) are answered.                                                        *)
StopTakesEffect(c) ==
    /\ call[c] \in {"stop", "shut"} /\ res # "empty"
    /\ final' = (final \/ call[c] = "shut")
    /\ res' = "closing"
    /\ why' = IF res = "opening" THEN Verdict(c) ELSE why
    /\ \E S \in SUBSET At("start") :
          /\ res # "closing" => S = {}
          /\ call' = [d \in Callers |-> IF d \in S THEN "done"
                                        ELSE IF d = c THEN (IF call[c] = "stop" THEN "stopwait" ELSE "shutwait")
                                        ELSE call[d]]
          /\ out' = [d \in Callers |-> IF d \in S THEN <<Verdict(c), 0>> ELSE out[d]]
    /\ due' = FALSE /\ again' = FALSE
    /\ UNCHANGED ended

(* Its context ends.  A Shutdown, or the last waiter, cuts off the uses in  *)
(* flight and gets their number.  Any other caller leaves alone.            *)
StopLeaves(c) ==
    /\ c \in Stopping /\ ended[c]
    /\ LET n == Cardinality(At("using"))
       IN IF n > 0 /\ (call[c] = "shutwait" \/ Stopping = {c})
          THEN /\ call' = [d \in Callers |-> CASE d = c             -> "done"
                                               [] call[d] = "using" -> "cut"
                                               [] OTHER             -> call[d]]
               /\ out' = [out EXCEPT ![c] = <<"cut", n>>]
          ELSE Answer(c, Ctx)
    /\ UNCHANGED <<res, why, final, supervision, ended>>

(* The running resource dies.  The closing that follows does not wait for   *)
(* uses in flight, and a restart is due.                                    *)
Died ==
    /\ res = "open"
    /\ res' = "closing"
    /\ call' = [c \in Callers |-> IF call[c] = "using" THEN "cut" ELSE call[c]]
    /\ due' = Restarts
    /\ UNCHANGED <<why, final, again, ended, out>>

(* Everything is released, after the last use that was not cut off has      *)
(* ended.  Starts of the attempt get the reason why it was undone, Stops    *)
(* the outcome of the release (bad: a part of it failed).  Of the Starts    *)
(* that waited for this, some (S) may begin the next attempt in the same    *)
(* step, unless a restart is due.  A restart is also due if this was a      *)
(* restart that failed.                                                     *)
Released(bad) ==
    /\ res = "closing" /\ At("using") = {}
    /\ due' = (due \/ (again /\ why = "failed"))
    /\ again' = FALSE
    /\ \E S \in SUBSET At("start") :
          /\ final \/ due' => S = {}
          /\ res' = IF S = {} THEN "empty" ELSE "opening"
          /\ call' = [c \in Callers |-> IF c \in S THEN "join"
                                        ELSE IF c \in At("join") \cup Stopping THEN "done"
                                        ELSE call[c]]
    /\ out' = [c \in Callers |-> IF call[c] = "join" THEN <<why, 0>>
                                 ELSE IF c \in Stopping THEN (IF bad THEN <<"relerr", 0>> ELSE Ok)
                                 ELSE out[c]]
    /\ why' = "none"
    /\ UNCHANGED <<final, ended>>

(* The restart that is due begins, for itself and for the Starts that wait  *)
(* (S).  Or there is none, and an attempt begins for the Starts that wait,  *)
(* if any.                                                                  *)
RestartEnds(begins) ==
    /\ res = "empty" /\ due
    /\ due' = FALSE /\ again' = begins
    /\ \E S \in SUBSET At("start") :
          /\ res' = IF begins \/ S # {} THEN "opening" ELSE "empty"
          /\ call' = [c \in Callers |-> IF c \in S THEN "join" ELSE call[c]]
    /\ UNCHANGED <<why, final, ended, out>>

-----------------------------------------------------------------------------
(* Use, and Acquire with Release.                                           *)

UseAdmitted(c) ==
    /\ call[c] = "use" /\ res = "open"
    /\ Move(c, "using")
    /\ UNCHANGED <<res, why, final, supervision, ended>>

UseRefused(c) ==
    /\ call[c] = "use" /\ res # "open"
    /\ Answer(c, <<IF final THEN "closed" ELSE "notstarted", 0>>)
    /\ UNCHANGED <<res, why, final, supervision, ended>>

UseEnds(c) ==
    /\ call[c] \in {"using", "cut"}
    /\ Answer(c, Ok)
    /\ UNCHANGED <<res, why, final, supervision, ended>>

-----------------------------------------------------------------------------
Next ==
    \/ \E c \in Callers :
         \/ Invoke(c) \/ ContextEnds(c) \/ Return(c)
         \/ StartOfOpen(c) \/ StartRefused(c) \/ StartJoins(c) \/ StartLeaves(c)
         \/ StopOfEmpty(c) \/ StopTakesEffect(c) \/ StopLeaves(c)
         \/ UseAdmitted(c) \/ UseRefused(c) \/ UseEnds(c)
    \/ Opened \/ OpenFails \/ Died \/ Released(FALSE) \/ Released(TRUE)
    \/ RestartEnds(TRUE) \/ RestartEnds(FALSE)

Safety == Init /\ [][Next]_vars

(* Every call returns, and each opening and each closing ends.  (Another    *)
(* one may follow at once, again and again, if Starts keep coming.)         *)
Progress ==
    /\ \A c \in Callers : (call[c] # "idle") ~> (call[c] = "idle")
    /\ (res = "opening") ~> (res # "opening")
    /\ (res = "closing") ~> (res # "closing")
    /\ due ~> ~due

Spec == Safety /\ Progress

-----------------------------------------------------------------------------
(* Consequences of the contract.  TLC checks them on this module alone.     *)

Consistent ==
    /\ res = "opening" => At("join") # {} \/ again     \* an opening has a waiter
    /\ due => res \in {"closing", "empty"} /\ ~final /\ Restarts
    /\ again => res \in {"opening", "closing"} /\ ~due
    /\ again /\ res = "closing" => why = "failed"
    /\ At("join") # {} => res \in {"opening", "closing"}
    /\ Stopping # {} => res = "closing"
    /\ At("using") # {} => res \in {"open", "closing"}
    /\ res = "closing" /\ At("join") # {} => why \in {"failed", "stopped", "closed"}
    /\ res # "closing" => why = "none"
    /\ final => res \in {"closing", "empty"}
    /\ \A c \in Callers : (out[c] # None) <=> (call[c] = "done")
=============================================================================
