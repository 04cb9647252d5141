-------------------------------- MODULE Hold --------------------------------
(****************************************************************************)
(* Shared ownership (fsm.Lifecycle.Hold), over Abstract's view of the       *)
(* resource.  Callers hold it and let it go.  One other caller may Run it.  *)
(* All others are one: they Start and Stop it as they like.  One action of  *)
(* a hold or a Run is one critical section of the code.                     *)
(****************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS
    Callers,
    Restarts    \* what died is started again (fsm.WithRestart)

ASSUME Restarts \in BOOLEAN

VARIABLES
    res,    \* the resource: "empty", "opening", "open" or "closing"
    due,    \* what died is to be started again
    again,  \* the opening, or its undoing, is of such a restart
    held,   \* how many hold it, as the code counts
    dead,   \* it has died since it was opened last
    own,    \* since it was opened by other callers' Starts alone, it has not been held
    other,  \* another caller's Start: "out" or "join"
    call,   \* [caller -> where it is]
    run,    \* where the Run is
    final   \* the Run has closed the lifecycle

vars == <<res, due, again, held, dead, own, other, call, run, final>>

(* "hold": invoked, without effect as yet.  "join": waits for the opening.  *)
(* "holding".  "over": a Stop has ended the hold, which is not let go yet.  *)
(* "waits": has let it go as the last, and waits for the closing.           *)
Calls == {"out", "hold", "join", "holding", "over", "waits"}

(* "join": its Start waits for the opening.  "owns": its Start has found it *)
(* open.  "ends": the resource has died for good, or the context of that    *)
(* Start has ended; it is about to close the lifecycle.                     *)
Runs == {"out", "join", "owns", "ends"}

At(place) == {c \in Callers : call[c] = place}
Waiting   == At("join") # {} \/ other = "join" \/ run = "join"
Move(S, place) == call' = [c \in Callers |-> IF c \in S THEN place ELSE call[c]]

TypeOK ==
    /\ res \in {"empty", "opening", "open", "closing"}
    /\ due \in BOOLEAN /\ again \in BOOLEAN /\ dead \in BOOLEAN /\ own \in BOOLEAN
    /\ held \in 0..Cardinality(Callers)
    /\ other \in {"out", "join"}
    /\ call \in [Callers -> Calls]
    /\ run \in Runs /\ final \in BOOLEAN

Init ==
    /\ res = "empty" /\ due = FALSE /\ again = FALSE
    /\ held = 0 /\ dead = FALSE /\ own = FALSE
    /\ other = "out" /\ call = [c \in Callers |-> "out"]
    /\ run = "out" /\ final = FALSE

-----------------------------------------------------------------------------
(* The guards that the promises rest on.                                    *)

(* The caller that lets go is the last.                                     *)
IsLast == held = 1

(* A Run that has found it open is an owner, too.                           *)
RunOwns == run = "owns"

(* A hold is counted in the step that opens what it waited for.             *)
Counted(S) == Cardinality(S)

(* The last release leaves an opening to the callers that wait for it.      *)
MayCancel == again /\ ~Waiting

(* The last release calls a restart off.                                    *)
StillDue == FALSE

-----------------------------------------------------------------------------
(* Hold.                                                                    *)

Invoke(c) ==
    /\ call[c] = "out"
    /\ Move({c}, "hold")
    /\ UNCHANGED <<res, due, again, held, dead, own, other, run, final>>

HoldOfOpen(c) ==
    /\ call[c] = "hold" /\ res = "open"
    /\ Move({c}, "holding")
    /\ held' = held + 1 /\ own' = FALSE
    /\ UNCHANGED <<res, due, again, dead, other, run, final>>

(* It joins as a Start does.                                                *)
HoldJoins(c) ==
    /\ call[c] = "hold" /\ res \in {"empty", "opening"} /\ ~due /\ ~final
    /\ res' = "opening"
    /\ Move({c}, "join")
    /\ UNCHANGED <<due, again, held, dead, own, other, run, final>>

HoldRefused(c) ==
    /\ call[c] = "hold" /\ final /\ res # "open"
    /\ Move({c}, "out")
    /\ UNCHANGED <<res, due, again, held, dead, own, other, run, final>>

(* Its context ends: it does not hold.  The last that waits cancels the     *)
(* opening, unless that is a restart.                                       *)
HoldLeaves(c) ==
    /\ call[c] = "join"
    /\ res' = IF res = "opening" /\ At("join") = {c} /\ other = "out" /\ run # "join" /\ ~again THEN "closing" ELSE res
    /\ Move({c}, "out")
    /\ UNCHANGED <<due, again, held, dead, own, other, run, final>>

(* It lets go.                                                              *)
LetGo(c) ==
    /\ call[c] = "holding"
    /\ held' = held - 1
    /\ IF ~IsLast \/ RunOwns
       THEN Move({c}, "out") /\ UNCHANGED <<res, due, again>>
       ELSE LET closing == res \in {"open", "closing"} \/ (res = "opening" /\ MayCancel)
            IN /\ due' = (due /\ StillDue)
               /\ again' = (again /\ StillDue)
               /\ res' = IF closing THEN "closing" ELSE res
               /\ Move({c}, IF closing THEN "waits" ELSE "out")
    /\ UNCHANGED <<dead, own, other, run, final>>

LetGoOfNothing(c) ==
    /\ call[c] = "over"
    /\ Move({c}, "out")
    /\ UNCHANGED <<res, due, again, held, dead, own, other, run, final>>

(* The context of its release ends: the closing goes on.                    *)
WaitEnds(c) ==
    /\ call[c] = "waits"
    /\ Move({c}, "out")
    /\ UNCHANGED <<res, due, again, held, dead, own, other, run, final>>

-----------------------------------------------------------------------------
(* The other callers.                                                       *)

OtherStarts ==
    /\ other = "out" /\ res \in {"empty", "opening"} /\ ~due /\ ~final
    /\ res' = "opening" /\ other' = "join"
    /\ UNCHANGED <<due, again, held, dead, own, call, run, final>>

OtherLeaves ==
    /\ other = "join"
    /\ res' = IF res = "opening" /\ At("join") = {} /\ run # "join" /\ ~again THEN "closing" ELSE res
    /\ other' = "out"
    /\ UNCHANGED <<due, again, held, dead, own, call, run, final>>

(* A Stop ends every hold, and the Run that has found it open.              *)
Stops ==
    /\ res' = IF res = "empty" THEN "empty" ELSE "closing"
    /\ due' = FALSE /\ again' = FALSE /\ held' = 0
    /\ Move(At("holding"), "over")
    /\ UNCHANGED <<dead, own, other>>

OtherStops ==
    /\ Stops
    /\ run' = IF run = "owns" THEN "out" ELSE run
    /\ UNCHANGED final

-----------------------------------------------------------------------------
(* The Run.                                                                 *)

RunOfOpen ==
    /\ run = "out" /\ res = "open"
    /\ run' = "owns"
    /\ UNCHANGED <<res, due, again, held, dead, own, other, call, final>>

RunJoins ==
    /\ run = "out" /\ res \in {"empty", "opening"} /\ ~due /\ ~final
    /\ res' = "opening" /\ run' = "join"
    /\ UNCHANGED <<due, again, held, dead, own, other, call, final>>

(* The context of its Start ends.                                           *)
RunLeaves ==
    /\ run = "join"
    /\ res' = IF res = "opening" /\ At("join") = {} /\ other = "out" /\ ~again THEN "closing" ELSE res
    /\ run' = "ends"
    /\ UNCHANGED <<due, again, held, dead, own, other, call, final>>

(* It closes the lifecycle, for its holders, too: its context has ended, or *)
(* it is about to.                                                          *)
RunCloses ==
    /\ run \in {"owns", "ends"}
    /\ Stops
    /\ run' = "out" /\ final' = TRUE

-----------------------------------------------------------------------------
(* The resource, as in Abstract.                                            *)

Opened ==
    /\ res = "opening"
    /\ res' = "open" /\ again' = FALSE /\ dead' = FALSE
    /\ held' = held + Counted(At("join"))
    /\ own' = (held = 0 /\ At("join") = {})
    /\ Move(At("join"), "holding")
    /\ other' = "out"
    /\ run' = IF run = "join" THEN "owns" ELSE run
    /\ UNCHANGED <<due, final>>

OpenFails ==
    /\ res = "opening"
    /\ res' = "closing"
    /\ UNCHANGED <<due, again, held, dead, own, other, call, run, final>>

Died ==
    /\ res = "open"
    /\ res' = "closing" /\ due' = Restarts /\ dead' = TRUE
    /\ run' = IF run = "owns" /\ ~Restarts THEN "ends" ELSE run
    /\ UNCHANGED <<again, held, own, other, call, final>>

Released ==
    /\ res = "closing"
    /\ due' = (due \/ again) /\ again' = FALSE
    /\ \E S \in SUBSET At("hold") :
          /\ due' \/ final => S = {}
          /\ res' = IF S = {} THEN "empty" ELSE "opening"
          /\ call' = [c \in Callers |-> IF c \in S THEN "join"
                                        ELSE IF call[c] \in {"join", "waits"} THEN "out" ELSE call[c]]
    /\ other' = "out"
    /\ run' = IF run = "join" THEN "out" ELSE run \* with the error of the attempt
    /\ UNCHANGED <<held, dead, own, final>>

RestartEnds(begins) ==
    /\ res = "empty" /\ due
    /\ due' = FALSE /\ again' = begins
    /\ \E S \in SUBSET At("hold") :
          /\ res' = IF begins \/ S # {} THEN "opening" ELSE "empty"
          /\ Move(S, "join")
    /\ run' = IF run = "owns" /\ ~begins THEN "ends" ELSE run
    /\ UNCHANGED <<held, dead, own, other, final>>

-----------------------------------------------------------------------------
Next ==
    \/ \E c \in Callers :
         \/ Invoke(c) \/ HoldOfOpen(c) \/ HoldJoins(c) \/ HoldRefused(c) \/ HoldLeaves(c)
         \/ LetGo(c) \/ LetGoOfNothing(c) \/ WaitEnds(c)
    \/ OtherStarts \/ OtherLeaves \/ OtherStops
    \/ RunOfOpen \/ RunJoins \/ RunLeaves \/ RunCloses
    \/ Opened \/ OpenFails \/ Died \/ Released \/ RestartEnds(TRUE) \/ RestartEnds(FALSE)

(* Hooks return, and a pause before a restart ends.  No caller has to let   *)
(* go, and no context has to end.                                           *)
Fairness ==
    /\ WF_vars(Opened \/ OpenFails) /\ WF_vars(Released)
    /\ WF_vars(RestartEnds(TRUE) \/ RestartEnds(FALSE))
    /\ WF_vars(run = "ends" /\ RunCloses)
    /\ \A c \in Callers : SF_vars(HoldOfOpen(c) \/ HoldJoins(c) \/ HoldRefused(c))

Spec == Init /\ [][Next]_vars /\ Fairness

-----------------------------------------------------------------------------
(* What is promised.                                                        *)

(* While it is held it is open, unless it has died since.  So the last      *)
(* release never closes it for a new holder.                                *)
HeldIsOpen == At("holding") # {} => res = "open" \/ dead

(* Once it is not held, no Run owns it and no caller waits for it, it is    *)
(* not open, and nothing will open it: except for other callers whose Start *)
(* opened it.                                                               *)
UnheldIsStopped ==
    At("holding") = {} /\ run # "owns" =>
        /\ res = "open" => own
        /\ (due \/ again) /\ ~Waiting => own

(* As long as a Run lasts that has found it open, it is open or to be       *)
(* started again: no release of a hold stops it.                            *)
RunIsOpen == run = "owns" => res = "open" \/ due \/ again

(* A caller that lets go, or leaves, cancels no opening that others wait    *)
(* for.                                                                     *)
OthersGoOn ==
    [][\A c \in Callers :
          call[c] \in {"join", "holding"} /\ call'[c] \in {"out", "waits"} /\ res = "opening" /\ res' = "closing"
              => At("join") \ {c} = {} /\ other = "out" /\ run # "join"]_vars

(* The count is right.                                                      *)
CountIsRight == held = Cardinality(At("holding"))

(* Every call of Hold, and every release, returns.                          *)
HoldsReturn == \A c \in Callers : call[c] \in {"hold", "join", "waits"} ~> call[c] \notin {"hold", "join", "waits"}

(* Every Run whose Start has an outcome, and that is to end, returns.       *)
RunReturns == run \in {"join", "ends"} ~> run \in {"out", "owns"}
=============================================================================
