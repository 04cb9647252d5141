----------------------------- MODULE Guarantees -----------------------------
(****************************************************************************)
(* The promises of the protocol, G1 to G13, each with its name in the Go    *)
(* documentation and the tests.  (G14 and G15 concern the texts of errors   *)
(* and the ancestry of contexts; the Go tests show them.)                   *)
(*                                                                          *)
(* A promise about a step is written [][...]_vars: unprimed is before the   *)
(* step, primed after it.  Each is stated on variables alone, never through *)
(* a named guard of Algorithm: a weakened guard would weaken it too.        *)
(****************************************************************************)
EXTENDS Algorithm

Ok     == <<"ok", 0>>
Ctx    == <<"ctx", 0>>
RelErr == <<"relerr", 0>>

AllParts == [i \in 1..NParts |-> i]

(* No attempt holds a part, and no operation runs.                          *)
NothingHeld == \A g \in Attempts : held[g] = <<>>
NothingRuns == \A g \in Attempts : op[g] = "none"

(* In this step the call of c gets its result; c goes on from place w.      *)
Answered(c)  == out[c] = None /\ out'[c] # None
Leaves(c, w) == pc[c] = w /\ pc'[c] # w

(* The step leaves d where it is, with what it has.  (Of another form than  *)
(* UNCHANGED <<pc[d], ...>> for the sake of the second checker.)            *)
Untouched(d) == pc'[d] = pc[d] /\ on'[d] = on[d] /\ out'[d] = out[d]

(* The step changes nothing but where c is in its call.                     *)
Quiet(c) == /\ UNCHANGED <<machine, supervision, attempts>>
            /\ \A d \in Callers \ {c} : Untouched(d)

(* The answer that a Stop or a Shutdown gives on entry to the Starts that   *)
(* wait for the next attempt.                                               *)
Verdict(w) == IF w = "stop" THEN <<"stopped", 0>> ELSE <<"closed", 0>>

