------------------------------ MODULE Progress ------------------------------
(****************************************************************************)
(* Why every call returns (G12), for any number of callers, attempts, parts *)
(* and calls.  The conditions speak of one state or one step.  Z3 proves    *)
(* each of them from Inv (../verify/proof/progress.py, the same names).     *)
(* The argument below composes them, by the rules WF1 and SF1 and by ranks  *)
(* that are natural numbers.  It is written to be read: SANY parses it, and *)
(* TLC checks conditions and lemmas in a small model (Progress.cfg).        *)
(****************************************************************************)
EXTENDS Guarantees

StartingOf(g) == st = "Starting" /\ gen = g
StoppingOf(g) == st = "Stopping" /\ gen = g
Awaiting(c)   == pc[c] \in Waits /\ out[c] = None

(* How far a release is from its end.                                       *)
Rank(g) == CASE op[g] = "open"    -> 2 * NParts + 3 - Len(held[g])
             [] op[g] = "drain"   -> NParts + 2
             [] op[g] = "release" -> Len(held[g]) + 1
             [] op[g] = "none"    -> 0

(* How far an admitted use is from its end.                                 *)
UseStep(c) == CASE pc[c] = "using" -> 2
                [] pc[c] = "drop"  -> 1
                [] OTHER           -> 0

(* How far a call is from its return.  It waits at 2 and nowhere else.      *)
CallStep(c) == IF pc[c] = "idle" THEN 0 ELSE
               IF out[c] # None THEN 1 ELSE
               CASE pc[c] \in Waits                           -> 2
                 [] pc[c] = "drop"                            -> 3
                 [] pc[c] = "using"                           -> 4
                 [] pc[c] \in {"slow", "enter", "stop", "shut"} -> 5
                 [] pc[c] \in {"add", "start"}                -> 6
                 [] pc[c] = "use"                             -> 7
                 [] OTHER                                     -> 1

(* What a call that waits is waiting for: a release to end, an opening to   *)
(* end, a restart, or a release and then one of these.                      *)
Phase(c) == CASE on[c] = gen /\ st = "Stopping"         -> 1
              [] on[c] = gen /\ st = "Starting"         -> 2
              [] on[c] = gen + 1 /\ st = "Idle" /\ due  -> 3
              [] on[c] = gen + 1 /\ st = "Stopping"     -> 4
              [] OTHER                                  -> 5

-----------------------------------------------------------------------------
(* Conditions of a state.  What must run is enabled.                        *)

UseCanEnd == \A c \in Callers : UseStep(c) > 0 => ENABLED UseRuns(c)

OperationCanRun ==
    \A g \in Attempts :
       (StoppingOf(g) \/ StartingOf(g)) /\ (op[g] = "drain" => Using(g) = {}) => ENABLED OperationRuns(g)

TryCanEnd == \A g \in Attempts : StartingOf(g) /\ op[g] = "open" => ENABLED TriesEnd

BackoffCanSay == due /\ st = "Idle" => ENABLED BackoffSays

CallCanRun ==
    \A c \in Callers : CallStep(c) > 0 /\ ~Awaiting(c) /\ UseStep(c) = 0 => ENABLED CallRuns(c)

LeaverCanRun == \A c \in Callers : ended[c] => ENABLED CallRuns(c)

