----------------------------- MODULE GroupRounds -----------------------------
(****************************************************************************)
(* How a group restarts members (fsm/group/restart.go).  Group says what    *)
(* happens to torn members; this module is about the one goroutine that     *)
(* does it, in rounds, and about the deaths that others notice meanwhile.   *)
(* One action is one critical section, or the work of the round with one    *)
(* member.  Needs are left out: each member dies, and is restarted, alone.  *)
(****************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS
    Members,
    MaxDeaths

VARIABLES
    up,     \* the members that are open and alive
    held,   \* the members that the group holds, alive or not
    dead,   \* those of them whose death the group has not noticed yet
    torn,   \* the members to be stopped and started again
    round,  \* "none"; "due": one is to begin; "stops"; "starts"
    mine,   \* the members of the round that runs
    number, \* of that round
    told,   \* that round has been told that another member has died
    late,   \* deaths that are noticed, and which round is still to be told: pairs
    deaths

vars == <<up, held, dead, torn, round, mine, number, told, late, deaths>>

TypeOK ==
    /\ up \subseteq held /\ held \subseteq Members
    /\ dead \subseteq held \ up
    /\ torn \subseteq Members /\ mine \subseteq Members
    /\ round \in {"none", "due", "stops", "starts"}
    /\ number \in 0..MaxDeaths /\ told \in BOOLEAN
    /\ late \subseteq Members \X (0..MaxDeaths)
    /\ deaths \in 0..MaxDeaths

Init ==
    /\ up = Members /\ held = Members /\ dead = {} /\ torn = {}
    /\ round = "none" /\ mine = {} /\ number = 0 /\ told = FALSE /\ late = {} /\ deaths = 0

-----------------------------------------------------------------------------
(* The guards that the promise rests on.                                    *)

(* A death is noticed, and the round told, in one critical section.         *)
TellsAtOnce == TRUE

(* A round that was told is followed by another.                            *)
AnotherFollows == told

-----------------------------------------------------------------------------

Dies(i) ==
    /\ i \in up /\ deaths < MaxDeaths
    /\ up' = up \ {i} /\ dead' = dead \cup {i} /\ deaths' = deaths + 1
    /\ UNCHANGED <<held, torn, round, mine, number, told, late>>

(* The death is noticed: the first begins the rounds, others tell the round *)
(* that runs.                                                               *)
Notices(i) ==
    /\ i \in dead
    /\ dead' = dead \ {i} /\ torn' = torn \cup {i}
    /\ IF round = "none"
       THEN round' = "due" /\ UNCHANGED <<told, late>>
       ELSE /\ UNCHANGED round
            /\ IF TellsAtOnce
               THEN told' = TRUE /\ UNCHANGED late
               ELSE late' = late \cup {<<i, number>>} /\ UNCHANGED told
    /\ UNCHANGED <<up, held, mine, number, deaths>>

(* To tell a round that has ended changes nothing.                          *)
Tells(i, n) ==
    /\ <<i, n>> \in late
    /\ late' = late \ {<<i, n>>}
    /\ told' = (told \/ n = number)
    /\ UNCHANGED <<up, held, dead, torn, round, mine, number, deaths>>

RoundBegins ==
    /\ round = "due"
    /\ round' = "stops" /\ mine' = torn /\ number' = number + 1 /\ told' = FALSE
    /\ UNCHANGED <<up, held, dead, torn, late, deaths>>

(* A death of what is stopped is not noticed any more.                      *)
Stops(i) ==
    /\ round = "stops" /\ i \in mine \cap held
    /\ up' = up \ {i} /\ held' = held \ {i} /\ dead' = dead \ {i}
    /\ UNCHANGED <<torn, round, mine, number, told, late, deaths>>

AllStopped ==
    /\ round = "stops" /\ mine \cap held = {}
    /\ round' = "starts"
    /\ UNCHANGED <<up, held, dead, torn, mine, number, told, late, deaths>>

Opens(i) ==
    /\ round = "starts" /\ i \in mine \ held
    /\ up' = up \cup {i} /\ held' = held \cup {i} /\ torn' = torn \ {i}
    /\ UNCHANGED <<dead, round, mine, number, told, late, deaths>>

(* A round that was told leaves what it has not started.                    *)
RoundEnds ==
    /\ round = "starts" /\ (told \/ mine \subseteq held)
    /\ round' = (IF AnotherFollows THEN "due" ELSE "none")
    /\ mine' = {}
    /\ UNCHANGED <<up, held, dead, torn, number, told, late, deaths>>

(* At rest, and nothing dies any more.                                      *)
Terminated ==
    /\ round = "none" /\ up = Members /\ late = {} /\ deaths = MaxDeaths

Terminating == Terminated /\ UNCHANGED vars

Next ==
    \/ Terminating
    \/ RoundBegins \/ AllStopped \/ RoundEnds
    \/ \E i \in Members : Dies(i) \/ Notices(i) \/ Stops(i) \/ Opens(i)
    \/ \E p \in late : Tells(p[1], p[2])

Fairness ==
    /\ WF_vars(RoundBegins) /\ WF_vars(AllStopped) /\ WF_vars(RoundEnds)
    /\ \A i \in Members : WF_vars(Notices(i)) /\ WF_vars(Stops(i)) /\ WF_vars(Opens(i))
    /\ \A i \in Members, n \in 0..MaxDeaths : WF_vars(Tells(i, n))

Spec == Init /\ [][Next]_vars /\ Fairness

-----------------------------------------------------------------------------
(* What is promised.                                                        *)

(* When no round runs, nothing is left to be restarted.                     *)
NothingTorn == round = "none" => torn = {}

(* Every member is open in the end.                                         *)
AllOpenAgain == <>[](up = Members)
=============================================================================