(****************************************************************************)
(* G1.  One operation runs at a time.  A Start that comes while nothing is  *)
(* open waits for the one attempt.  That attempt opens once, or once more   *)
(* after each try that it has rolled back.  When it ends, all its waiters   *)
(* get the same answer.                                                     *)
(****************************************************************************)
SingleFlight == [][
    /\ \A g \in Attempts : op'[g] # "none" => g = gen'
    /\ st' \in {"Starting", "Stopping"} <=> ~NothingRuns'
    /\ gen' # gen => /\ gen' = gen + 1 /\ op[gen'] = "none" /\ op'[gen'] = "open"
                     /\ st \in {"Idle", "Stopping"} /\ NothingHeld'
    /\ \A g \in Attempts : op[g] # "open" /\ op'[g] = "open" =>
          gen' = g /\ (gen' # gen \/ op[g] = "release")
    /\ \A c \in Callers :
          Leaves(c, "enter") /\ st \in {"Idle", "Starting"} /\ ~closing /\ ~ended[c] =>
             pc'[c] = "wait" /\ on'[c] = (IF due THEN gen + 1 ELSE gen') /\ out'[c] = None
    /\ \A g \in Attempts : op[g] # "none" /\ op'[g] = "none" =>
          \A c, d \in Joined(g) : Answered(c) /\ out'[c] = out'[d]
    ]_vars

(****************************************************************************)
(* G2.  Start of a started lifecycle, Stop of an idle or closed one and     *)
(* Shutdown of a closed one return nil at once and change nothing.  (Only a *)
(* Stop that cancels a restart has an effect in Idle, see G8.  It runs      *)
(* nothing and returns nil at once, too.)                                   *)
(****************************************************************************)
Idempotence == [][
    \A c \in Callers :
       \/ Leaves(c, "start") /\ st = "Started"
       \/ Leaves(c, "enter") /\ st = "Started"
       \/ Leaves(c, "stop") /\ st \in {"Idle", "Closed"}
       \/ Leaves(c, "shut") /\ st = "Closed"
       => /\ out'[c] = Ok
          /\ IF due THEN UNCHANGED <<machine, attempts>> ELSE Quiet(c)
    ]_vars

(****************************************************************************)
(* G3.  A Start is answered nil only at an instant at which the resource is *)
(* open, complete and admits uses.  (Refinement.tla: the whole object is    *)
(* linearizable.)                                                           *)
(****************************************************************************)
IsOpen(g) == g # 0 /\ open[g] /\ held[g] = AllParts /\ op[g] = "none"

StartedIsOpen == [][
    /\ st' = "Started" => IsOpen(gen)'
    /\ \A g \in Attempts : open'[g] => st' = "Started" /\ g = gen'
    /\ \A c \in Callers :
          pc[c] \in {"start", "enter", "wait"} /\ Answered(c) /\ out'[c] = Ok => st' = "Started"
    ]_vars

(****************************************************************************)
(* G4.  An attempt that does not succeed releases every part it holds, last *)
(* first, each once, whatever happens, and acquires none meanwhile; a       *)
(* failed release stops nothing.  So does each try of an attempt that is    *)
(* tried again, before the next try.  No waiter is answered before that is  *)
(* done.  Then all is as if the attempt had never been, or the attempt of   *)
(* the callers that queued begins.                                          *)
(****************************************************************************)
Rollback == [][
    /\ \A g \in Attempts :
          /\ held'[g] # held[g] =>
                \/ op[g] = "open" /\ held'[g] = Append(held[g], Len(held[g]) + 1)
                \/ op[g] = "release" /\ held[g] # <<>> /\ held'[g] = SubSeq(held[g], 1, Len(held[g]) - 1)
          /\ op[g] = "open" /\ op'[g] # "open" => op'[g] = "release" \/ st' = "Started"
          /\ op[g] = "release" /\ op'[g] # "release" =>
                held[g] = <<>> /\ op'[g] = IF st = "Starting" THEN "open" ELSE "none"
          /\ op'[g] = "open" /\ op[g] # "open" => held'[g] = <<>> /\ ~relerr'[g]
          /\ \A c \in Joined(g) :
                Answered(c) /\ out'[c] \notin {Ok, Ctx} => op'[g] = "none" /\ held'[g] = <<>>
    /\ st = "Stopping" /\ st' # "Stopping" =>
          /\ NothingHeld'
          /\ st' \in IF closing THEN {"Closed"} ELSE {"Idle", "Starting"}
    ]_vars

(****************************************************************************)
(* G5.  The error of an attempt reaches only the callers that joined it     *)
(* while it was opening.  A Start that comes later, during the rollback,    *)
(* waits, and then has an attempt of its own.                               *)
(****************************************************************************)
NoStaleFailure == [][
    /\ \A c \in Callers :
          /\ Leaves(c, "enter") /\ pc'[c] = "wait" =>
                \/ st' = "Starting" /\ on'[c] = gen'
                \/ (st' = "Stopping" \/ due') /\ on'[c] = gen' + 1
          /\ pc[c] = "wait" /\ pc'[c] = "wait" => on'[c] = on[c]
          /\ Answered(c) /\ out'[c][1] = "failed" =>
                pc[c] = "wait" /\ on[c] = out'[c][2] /\ fate[on[c]] = "failed"
    /\ st' = "Starting" => fate'[gen'] = "none"
    /\ st = "Stopping" /\ st' # "Stopping" =>
          \A c \in Joined(gen + 1) : (due' \/ (st' = "Starting" /\ gen' = gen + 1)) /\ out'[c] = None
    ]_vars

(****************************************************************************)
(* G6.  A caller whose context ends leaves, and affects no other caller.    *)
(* Only a failure, a Stop, a Shutdown, or the leaving of the last waiter    *)
(* cancels an attempt.  After that no caller joins it, it does not succeed, *)
(* and it is not tried again.  (A restart goes on without waiters.)  A      *)
(* Start whose context has already ended opens nothing.                     *)
(****************************************************************************)
NoForeignCancellation == [][
    /\ \A c \in Callers :
          /\ Answered(c) /\ out'[c] = Ctx =>
                /\ ended[c]
                /\ pc[c] \in {"enter", "wait"} =>
                      \/ Quiet(c)
                      \/ /\ st = "Starting" /\ st' = "Stopping" /\ Joined(gen) = {c} /\ ~again
                         /\ \A d \in Callers \ {c} : Untouched(d)
          /\ Leaves(c, "enter") /\ ended[c] => Quiet(c) /\ pc'[c] = "done"
          /\ pc[c] # "wait" /\ pc'[c] = "wait" => (on'[c] = gen' + 1 <=> st' = "Stopping" \/ due')
    /\ st' = "Starting" => (Joined(gen) # {})' \/ again'
    /\ st = "Starting" /\ st' = "Stopping" =>
          CASE fate'[gen] = "abandoned" -> (Joined(gen) = {})' /\ ~again
            [] fate'[gen] = "stopped"   -> \E c \in Callers : Leaves(c, "stop")
            [] fate'[gen] = "closed"    -> \E c \in Callers : Leaves(c, "shut")
            [] fate'[gen] = "failed"    -> UNCHANGED callers
            [] OTHER                    -> FALSE
    /\ st = "Starting" => st' \in {"Starting", "Started", "Stopping"}
    /\ st = "Stopping" => st' # "Started"
    /\ \A g \in Attempts : op[g] = "release" /\ op'[g] = "open" => st = "Starting"
    /\ \A g \in Attempts :
          /\ fate'[g] # "none" => st' = "Stopping" /\ g = gen'
          /\ fate[g] # "none" /\ fate'[g] # fate[g] => op'[g] = "none"
    ]_vars

(****************************************************************************)
(* G7.  Idle or Closed: no part is held and nothing of the library runs.    *)
(* Started: nothing runs, and only the current attempt holds parts.         *)
(****************************************************************************)
NoLeak ==
    /\ st \in {"Idle", "Closed"} => NothingHeld /\ NothingRuns
    /\ st = "Started" => NothingRuns
    /\ due => st \in {"Stopping", "Idle"}
    /\ \A g \in Attempts \ {gen} : held[g] = <<>> /\ op[g] = "none" /\ ~open[g]

(****************************************************************************)
(* G8.  A Stop or Shutdown, its context ended or not, cancels an attempt    *)
(* that is opening, and the Starts of that attempt get the Stop as their    *)
(* answer.  So do the Starts that wait for a release to end, and those that *)
(* wait for a restart, also in Idle.  A Stop that comes during a release    *)
(* joins it.  When a Stop or Shutdown returns nil, or the error of a        *)
(* release, nothing is held.                                                *)
(****************************************************************************)
StopWins == [][
    \A c \in Callers :
       /\ \A w \in {"stop", "shut"} : Leaves(c, w) =>
             /\ st \in {"Starting", "Started", "Stopping"} =>
                   /\ st' = "Stopping" /\ out'[c] = None /\ on'[c] = gen
                   /\ pc'[c] = IF w = "stop" THEN "stopwait" ELSE "shutwait"
                   /\ st = "Starting" => fate'[gen] = Verdict(w)[1]
             /\ \A d \in Joined(gen + 1) : out'[d] = Verdict(w)
       /\ pc[c] = "wait" /\ Answered(c) =>
             LET verdict == IF fate[on[c]] \in {"stopped", "closed"} THEN {<<fate[on[c]], 0>>} ELSE {}
             IN verdict # {} => out'[c] \in verdict \cup {Ctx}
       /\ pc[c] \in {"stop", "shut", "stopwait", "shutwait"} /\ Answered(c) /\ out'[c] \in {Ok, RelErr} =>
             NothingHeld'
    ]_vars

(* The second part of G8.  A resource that died, or that failed in a        *)
(* restart, is started again: by the restart that its backoff allows, and   *)
(* by no Start before that, unless the backoff has given up.  A Stop or a   *)
(* Shutdown leaves no restart due, and none that could become due.          *)
RestartUntilStop == [][
    /\ ~due /\ due' =>
          \/ st = "Started" /\ st' = "Stopping" /\ fails' # fails
          \/ again /\ st = "Stopping" /\ fate[gen] = "failed" /\ st' = "Idle"
    /\ ~again /\ again' => due /\ ~due' /\ st = "Idle" /\ restarts' = restarts + 1
    /\ due /\ gen' # gen => st = "Idle" /\ ~due' /\ (again' \/ restarts' = 0)
    /\ due /\ ~due' =>
          \/ gen' # gen
          \/ \E c \in Callers : Leaves(c, "stop") \/ Leaves(c, "shut")
          \/ st = "Idle" /\ restarts' = 0 /\ \A c \in Callers : Untouched(c) /\ c \notin Joined(gen + 1)
    /\ again /\ ~again' => st' # "Starting" \/ gen' # gen
    /\ again /\ st = "Stopping" /\ st' = "Idle" /\ fate[gen] = "failed" => due'
    /\ \A c \in Callers : (Leaves(c, "stop") \/ Leaves(c, "shut")) => ~due' /\ ~again' /\ restarts' = 0
    /\ restarts' \in {restarts, restarts + 1, 0}
    ]_vars

(****************************************************************************)
(* G9.  The release of a running resource begins when no use is in flight,  *)
(* or when it is forced.  A Shutdown that leaves forces it, whether or not  *)
(* others wait.  So does the last stopper that leaves, and the death of the *)
(* resource.  The caller that forces gets the number of uses that it cut    *)
(* off.  A caller that leaves without forcing gets the end of its context.  *)
(* One that stays gets the outcome of the release.                          *)
(****************************************************************************)
CutsShort(c, g) ==
    /\ op[g] = "drain" /\ ~forced[g] /\ Using(g) # {}
    /\ pc[c] = "shutwait" \/ Stoppers(g) = {c}

DrainFirst == [][
    \A g \in Attempts :
       /\ op[g] # "release" /\ op'[g] = "release" =>
             op[g] = "open" \/ (op[g] = "drain" /\ (Using(g) = {} \/ forced[g]))
       /\ open[g] /\ ~open'[g] => op'[g] = "drain"
       /\ ~forced[g] /\ forced'[g] =>
             \/ st = "Started" /\ fails' # fails
             \/ \E c \in Stoppers(g) : Answered(c) /\ CutsShort(c, g)
       /\ forced[g] /\ ~forced'[g] => op'[g] = "none"
       /\ forced'[g] # forced[g] => op[g] # "release" \/ op'[g] = "none"
       /\ \A c \in Stoppers(g) : Answered(c) =>
             IF op'[g] = "none"
             THEN out'[c] = IF relerr[g] THEN RelErr ELSE Ok
             ELSE /\ ended[c]
                  /\ IF CutsShort(c, g)
                     THEN forced'[g] /\ out'[c] = <<"cut", Cardinality(Using(g))>>
                     ELSE forced'[g] = forced[g] /\ out'[c] = Ctx
    ]_vars

(****************************************************************************)
(* G10.  A use is admitted only while Started.  Then the resource stays     *)
(* whole until the use ends, unless the release was forced.  The answer of  *)
(* a refused use says whether the lifecycle is closed.                      *)
(****************************************************************************)
UseOnlyStarted == [][
    /\ \A c \in Callers :
          /\ pc[c] # "using" /\ pc'[c] = "using" => st = "Started" /\ on'[c] = gen
          /\ pc[c] \in {"use", "add", "slow"} /\ Answered(c) =>
                st # "Started" /\ out'[c] = IF closing THEN <<"closed", 0>> ELSE <<"notstarted", 0>>
          /\ pc[c] = "using" /\ pc'[c] = "drop" => ~open[on[c]]
    /\ \A g \in Attempts :
          /\ inuse'[g] = Cardinality(Using(g))'
          /\ op[g] # "open" /\ held'[g] # held[g] => Using(g) = {} \/ forced[g]
    ]_vars

(****************************************************************************)
(* G11.  Once Shutdown has been called no attempt begins, ever, and every   *)
(* Start is refused; when one has returned nil, nothing is open.            *)
(****************************************************************************)
CloseIsFinal == [][
    /\ closing => closing' /\ gen' = gen
    /\ closing' => st' \in {"Stopping", "Closed"} /\ ~due'
    /\ st = "Closed" => UNCHANGED <<st, closing, op, held, open>>
    /\ \A c \in Callers :
          /\ Leaves(c, "enter") /\ closing => out'[c] = <<"closed", 0>>
          /\ Leaves(c, "shut") => closing'
          /\ pc[c] \in {"shut", "shutwait"} /\ Answered(c) /\ out'[c] = Ok => st' = "Closed" /\ NothingHeld'
    ]_vars

(****************************************************************************)
(* G12.  Every call returns, every attempt and release ends, and a restart  *)
(* that is due begins or is given up, if hooks return, uses end and         *)
(* backoffs answer.  Nothing else is assumed: no context need end, no       *)
(* timeout fire, and no further call be made.                               *)
(****************************************************************************)
Progress ==
    /\ \A c \in Callers : (pc[c] # "idle") ~> (pc[c] = "idle")
    /\ \A g \in Attempts : (op[g] # "none") ~> (op[g] = "none")
    /\ due ~> ~due

(* The second part of G12, under PatientFairness, where hooks may hang and  *)
(* uses may never end: a Start, Stop or Shutdown whose context has ended    *)
(* returns.                                                                 *)
ProgressOnContextEnd == \A c \in Callers : ended[c] ~> ~ended[c]

(* In each state, if no wake-up is ever lost: a waiting caller waits for an *)
(* operation that runs, or for the attempt that follows.                    *)
ProgressAwaited ==
    \A c \in Callers : pc[c] \in Waits /\ out[c] = None =>
       \/ on[c] = gen /\ op[gen] # "none"
       \/ pc[c] = "wait" /\ on[c] = gen + 1 /\ (st = "Stopping" \/ due)

PatientFairness == \A c \in Callers : WF_vars(CallRuns(c))

PatientSpec == Init /\ [][Next]_vars /\ PatientFairness

(****************************************************************************)
(* G13.  A failure report of an old attempt changes nothing.  The end of an *)
(* old use changes only that attempt's own count; nothing else of an old    *)
(* attempt ever changes.  A report before open has returned fails the       *)
(* attempt, or the try if there may be another: it does not open then,      *)
(* whatever open returns.  A report of a try that is being rolled back      *)
(* changes nothing.                                                         *)
(****************************************************************************)
OwnGeneration == [][
    /\ \A g \in 1..gen :
          /\ Fail(g) /\ (g # gen \/ st \notin {"Starting", "Started"} \/ op[g] = "release") =>
                UNCHANGED <<machine, supervision, attempts, callers, calls>>
          /\ Fail(g) /\ g = gen /\ st = "Starting" /\ op[g] = "open" =>
                IF Retries
                THEN reported'[g] /\ UNCHANGED <<machine, supervision, callers>>
                ELSE st' = "Stopping" /\ fate'[g] = "failed"
          /\ Fail(g) /\ g = gen /\ st = "Started" => st' = "Stopping" /\ forced'[g]
    /\ \A g \in Attempts :
          /\ reported[g] /\ op'[g] # op[g] => op'[g] = "release"
          /\ reported'[g] => op'[g] = "open" /\ Retries
          /\ reported[g] /\ ~reported'[g] => op'[g] = "release"
    /\ \A g \in Attempts : g # gen /\ g # gen' =>
          /\ op'[g] = op[g] /\ held'[g] = held[g] /\ fate'[g] = fate[g]
          /\ open'[g] = open[g] /\ forced'[g] = forced[g] /\ relerr'[g] = relerr[g]
          /\ reported'[g] = reported[g]
    /\ \A g \in 1..gen : g # gen => inuse'[g] <= inuse[g]
    /\ \A c \in Callers : pc[c] \in {"using", "drop"} /\ on[c] # gen =>
          /\ \A g \in Attempts \ {on[c]} : UseEnd(c) \/ UseDrop(c) => inuse'[g] = inuse[g]
          /\ UseEnd(c) \/ UseDrop(c) => Quiet(c) \/ inuse'[on[c]] = inuse[on[c]] - 1
    ]_vars
=============================================================================