(* Whoever waits is in one of the phases; an operation is an attempt's that *)
(* is starting or stopping; what is due waits for a release or its backoff. *)
AwaitedFits ==
    /\ \A c \in Callers : Awaiting(c) => Phase(c) \in 1..4
    /\ \A g \in Attempts : op[g] # "none" =>
          StoppingOf(g) \/ (StartingOf(g) /\ op[g] \in {"open", "release"})
    /\ due => st \in {"Stopping", "Idle"} /\ gen >= 1

-----------------------------------------------------------------------------
(* Conditions of a step.  "GetsOn" concerns a step that fairness promises,  *)
(* "IsKept" any step of any caller.                                         *)

UseGetsOn == \A c \in Callers : UseRuns(c) => UseStep(c)' < UseStep(c)
UseIsKept == \A c \in Callers : UseStep(c) > 0 => UseStep(c)' <= UseStep(c)

NobodyEnters == \A g \in Attempts : op[g] = "drain" /\ op'[g] = "drain" =>
                   \A c \in Callers : c \in Using(g)' => c \in Using(g)

ReleaseGetsOn == \A g \in Attempts : OperationRuns(g) /\ StoppingOf(g) /\ StoppingOf(g)' => Rank(g)' < Rank(g)
ReleaseIsKept == \A g \in Attempts : StoppingOf(g) /\ StoppingOf(g)' => Rank(g)' <= Rank(g)
ReleaseIsOver == \A g \in Attempts : StoppingOf(g) /\ ~StoppingOf(g)' => op'[g] = "none"

TryIsLast      == \A g \in Attempts : TriesEnd /\ StartingOf(g) => ~StartingOf(g)'
StartingIsKept == \A g \in Attempts : StartingOf(g) => StartingOf(g)' \/ StoppingOf(g)' \/ op'[g] = "none"

Between(g)    == StartingOf(g) /\ op[g] = "release"
BetweenGetsOn == \A g \in Attempts : OperationRuns(g) /\ Between(g) /\ Between(g)' => Len(held'[g]) < Len(held[g])
BetweenIsKept == \A g \in Attempts : Between(g) /\ StartingOf(g)' =>
                    op'[g] = "open" \/ (op'[g] = "release" /\ Len(held'[g]) <= Len(held[g]))

BackoffEnds == BackoffSays => ~due'
DueIsKept   == due /\ due' => gen' = gen /\ (st' = st \/ st' = "Idle")

PhaseIsKept == \A c \in Callers : Awaiting(c) /\ Awaiting(c)' => on'[c] = on[c] /\ Phase(c)' <= Phase(c)

CallGetsOn == \A c \in Callers : CallRuns(c) \/ UseRuns(c) => CallStep(c)' < CallStep(c)
CallIsKept == \A c \in Callers : CallStep(c) > 0 => CallStep(c)' <= CallStep(c)

StateConditions == /\ UseCanEnd /\ OperationCanRun /\ TryCanEnd /\ BackoffCanSay
                   /\ CallCanRun /\ LeaverCanRun /\ AwaitedFits
StepConditions  == /\ UseGetsOn /\ UseIsKept /\ NobodyEnters
                   /\ ReleaseGetsOn /\ ReleaseIsKept /\ ReleaseIsOver
                   /\ TryIsLast /\ StartingIsKept /\ BetweenGetsOn /\ BetweenIsKept
                   /\ BackoffEnds /\ DueIsKept /\ PhaseIsKept /\ CallGetsOn /\ CallIsKept

StepsConditioned == [][StepConditions]_vars

Conditions == []StateConditions /\ StepsConditioned

-----------------------------------------------------------------------------
(* The argument.  WF1: P holds until Q does; a step of A from P leads to Q; *)
(* A is enabled in P; so with WF(A) P leads to Q.  SF1: the same with       *)
(* SF(A), if A is enabled again and again as long as P holds.  Each fair    *)
(* step lowers a rank, so it changes vars: WF_vars(A) needs no more.        *)

UsesEnd     == \A c \in Callers : (UseStep(c) > 0) ~> (UseStep(c) = 0)
DrainsEmpty == \A g \in Attempts : (op[g] = "drain") ~> (op[g] # "drain" \/ Using(g) = {})
ReleasesEnd == \A g \in Attempts : StoppingOf(g) ~> (op[g] = "none")
TriesGetOn  == \A g \in Attempts : Between(g) ~> ~Between(g)
StartsEnd   == \A g \in Attempts : StartingOf(g) ~> ~StartingOf(g)
WaitsEnd    == \A c \in Callers : Awaiting(c) ~> ~Awaiting(c)

THEOREM Spec /\ Conditions => Progress /\ ProgressOnContextEnd
(* Each use ends: WF1 with WF(UseRuns(c)) lowers UseStep(c), twice at most. *)
<1>1. Spec /\ Conditions => UsesEnd
  BY UseCanEnd, UseGetsOn, UseIsKept DEF Fairness
(* While g drains no use enters it, so Using(g) can only shrink.  Callers   *)
(* are finitely many, and by <1>1 each of Using(g) leaves it.               *)
<1>2. Spec /\ Conditions => DrainsEmpty
  BY <1>1, NobodyEnters, IsFiniteSet(Callers)
(* WF1 with WF(OperationRuns(g)) for each value of Rank(g): it never rises, *)
(* falls at each step of the operation, and the operation can run, at once  *)
(* or, in a drain, once that is empty (and then it stays so).               *)
<1>3. Spec /\ Conditions => ReleasesEnd
  BY <1>2, NobodyEnters, OperationCanRun, ReleaseGetsOn, ReleaseIsKept, ReleaseIsOver DEF Fairness
(* Likewise for each number of parts held between two tries.                *)
<1>4. Spec /\ Conditions => TriesGetOn
  BY OperationCanRun, BetweenGetsOn, BetweenIsKept DEF Fairness
(* SF1 with SF(TriesEnd).  As long as the attempt is starting its operation *)
(* opens, or does so again and again, by <1>4; and then a try can end.      *)
<1>5. Spec /\ Conditions => StartsEnd
  BY <1>4, AwaitedFits, TryCanEnd, TryIsLast DEF Fairness
(* The operation of g is that of its start, which ends by <1>5 and then is  *)
(* over or that of its release, which ends by <1>3.                         *)
<1>6. Spec /\ Conditions => \A g \in Attempts : (op[g] # "none") ~> (op[g] = "none")
  BY <1>3, <1>5, AwaitedFits, StartingIsKept
(* What is due waits for a release, which ends by <1>3, and then in Idle    *)
(* until it is not due any more: WF1 with WF(BackoffSays).                  *)
<1>7. Spec /\ Conditions => (due ~> ~due)
  BY <1>3, AwaitedFits, DueIsKept, BackoffCanSay, BackoffEnds DEF Fairness
(* A wait has a phase of four, which never rises.  Phases 4 and 1 end by    *)
(* <1>3, phase 3 by <1>7, phase 2 by <1>5: each time the phase falls, or    *)
(* the call waits no more.                                                  *)
<1>8. Spec /\ Conditions => WaitsEnd
  BY <1>3, <1>5, <1>7, AwaitedFits, PhaseIsKept
(* CallStep(c) never rises until the call has returned.  At 2 the call      *)
(* waits, which ends by <1>8; elsewhere WF1 with WF(CallRuns(c)) or with    *)
(* WF(UseRuns(c)) lowers it.                                                *)
<1>9. Spec /\ Conditions => \A c \in Callers : (pc[c] # "idle") ~> (pc[c] = "idle")
  BY <1>8, UseCanEnd, CallCanRun, CallGetsOn, CallIsKept DEF Fairness
(* WF1 with WF(CallRuns(c)) alone, which PatientSpec has too, as long as    *)
(* ended[c] holds: it lowers CallStep(c), at 1 by Return.                   *)
<1>10. PatientSpec /\ Conditions => ProgressOnContextEnd
  BY LeaverCanRun, CallGetsOn, CallIsKept DEF PatientFairness
<1> QED
  BY <1>6, <1>7, <1>9, <1>10
(* (The contract's own Progress follows, too.  A call is idle there when it *)
(* is here, opening is "Starting" and closing "Stopping": <1>9, <1>5, <1>3  *)
(* and <1>7.)                                                               *)
=============================================================================
