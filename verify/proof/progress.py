"""The conditions of tla/Progress.tla, under the same names: from them G12 follows.

OF_STATE speak of a state, EVERY of any step, BY of a step of the actions that stand
beside it, with the parameter p. can(actions, p) is ENABLED: one of the branches can be
taken (MaxCalls does not exist, and none of these actions is limited by it).
"""

from z3 import And, If, Implies, Not, Or

from contract import chosen
from model import (NParts, OP, PC, ST, Result, all_attempts, all_callers, one_of, some_attempt, using)

CALL_RUNS = ("Return", "StartFast", "StartEnter", "StartLeave", "StopEnter", "ShutdownEnter", "StopLeave",
             "UseLoad", "UseAdd", "UseSlow")
USE_RUNS = ("UseEnd", "UseDrop")
OPERATION_RUNS = ("OpenPart", "OpenOk", "OpenErr", "OpenRetry", "TryAgain", "DrainEnd", "ReleaseOk", "ReleaseErr", "Finish")
TRIES_END = ("OpenOk", "OpenErr")
BACKOFF_SAYS = ("Restart", "GivesUp")


def starting_of(s, g):
    return And(s.st == ST["Starting"], s.gen == g)


def stopping_of(s, g):
    return And(s.st == ST["Stopping"], s.gen == g)


def waits(s, c):
    return one_of(s.pc(c), PC, "wait", "stopwait", "shutwait")


def awaiting(s, c):
    return And(waits(s, c), s.out(c) == Result.none)


def rank(s, g):
    return chosen(s.op(g), [(OP["open"], 2 * NParts + 3 - s.held(g)), (OP["drain"], NParts + 2),
                            (OP["release"], s.held(g) + 1)], 0)


def use_step(s, c):
    return chosen(s.pc(c), [(PC["using"], 2), (PC["drop"], 1)], 0)


def call_step(s, c):
    steps = {"wait": 2, "stopwait": 2, "shutwait": 2, "drop": 3, "using": 4, "slow": 5, "enter": 5, "stop": 5, "shut": 5,
             "add": 6, "start": 6, "use": 7}
    return If(s.pc(c) == PC["idle"], 0, If(s.out(c) != Result.none, 1,
                                           chosen(s.pc(c), [(PC[p], n) for p, n in steps.items()], 1)))


def phase(s, c):
    this, next_ = s.on(c) == s.gen, s.on(c) == s.gen + 1
    return If(And(this, s.st == ST["Stopping"]), 1, If(And(this, s.st == ST["Starting"]), 2,
              If(And(next_, s.st == ST["Idle"], s.due), 3, If(And(next_, s.st == ST["Stopping"]), 4, 5))))


# Of a state.

def UseCanEnd(s, can):
    return all_callers(lambda c: Implies(use_step(s, c) > 0, can(USE_RUNS, c)))


def OperationCanRun(s, can):
    empty = lambda g: all_callers(lambda c: Not(using(s, g, c)))
    return all_attempts(lambda g: Implies(
        And(Or(stopping_of(s, g), starting_of(s, g)), Implies(s.op(g) == OP["drain"], empty(g))), can(OPERATION_RUNS, g)))


def TryCanEnd(s, can):
    return all_attempts(lambda g: Implies(And(starting_of(s, g), s.op(g) == OP["open"]),
                                          some_attempt(lambda h: can(TRIES_END, h))))


def BackoffCanSay(s, can):
    return Implies(And(s.due, s.st == ST["Idle"]), some_attempt(lambda g: can(BACKOFF_SAYS, g)))


def CallCanRun(s, can):
    return all_callers(lambda c: Implies(And(call_step(s, c) > 0, Not(awaiting(s, c)), use_step(s, c) == 0), can(CALL_RUNS, c)))


def LeaverCanRun(s, can):
    return all_callers(lambda c: Implies(s.ended(c), can(CALL_RUNS, c)))


