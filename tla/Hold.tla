-------------------------------- MODULE Hold --------------------------------
(****************************************************************************)
(* Shared ownership (fsm.Lifecycle.Hold), over Abstract's view of the       *)
(* resource.  Callers hold it and let it go.  All other callers are one:    *)
(* they Start and Stop it as they like.  One action of a hold is one        *)
(* critical section of the code.                                            *)
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
    call    \* [caller -> where it is]

vars == <<res, due, again, held, dead, own, other, call>>

(* "hold": invoked, without effect as yet.  "join": waits for the opening.  *)
(* "holding".  "over": a Stop has ended the hold, which is not let go yet.  *)
(* "waits": has let it go as the last, and waits for the closing.           *)
Calls == {"out", "hold", "join", "holding", "over", "waits"}

At(place) == {c \in Callers : call[c] = place}
Waiting   == At("join") # {} \/ other = "join"
Move(S, place) == call' = [c \in Callers |-> IF c \in S THEN place ELSE call[c]]

TypeOK ==
    /\ res \in {"empty", "opening", "open", "closing"}
    /\ due \in BOOLEAN /\ again \in BOOLEAN /\ dead \in BOOLEAN /\ own \in BOOLEAN
    /\ held \in 0..Cardinality(Callers)
    /\ other \in {"out", "join"}
    /\ call \in [Callers -> Calls]

Init ==
    /\ res = "empty" /\ due = FALSE /\ again = FALSE
    /\ held = 0 /\ dead = FALSE /\ own = FALSE
    /\ other = "out" /\ call = [c \in Callers |-> "out"]

-----------------------------------------------------------------------------
(* The guards that the promises rest on.                                    *)

(* The caller that lets go is the last.                                     *)
IsLast == held = 1

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
    /\ UNCHANGED <<res, due, again, held, dead, own, other>>

HoldOfOpen(c) ==
    /\ call[c] = "hold" /\ res = "open"
    /\ Move({c}, "holding")
    /\ held' = held + 1 /\ own' = FALSE
    /\ UNCHANGED <<res, due, again, dead, other>>

(* It joins as a Start does.                                                *)
HoldJoins(c) ==
    /\ call[c] = "hold" /\ res \in {"empty", "opening"} /\ ~due
    /\ res' = "opening"
    /\ Move({c}, "join")
    /\ UNCHANGED <<due, again, held, dead, own, other>>

(* Its context ends: it does not hold.  The last that waits cancels the     *)
(* opening, unless that is a restart.                                       *)
HoldLeaves(c) ==
    /\ call[c] = "join"
    /\ res' = IF res = "opening" /\ At("join") = {c} /\ other = "out" /\ ~again THEN "closing" ELSE res
    /\ Move({c}, "out")
    /\ UNCHANGED <<due, again, held, dead, own, other>>

(* It lets go.                                                              *)
LetGo(c) ==
    /\ call[c] = "holding"
    /\ held' = held - 1
    /\ IF ~IsLast
       THEN Move({c}, "out") /\ UNCHANGED <<res, due, again>>
       ELSE LET closing == res \in {"open", "closing"} \/ (res = "opening" /\ MayCancel)
            IN /\ due' = (due /\ StillDue)
               /\ again' = (again /\ StillDue)
               /\ res' = IF closing THEN "closing" ELSE res
               /\ Move({c}, IF closing THEN "waits" ELSE "out")
    /\ UNCHANGED <<dead, own, other>>

LetGoOfNothing(c) ==
    /\ call[c] = "over"
    /\ Move({c}, "out")
    /\ UNCHANGED <<res, due, again, held, dead, own, other>>

(* The context of its release ends: the closing goes on.                    *)
WaitEnds(c) ==
    /\ call[c] = "waits"
    /\ Move({c}, "out")
    /\ UNCHANGED <<res, due, again, held, dead, own, other>>

-----------------------------------------------------------------------------
(* The other callers.                                                       *)

OtherStarts ==
    /\ other = "out" /\ res \in {"empty", "opening"} /\ ~due
    /\ res' = "opening" /\ other' = "join"
    /\ UNCHANGED <<due, again, held, dead, own, call>>

OtherLeaves ==
    /\ other = "join"
    /\ res' = IF res = "opening" /\ At("join") = {} /\ ~again THEN "closing" ELSE res
    /\ other' = "out"
    /\ UNCHANGED <<due, again, held, dead, own, call>>

(* A Stop ends every hold.                                                  *)
OtherStops ==
    /\ res' = IF res = "empty" THEN "empty" ELSE "closing"
    /\ due' = FALSE /\ again' = FALSE /\ held' = 0
    /\ Move(At("holding"), "over")
    /\ UNCHANGED <<dead, own, other>>

-----------------------------------------------------------------------------
(* The resource, as in Abstract.                                            *)

Opened ==
    /\ res = "opening"
    /\ res' = "open" /\ again' = FALSE /\ dead' = FALSE
    /\ held' = held + Counted(At("join"))
    /\ own' = (held = 0 /\ At("join") = {})
    /\ Move(At("join"), "holding")
    /\ other' = "out"
    /\ UNCHANGED due

OpenFails ==
    /\ res = "opening"
    /\ res' = "closing"
    /\ UNCHANGED <<due, again, held, dead, own, other, call>>

Died ==
    /\ res = "open"
    /\ res' = "closing" /\ due' = Restarts /\ dead' = TRUE
    /\ UNCHANGED <<again, held, own, other, call>>

Released ==
    /\ res = "closing"
    /\ due' = (due \/ again) /\ again' = FALSE
    /\ \E S \in SUBSET At("hold") :
          /\ due' => S = {}
          /\ res' = IF S = {} THEN "empty" ELSE "opening"
          /\ call' = [c \in Callers |-> IF c \in S THEN "join"
                                        ELSE IF call[c] \in {"join", "waits"} THEN "out" ELSE call[c]]
    /\ other' = "out"
    /\ UNCHANGED <<held, dead, own>>

