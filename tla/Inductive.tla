------------------------------ MODULE Inductive ------------------------------
(****************************************************************************)
(* The reason why the guarantees hold for any number of calls: an invariant *)
(* that every step keeps, and that together with any one step implies them. *)
(* Nothing in it depends on how a state was reached.  So TLC checks it from *)
(* ALL states that satisfy it (Inductive.cfg), and Z3 proves it for any     *)
(* number of callers, parts, attempts and calls (verify/proof).  Each       *)
(* conjunct constrains one variable by those above it, with its reason in a *)
(* line.  Without any one of them, except two, there is a counterexample    *)
(* (./check proof deep shows it).                                           *)
(****************************************************************************)
EXTENDS Refinement, TLC, Randomization

(* Closing is said once, and only a release or the end can follow.          *)
FinalFits == /\ closing => st \in {"Stopping", "Closed"}
             /\ st = "Closed" => closing

(* Whatever is under way is under way for an attempt.                       *)
GenFits == st \in {"Starting", "Started", "Stopping"} => gen >= 1

(* One operation, the current attempt's, just while the state says so.      *)
OneOperation ==
    \A g \in Attempts :
       op[g] \in CASE g # gen        -> {"none"}
                   [] st = "Starting" -> {"open", "release"}
                   [] st = "Stopping" -> {"open", "drain", "release"}
                   [] OTHER           -> {"none"}

(* Only the current attempt holds parts; a running resource all of them.    *)
HeldFits ==
    \A g \in Attempts :
       /\ g # gen \/ st \in {"Idle", "Closed"} => held[g] = <<>>
       /\ g = gen /\ (st = "Started" \/ op[g] = "drain") => held[g] = AllParts

(* What is due waits for a release to end, or for its backoff; and then     *)
(* nothing has closed, and no restart is under way.                         *)
DueFits ==
    due => /\ st \in {"Stopping", "Idle"} /\ gen >= 1
           /\ ~closing /\ ~again /\ MaxRestarts > 0

(* A restart is under way until it has opened or was called off: it can be  *)
(* undone only because it has failed.                                       *)
AgainFits ==
    again => /\ st \in {"Starting", "Stopping"} /\ ~closing /\ MaxRestarts > 0
             /\ st = "Stopping" => fate[gen] = "failed"

(* Restarts are counted from the first until what they have opened is       *)
(* stopped, or their backoff gives up.                                      *)
RestartsFit == restarts # 0 => due \/ again \/ st = "Started"

(* A failure that was reported waits for open to return.                    *)
ReportedFits == \A g \in Attempts : reported[g] => g = gen /\ op[g] = "open" /\ Retries

(* An attempt has a fate while it is rolled back: from its cancellation or  *)
(* failure on, and never one that has been open.                            *)
FateFits ==
    \A g \in Attempts :
       /\ fate[g] # "none" => g = gen /\ st = "Stopping" /\ op[g] \in {"open", "release"}
       /\ st = "Stopping" /\ op[g] = "open" => fate[g] # "none"

(* The gate admits while Started.                                           *)
GateFits == \A g \in Attempts : open[g] <=> g = gen /\ st = "Started"

(* Acquire tries the gate of what is, or was until this release, open.      *)
CurFits == cur = IF st = "Started" \/ (st = "Stopping" /\ fate[gen] = "none") THEN gen ELSE 0

(* Only what has been open can be drained, so only that can be forced.      *)
ForcedFits ==
    \A g \in Attempts :
       forced[g] => g = gen /\ st = "Stopping" /\ op[g] \in {"drain", "release"} /\ fate[g] = "none"

(* A release that failed belongs to the release that is under way.          *)
(* (Nothing rests on this one, nor on ReportedFits: they keep states few.)  *)
RelErrFits == \A g \in Attempts : relerr[g] => g = gen /\ op[g] = "release"

(* An attempt that a caller waits for or uses has begun; a Start may wait   *)
(* for the next one.                                                        *)
PlaceFits ==
    \A c \in Callers :
       on[c] \in CASE pc[c] = "wait" -> 1..gen + 1
                   [] pc[c] \in {"stopwait", "shutwait", "add", "using", "drop"} -> 1..gen
                   [] OTHER -> {0}

(* The gate's count is the number of uses that it has admitted.             *)
Counted == \A g \in Attempts : inuse[g] = Cardinality(Using(g))

(* Nobody uses an attempt that has not been open.                           *)
UsesFit == \A g \in Attempts : Using(g) # {} => fate[g] = "none" /\ op[g] # "open"

(* An unforced release has waited for the uses.                             *)
DrainedFits == \A g \in Attempts : op[g] = "release" /\ ~forced[g] => Using(g) = {}

(* A call has a result when it is over, or when its wait has been answered. *)
(* A Start that waited has the answer of the attempt that it waited for.    *)
ResultFits ==
    \A c \in Callers :
       out[c] \in CASE pc[c] = "done" -> {Ok, Ctx, <<"closed", 0>>, <<"notstarted", 0>>}
                                           \cup ({"cut"} \X (1..Cardinality(Callers)))
                    [] pc[c] = "wait" -> {None, Ok, <<"stopped", 0>>, <<"closed", 0>>, <<"failed", on[c]>>}
                    [] pc[c] \in {"stopwait", "shutwait"} -> {None, Ok, RelErr}
                    [] OTHER -> {None}

(* A Start waits for the attempt under way, or for the one after the        *)
(* release under way, or for the restart that is due: then nothing has      *)
(* closed.                                                                  *)
StartsAwait ==
    \A c \in Callers :
       pc[c] = "wait" /\ out[c] = None =>
          \/ on[c] = gen /\ st \in {"Starting", "Stopping"}
          \/ on[c] = gen + 1 /\ (st = "Stopping" \/ due) /\ ~closing

(* If a caller still waits for an attempt that is rolled back, there is a   *)
(* reason for its answer.                                                   *)
JoinersTold ==
    \A g \in Attempts :
       g = gen /\ st = "Stopping" /\ Joined(g) # {} => fate[g] \in {"failed", "stopped", "closed"}

(* A Stop or Shutdown waits for the release under way.                      *)
StopsAwait ==
    \A c \in Callers :
       pc[c] \in {"stopwait", "shutwait"} /\ out[c] = None => on[c] = gen /\ st = "Stopping"

(* A Shutdown has closed before it waits.                                   *)
ShutdownsClose == \A c \in Callers : pc[c] = "shutwait" /\ out[c] = None => closing

(* An attempt that is opening and not cancelled has a waiter, or is a       *)
(* restart.                                                                 *)
Wanted == st = "Starting" => Joined(gen) # {} \/ again

(* A context ends during a call.  A use's context does not matter here.     *)
(* (Only Progress rests on this: a caller whose context has ended can       *)
(* leave.)                                                                  *)
EndedFits ==
    \A c \in Callers : ended[c] => pc[c] \in {"start", "enter", "stop", "shut", "done"} \cup Waits

(* Only for the model's bound: each attempt took a Start or was a restart   *)
(* after a failure, and those that can still begin one are calls, or        *)
(* restarts, too.  (Without a bound nothing follows from this, and Z3 does  *)
(* not get it.)                                                             *)
MayYetBegin  == {c \in Callers : pc[c] \in {"start", "enter"}} \cup Joined(gen + 1)
RestartsLeft == IF due \/ again THEN MaxRestarts - restarts ELSE 0
CallsFit     == gen + Cardinality(MayYetBegin) + RestartsLeft <= calls + fails * MaxRestarts

Inv ==
    /\ TypeOK
    /\ FinalFits /\ GenFits
    /\ OneOperation /\ HeldFits /\ DueFits /\ AgainFits /\ RestartsFit /\ ReportedFits /\ FateFits /\ GateFits /\ CurFits /\ ForcedFits /\ RelErrFits
    /\ PlaceFits /\ Counted /\ UsesFit /\ DrainedFits
    /\ ResultFits /\ StartsAwait /\ JoinersTold /\ StopsAwait /\ ShutdownsClose /\ Wanted
    /\ EndedFits /\ CallsFit

-----------------------------------------------------------------------------
(* All states of Inv: each variable from its set in TypeOK, each conjunct   *)
(* as soon as TLC knows the variables in it.  (The sets are TypeOK's word   *)
(* for word, except that "out" is a function caller by caller: TLC checks   *)
(* that every state found satisfies Inv, TypeOK included.)                  *)
PartLists == {SubSeq(AllParts, 1, n) : n \in 0..NParts}
Results   == {None, Ok, Ctx, <<"stopped", 0>>, <<"closed", 0>>, <<"notstarted", 0>>, RelErr}
                \cup ({"failed"} \X Attempts)
                \cup ({"cut"} \X (1..Cardinality(Callers)))
Places    == {"idle", "start", "enter", "stop", "shut", "use", "add", "slow", "using", "drop", "done"} \cup Waits

AnyInv ==
    /\ st \in States
    /\ closing \in BOOLEAN
    /\ FinalFits
    /\ gen \in 0..MaxGen
    /\ GenFits
    /\ again \in BOOLEAN
    /\ due \in BOOLEAN
    /\ DueFits
    /\ restarts \in 0..MaxRestarts
    /\ RestartsFit
    /\ op \in [Attempts -> {"none", "open", "drain", "release"}]
    /\ OneOperation
    /\ held \in [Attempts -> PartLists]
    /\ HeldFits
    /\ reported \in [Attempts -> BOOLEAN]
    /\ ReportedFits
    /\ fate \in [Attempts -> {"none", "failed", "abandoned", "stopped", "closed"}]
    /\ FateFits
    /\ AgainFits
    /\ open \in [Attempts -> BOOLEAN]
    /\ GateFits
    /\ cur \in 0..MaxGen
    /\ CurFits
    /\ forced \in [Attempts -> BOOLEAN]
    /\ ForcedFits
    /\ relerr \in [Attempts -> BOOLEAN]
    /\ RelErrFits
    /\ pc \in [Callers -> Places]
    /\ on \in [Callers -> 0..MaxGen]
    /\ PlaceFits
    /\ UsesFit
    /\ DrainedFits
    /\ inuse \in [Attempts -> 0..Cardinality(Callers)]
    /\ Counted
    /\ out \in [Callers -> Results]
    /\ ResultFits
    /\ StartsAwait
    /\ JoinersTold
    /\ StopsAwait
    /\ ShutdownsClose
    /\ Wanted
    /\ calls \in 0..MaxCalls
    /\ fails \in 0..MaxFails
    /\ CallsFit
    /\ ended \in [Callers -> BOOLEAN]
    /\ EndedFits

(* (The callers are alike.)                                                 *)
Alike == Permutations(Callers)

(* What stands in for a conjunct that is left out.                          *)
Nothing == TRUE

-----------------------------------------------------------------------------
(* Above the smallest bound there are too many: samples.  All that a state  *)
(* can say without its callers, and Samples draws of callers for each.      *)
CONSTANT Samples

Now(g, yes, no) == [h \in Attempts |-> IF h = g THEN yes ELSE no]

Views == [pc : Places, on : 0..MaxGen, out : Results, ended : BOOLEAN]

(* (A place's own attempt and results, so that most draws fit.)             *)
Likely == {v \in Views :
    /\ CASE v.pc = "wait" -> v.on >= 1
         [] v.pc \in {"stopwait", "shutwait", "add", "using", "drop"} -> v.on >= 1
         [] OTHER -> v.on = 0
    /\ v.pc = "done" => v.out # None
    /\ v.out # None => v.pc = "done" \/ v.pc \in Waits
    /\ v.ended => v.pc \in {"start", "enter", "stop", "shut", "done"} \cup Waits}

SomeInv ==
    /\ st \in States
    /\ closing \in BOOLEAN
    /\ FinalFits
    /\ gen \in 0..MaxGen
    /\ GenFits
    /\ again \in BOOLEAN
    /\ due \in BOOLEAN
    /\ DueFits
    /\ restarts \in 0..MaxRestarts
    /\ RestartsFit
    /\ \E o \in {"none", "open", "drain", "release"} : op = Now(gen, o, "none")
    /\ OneOperation
    /\ \E h \in PartLists : held = Now(gen, h, <<>>)
    /\ HeldFits
    /\ \E b \in BOOLEAN : reported = Now(gen, b, FALSE)
    /\ ReportedFits
    /\ \E f \in {"none", "failed", "abandoned", "stopped", "closed"} : fate = Now(gen, f, "none")
    /\ FateFits
    /\ AgainFits
    /\ open = Now(gen, st = "Started", FALSE)
    /\ cur \in {0, gen}
    /\ CurFits
    /\ \E b \in BOOLEAN : forced = Now(gen, b, FALSE)
    /\ ForcedFits
    /\ \E b \in BOOLEAN : relerr = Now(gen, b, FALSE)
    /\ RelErrFits
    /\ \E v \in RandomSubset(Samples, [Callers -> {l \in Likely : l.on <= gen + 1}]) :
          /\ pc    = [c \in Callers |-> v[c].pc]
          /\ on    = [c \in Callers |-> v[c].on]
          /\ out   = [c \in Callers |-> v[c].out]
          /\ ended = [c \in Callers |-> v[c].ended]
    /\ inuse = [g \in Attempts |-> Cardinality(Using(g))]
    /\ calls \in 0..MaxCalls
    /\ fails \in 0..MaxFails
    /\ Inv

OneStep == TLCGet("level") < 2
=============================================================================