def AwaitedFits(s, can):
    return And(all_callers(lambda c: Implies(awaiting(s, c), phase(s, c) <= 4)),
               all_attempts(lambda g: Implies(s.op(g) != OP["none"], Or(
                   stopping_of(s, g), And(starting_of(s, g), one_of(s.op(g), OP, "open", "release"))))),
               Implies(s.due, And(one_of(s.st, ST, "Stopping", "Idle"), s.gen >= 1)))


# Of any step.

def UseIsKept(s, t):
    return all_callers(lambda c: Implies(use_step(s, c) > 0, use_step(t, c) <= use_step(s, c)))


def NobodyEnters(s, t):
    return all_attempts(lambda g: Implies(And(s.op(g) == OP["drain"], t.op(g) == OP["drain"]),
                                          all_callers(lambda c: Implies(using(t, g, c), using(s, g, c)))))


def ReleaseIsKept(s, t):
    return all_attempts(lambda g: Implies(And(stopping_of(s, g), stopping_of(t, g)), rank(t, g) <= rank(s, g)))


def ReleaseIsOver(s, t):
    return all_attempts(lambda g: Implies(And(stopping_of(s, g), Not(stopping_of(t, g))), t.op(g) == OP["none"]))


def StartingIsKept(s, t):
    return all_attempts(lambda g: Implies(starting_of(s, g), Or(starting_of(t, g), stopping_of(t, g), t.op(g) == OP["none"])))


def between(s, g):
    return And(starting_of(s, g), s.op(g) == OP["release"])


def BetweenIsKept(s, t):
    return all_attempts(lambda g: Implies(And(between(s, g), starting_of(t, g)), Or(
        t.op(g) == OP["open"], And(t.op(g) == OP["release"], t.held(g) <= s.held(g)))))


def DueIsKept(s, t):
    return Implies(And(s.due, t.due), And(t.gen == s.gen, Or(t.st == s.st, t.st == ST["Idle"])))


def PhaseIsKept(s, t):
    return all_callers(lambda c: Implies(And(awaiting(s, c), awaiting(t, c)),
                                         And(t.on(c) == s.on(c), phase(t, c) <= phase(s, c))))


def CallIsKept(s, t):
    return all_callers(lambda c: Implies(call_step(s, c) > 0, call_step(t, c) <= call_step(s, c)))


# Of a step that fairness promises.

def UseGetsOn(s, t, c):
    return use_step(t, c) < use_step(s, c)


def ReleaseGetsOn(s, t, g):
    return Implies(And(stopping_of(s, g), stopping_of(t, g)), rank(t, g) < rank(s, g))


def TryIsLast(s, t, g):
    return all_attempts(lambda h: Implies(starting_of(s, h), Not(starting_of(t, h))))


def BetweenGetsOn(s, t, g):
    return Implies(And(between(s, g), between(t, g)), t.held(g) < s.held(g))


def BackoffEnds(s, t, g):
    return Not(t.due)


def CallGetsOn(s, t, c):
    return call_step(t, c) < call_step(s, c)


def named(*functions):
    return {f.__name__: f for f in functions}


OF_STATE = named(UseCanEnd, OperationCanRun, TryCanEnd, BackoffCanSay, CallCanRun, LeaverCanRun, AwaitedFits)
EVERY = named(UseIsKept, NobodyEnters, ReleaseIsKept, ReleaseIsOver, StartingIsKept, BetweenIsKept, DueIsKept, PhaseIsKept,
              CallIsKept)
BY = {"UseGetsOn": (USE_RUNS, UseGetsOn), "ReleaseGetsOn": (OPERATION_RUNS, ReleaseGetsOn),
      "TryIsLast": (TRIES_END, TryIsLast), "BetweenGetsOn": (OPERATION_RUNS, BetweenGetsOn),
      "BackoffEnds": (BACKOFF_SAYS, BackoffEnds), "CallGetsOn": (CALL_RUNS + USE_RUNS, CallGetsOn)}
