-------------------------------- MODULE Group --------------------------------
(****************************************************************************)
(* A group of lifecycles that need each other (package fsm/group), over     *)
(* Abstract's view of each member.  The group is a lifecycle, too: its open *)
(* starts the members, and its release stops them.  What a lifecycle        *)
(* guarantees it has from there; this module is about the order.            *)
(****************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS
    N,          \* the members are 1..N
    Edges,      \* 21: member 2 needs member 1
    Restarting, \* what is started again when it dies, with what needs it; else the group dies
    MaxDeaths

Members  == 1..N
Needs(i) == {j \in Members : 10 * i + j \in Edges}

ASSUME N <= 4 /\ \A i \in Members : \A j \in Needs(i) : j < i    \* no cycles

VARIABLES
    g,      \* the group: "idle", "starting", "started" or "stopping"
    m,      \* [member -> "idle", "starting", "started", "stopping" or "closed"]
    has,    \* the members that the group holds
    dead,   \* those of them whose death the group has not noticed yet
    torn,   \* while started: what is taken down and started again
    shut,   \* what another caller has shut down for good
    broken, \* what has died since it was opened last
    deaths

vars == <<g, m, has, dead, torn, shut, broken, deaths>>

Needing(i) == {j \in Members : i \in Needs(j)}
And(S)     == S \cup UNION {Needing(j) : j \in S}
Above(i)   == And(And(And(Needing(i))))    \* as far as four members reach

Down(i) == m[i] \in {"idle", "closed"}
Becomes(i, s) == m' = [m EXCEPT ![i] = s]

TypeOK ==
    /\ g \in {"idle", "starting", "started", "stopping"}
    /\ m \in [Members -> {"idle", "starting", "started", "stopping", "closed"}]
    /\ has \subseteq Members /\ dead \subseteq has
    /\ torn \subseteq Members /\ shut \subseteq Members /\ broken \subseteq Members
    /\ deaths \in 0..MaxDeaths

Init ==
    /\ g = "idle" /\ m = [i \in Members |-> "idle"]
    /\ has = {} /\ dead = {} /\ torn = {} /\ shut = {} /\ broken = {} /\ deaths = 0

-----------------------------------------------------------------------------
(* The guards that the promises rest on.                                    *)

(* A member starts once the group holds all that it needs.                  *)
NeedsAreHeld(i) == Needs(i) \subseteq has \ torn

(* A member stops once all that needs it, and is to stop, has stopped.      *)
NeedingAreDown(i) == \A j \in Needing(i) : g = "stopping" \/ j \in torn => j \notin has /\ Down(j)

(* The group ends once it holds nothing ...                                 *)
HoldsNothing == has = {}

(* ... and no start that it has left is being rolled back.                  *)
NothingEnds == \A i \in Members : Down(i)

(* What is taken down with a member that is started again.                  *)
TakenDown(i) == {i} \cup Above(i)

(* What it needs has died while it started: it is taken down again.         *)
StaysTorn(i) == Needs(i) \cap torn # {}

-----------------------------------------------------------------------------
(* The group.                                                               *)

GroupStarts ==
    /\ g = "idle"
    /\ g' = "starting"
    /\ UNCHANGED <<m, has, dead, torn, shut, broken, deaths>>

GroupOpened ==
    /\ g = "starting" /\ has = Members
    /\ g' = "started"
    /\ UNCHANGED <<m, has, dead, torn, shut, broken, deaths>>

(* A Stop, at any time.                                                     *)
GroupStops ==
    /\ g \in {"starting", "started"}
    /\ g' = "stopping"
    /\ UNCHANGED <<m, has, dead, torn, shut, broken, deaths>>

GroupReleased ==
    /\ g = "stopping" /\ HoldsNothing /\ NothingEnds
    /\ g' = "idle" /\ torn' = {}
    /\ UNCHANGED <<m, has, dead, shut, broken, deaths>>

(* It notices that a member has died.                                       *)
Notices(i) ==
    /\ i \in dead
    /\ dead' = dead \ {i}
    /\ IF g = "started" /\ i \in Restarting
       THEN torn' = torn \cup TakenDown(i) /\ UNCHANGED g
       ELSE g' = (IF g = "idle" THEN "idle" ELSE "stopping") /\ UNCHANGED torn
    /\ UNCHANGED <<m, has, shut, broken, deaths>>

-----------------------------------------------------------------------------
(* What the group does with a member.  A death or a Stop of another caller  *)
(* may come before each.                                                    *)

(* A start waits for the end of a release, as a Start does.                 *)
Starts(i) ==
    /\ g = "starting" \/ (g = "started" /\ i \in torn)
    /\ i \notin has /\ Down(i) /\ i \notin shut
    /\ NeedsAreHeld(i)
    /\ g = "started" => \A j \in Above(i) \cap torn : j \notin has /\ Down(j)
    /\ Becomes(i, "starting")
    /\ UNCHANGED <<g, has, dead, torn, shut, broken, deaths>>

Opens(i) ==
    /\ m[i] = "starting"
    /\ Becomes(i, "started")
    /\ has' = has \cup {i} /\ broken' = broken \ {i}
    /\ torn' = IF StaysTorn(i) THEN torn ELSE torn \ {i}
    /\ UNCHANGED <<g, dead, shut, deaths>>

(* Its start fails, and the group with it.                                  *)
Fails(i) ==
    /\ \/ m[i] = "starting" /\ Becomes(i, "stopping")
       \/ i \in shut /\ i \notin has /\ Down(i) /\ NeedsAreHeld(i) /\ UNCHANGED m
          /\ (g = "starting" \/ (g = "started" /\ i \in torn))
    /\ g' = "stopping"
    /\ UNCHANGED <<has, dead, torn, shut, broken, deaths>>

(* The group leaves a start that is under way.                              *)
Leaves(i) ==
    /\ m[i] = "starting"
    /\ g = "stopping" \/ (g = "started" /\ StaysTorn(i))
    /\ Becomes(i, "stopping")
    /\ UNCHANGED <<g, has, dead, torn, shut, broken, deaths>>

Stops(i) ==
    /\ i \in has
    /\ g = "stopping" \/ (g = "started" /\ i \in torn)
    /\ NeedingAreDown(i)
    /\ has' = has \ {i} /\ dead' = dead \ {i}
    /\ Becomes(i, IF m[i] = "started" THEN "stopping" ELSE m[i])
    /\ UNCHANGED <<g, torn, shut, broken, deaths>>

Released(i) ==
    /\ m[i] = "stopping"
    /\ Becomes(i, IF i \in shut THEN "closed" ELSE "idle")
    /\ UNCHANGED <<g, has, dead, torn, shut, broken, deaths>>

-----------------------------------------------------------------------------
(* What happens to a member.                                                *)

(* It dies, or another caller stops it or shuts it down.                    *)
Ends(i, final) ==
    /\ m[i] = "started" /\ deaths < MaxDeaths
    /\ Becomes(i, "stopping")
    /\ dead' = dead \cup ({i} \cap has) /\ broken' = broken \cup {i}
    /\ shut' = IF final THEN shut \cup {i} ELSE shut
    /\ deaths' = deaths + 1
    /\ UNCHANGED <<g, has, torn>>

Next ==
    \/ GroupStarts \/ GroupOpened \/ GroupStops \/ GroupReleased
    \/ \E i \in Members :
         \/ Notices(i) \/ Starts(i) \/ Opens(i) \/ Fails(i) \/ Leaves(i) \/ Stops(i) \/ Released(i)
         \/ Ends(i, FALSE) \/ Ends(i, TRUE)

(* Hooks return, and uses end.  No caller has to start or stop the group.   *)
Fairness ==
    /\ WF_vars(GroupOpened) /\ WF_vars(GroupReleased)
    /\ \A i \in Members :
         /\ WF_vars(Notices(i)) /\ WF_vars(Starts(i)) /\ WF_vars(Stops(i)) /\ WF_vars(Released(i))
         /\ WF_vars(Opens(i) \/ Fails(i) \/ Leaves(i))

Spec == Init /\ [][Next]_vars /\ Fairness

-----------------------------------------------------------------------------
(* What is promised.                                                        *)

(* A member is started after all that it needs, and stopped before: unless  *)
(* that has died.                                                           *)
InOrder ==
    \A i \in Members : ~Down(i) => \A j \in Needs(i) : m[j] = "started" \/ j \in broken

(* When a group has stopped, or has failed to start, nothing is open, and   *)
(* nothing ends any more.                                                   *)
NothingLeft == g = "idle" => has = {} /\ \A i \in Members : Down(i)

(* Started: all are open, except what has died and what is started again.   *)
AllOpen == g = "started" => \A i \in Members : m[i] = "started" \/ i \in broken \cup torn

(* What needs a member that died is down before that member starts again.   *)
DependantsDown == \A i \in Members : m[i] = "starting" => \A j \in Above(i) : Down(j)

(* While the group is started, only what died, and what needs it, ends.     *)
OthersStay ==
    [][\A i \in Members : g = "started" /\ m[i] = "started" /\ m'[i] = "stopping" /\ i \notin broken'
          => \E j \in Members : i \in Above(j) /\ j \in broken]_vars

(* The group comes to rest: all open, or nothing.                           *)
Rest    == torn = {} /\ g \in {"idle", "started"}
Settles == ~Rest ~> Rest
=============================================================================
