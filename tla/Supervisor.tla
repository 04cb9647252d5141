----------------------------- MODULE Supervisor -----------------------------
(****************************************************************************)
(* A resource that died is started again (fsm.WithRestart).  Whoever does   *)
(* that is a caller like any other: its calls are Starts, and what it may   *)
(* do to a lifecycle is what any caller may.  So Algorithm knows nothing of *)
(* it, and every guarantee of safety holds with it because each step here   *)
(* is a step of Algorithm, or none (TakesAlgorithmsSteps).                  *)
(*                                                                          *)
(* What is new is when it calls, and that a Stop or a Shutdown calls it     *)
(* off, in the critical section in which that takes effect.  (The code      *)
(* takes Restart and its Start's first two steps in one section, and so     *)
(* needs no context to be called off by; here others may come between.)     *)
(****************************************************************************)
EXTENDS Guarantees

CONSTANT Supervisor     \* one of the Callers

ASSUME Supervisor \in Callers

VARIABLES
    due,    \* a restart is to be made: there is a timer, or soon will be
    start   \* the supervisor's Start: "none"; "wanted"; "off": called off

supervision == <<due, start>>

s      == Supervisor
Others == Callers \ {Supervisor}

SupervisorInit == Init /\ due = FALSE /\ start = "none"

SupervisorTypeOK == due \in BOOLEAN /\ start \in {"none", "wanted", "off"}

-----------------------------------------------------------------------------
(* The guards that it rests on.  Each has a name, so that a weakened model  *)
(* can replace one of them.                                                 *)

Forgets     == FALSE                    \* a Stop leaves no restart due
CalledOff   == "off"                    \* a Stop calls off the Start that is under way
MayGoOn     == start = "off" => ended[s]  \* whose context ends with that

-----------------------------------------------------------------------------
(* What anybody else does.                                                  *)

Steps(c) ==
    \/ InvokeStart(c) \/ InvokeUse(c) \/ InvokeStop(c) \/ InvokeShutdown(c)
    \/ ContextEnds(c) \/ Return(c)
    \/ StartFast(c) \/ StartEnter(c) \/ StartLeave(c) \/ StopLeave(c)
    \/ UseLoad(c) \/ UseAdd(c) \/ UseSlow(c) \/ UseEnd(c) \/ UseDrop(c)

Operation(g) ==
    \/ OpenPart(g) \/ OpenErr(g) \/ OpenRetry(g) \/ TryAgain(g) \/ Timeout(g)
    \/ DrainEnd(g) \/ ReleaseOk(g) \/ ReleaseErr(g) \/ Finish(g)

(* A Stop or a Shutdown takes effect, whatever there is to stop.            *)
StopCallsOff(c) ==
    /\ StopEnter(c) \/ ShutdownEnter(c)
    /\ due'   = (due /\ Forgets)
    /\ start' = IF start = "wanted" THEN CalledOff ELSE start

(* The running resource dies.                                               *)
Dies(g) ==
    /\ Fail(g)
    /\ due' = (due \/ (st = "Started" /\ st' = "Stopping"))
    /\ UNCHANGED start

(* It is open: whoever opened it, nothing is due any more.                  *)
Opens(g) ==
    /\ OpenOk(g)
    /\ due' = (due /\ st' # "Started")
    /\ UNCHANGED start

(* What the supervisor does.  Its backoff says when to call Start, or that  *)
(* it has been often enough.                                                *)
Restart ==
    /\ due /\ start = "none"
    /\ InvokeStart(s)
    /\ due' = FALSE /\ start' = "wanted"

GivesUp ==
    /\ due /\ start = "none"
    /\ due' = FALSE
    /\ UNCHANGED <<vars, start>>

(* Its Start goes on as any does; if it was called off, not without seeing  *)
(* that its context has ended.                                              *)
Goes ==
    /\ MayGoOn
    /\ StartFast(s) \/ StartEnter(s) \/ StartLeave(s)
    /\ UNCHANGED supervision

ContextIsEnded ==
    /\ start = "off"
    /\ ContextEnds(s)
    /\ UNCHANGED supervision

(* An attempt that failed is made again, unless somebody else has made one  *)
(* meanwhile that runs; what was called off is not.                         *)
Returns ==
    /\ Return(s)
    /\ due' = (due \/ (start = "wanted" /\ out[s][1] = "failed" /\ st # "Started"))
    /\ start' = "none"

SupervisorNext ==
    \/ \E c \in Others : Steps(c) /\ UNCHANGED supervision
    \/ \E c \in Others : StopCallsOff(c)
    \/ \E g \in Attempts : Operation(g) /\ UNCHANGED supervision
    \/ \E g \in Attempts : Dies(g) \/ Opens(g)
    \/ Restart \/ GivesUp \/ Goes \/ ContextIsEnded \/ Returns
    \/ Terminating /\ UNCHANGED supervision

SupervisorVars == <<vars, supervision>>

(* Its timer fires, unless its backoff gives up; its goroutine runs.        *)
SupervisorFairness ==
    /\ \A c \in Others : WF_SupervisorVars(CallRuns(c) /\ SupervisorNext) /\ WF_SupervisorVars(UseRuns(c) /\ SupervisorNext)
    /\ \A g \in Attempts : WF_SupervisorVars(OperationRuns(g) /\ SupervisorNext)
    /\ SF_SupervisorVars(TriesEnd /\ SupervisorNext)
    /\ WF_SupervisorVars(Restart \/ GivesUp)
    /\ WF_SupervisorVars(Goes \/ ContextIsEnded)
    /\ WF_SupervisorVars(Returns)

SupervisorSpec == SupervisorInit /\ [][SupervisorNext]_SupervisorVars /\ SupervisorFairness

-----------------------------------------------------------------------------
TakesAlgorithmsSteps == [][Next]_vars

(* A restart is due only after a death, or a restart that failed; it begins *)
(* an attempt only while nobody has stopped the lifecycle since: a Stop or  *)
(* Shutdown that takes effect leaves nothing due and nothing that could     *)
(* still begin one.                                                         *)
RestartUntilStop == [][
    /\ ~due /\ due' => \/ st = "Started" /\ st' = "Stopping" /\ fails' # fails
                       \/ start = "wanted" /\ out[s][1] = "failed"
    /\ pc[s] = "idle" /\ pc'[s] # "idle" => due
    /\ pc'[s] = "wait" /\ pc[s] # "wait" => start = "wanted"
    /\ \A c \in Others : (Leaves(c, "stop") \/ Leaves(c, "shut")) => ~due' /\ start' # "wanted"
    ]_SupervisorVars

(* While nothing of it runs there is a timer at most, and once it is open   *)
(* or closed not even that.                                                 *)
OnlyATimer ==
    /\ start = "none" => pc[s] = "idle"
    /\ due => st \notin {"Started", "Closed"}

(* It comes to rest: the resource runs, or somebody stopped it, or its      *)
(* backoff has given up.                                                    *)
RestartEnds == due ~> ~due
=============================================================================