RestartEnds(begins) ==
    /\ res = "empty" /\ due
    /\ due' = FALSE /\ again' = begins
    /\ \E S \in SUBSET At("hold") :
          /\ res' = IF begins \/ S # {} THEN "opening" ELSE "empty"
          /\ Move(S, "join")
    /\ UNCHANGED <<held, dead, own, other>>

-----------------------------------------------------------------------------
Next ==
    \/ \E c \in Callers :
         \/ Invoke(c) \/ HoldOfOpen(c) \/ HoldJoins(c) \/ HoldLeaves(c)
         \/ LetGo(c) \/ LetGoOfNothing(c) \/ WaitEnds(c)
    \/ OtherStarts \/ OtherLeaves \/ OtherStops
    \/ Opened \/ OpenFails \/ Died \/ Released \/ RestartEnds(TRUE) \/ RestartEnds(FALSE)

(* Hooks return, and a pause before a restart ends.  No caller has to let   *)
(* go, and no context has to end.                                           *)
Fairness ==
    /\ WF_vars(Opened \/ OpenFails) /\ WF_vars(Released)
    /\ WF_vars(RestartEnds(TRUE) \/ RestartEnds(FALSE))
    /\ \A c \in Callers : SF_vars(HoldOfOpen(c) \/ HoldJoins(c))

Spec == Init /\ [][Next]_vars /\ Fairness

-----------------------------------------------------------------------------
(* What is promised.                                                        *)

(* While it is held it is open, unless it has died since.  So the last      *)
(* release never closes it for a new holder.                                *)
HeldIsOpen == At("holding") # {} => res = "open" \/ dead

(* Once it is not held and no caller waits for it, it is not open, and      *)
(* nothing will open it: except for other callers whose Start opened it.    *)
UnheldIsStopped ==
    At("holding") = {} => /\ res = "open" => own
                          /\ (due \/ again) /\ ~Waiting => own

(* A caller that lets go, or leaves, cancels no opening that others wait    *)
(* for.                                                                     *)
OthersGoOn ==
    [][\A c \in Callers :
          call[c] \in {"join", "holding"} /\ call'[c] \in {"out", "waits"} /\ res = "opening" /\ res' = "closing"
              => At("join") \ {c} = {} /\ other = "out"]_vars

(* The count is right.                                                      *)
CountIsRight == held = Cardinality(At("holding"))

(* Every call of Hold, and every release, returns.                          *)
HoldsReturn == \A c \in Callers : call[c] \in {"hold", "join", "waits"} ~> call[c] \notin {"hold", "join", "waits"}
=============================================================================
