"""The inductive invariant of tla/Inductive.tla, conjunct by conjunct, under the same names.

CallsFit is not here: it speaks of MaxCalls, and there is no bound. TypeOK is
what of it the sorts do not say already.
"""

from z3 import And, If, Implies, Not, Or

from model import (FATE, MaxRestarts, NParts, OP, PC, ST, Result, Retries, all_attempts, all_callers, joined, one_of,
                   some_caller, using)


def TypeOK(s):
    return And(
        s.gen >= 0, s.cur >= 0, s.calls >= 0, s.fails >= 0, s.restarts >= 0, s.restarts <= MaxRestarts,
        all_attempts(lambda g: And(s.held(g) >= 0, s.held(g) <= NParts, s.inuse(g) >= 0)),
        all_callers(lambda c: And(
            s.on(c) >= 0, s.out(c) != Result.abandoned,
            Implies(Result.is_failed(s.out(c)), Result.attempt(s.out(c)) >= 1),
            Implies(Result.is_cut(s.out(c)), Result.uses(s.out(c)) >= 1))))


def FinalFits(s):
    return And(Implies(s.closing, one_of(s.st, ST, "Stopping", "Closed")),
               Implies(s.st == ST["Closed"], s.closing))


def GenFits(s):
    return Implies(one_of(s.st, ST, "Starting", "Started", "Stopping"), s.gen >= 1)


def OneOperation(s):
    return all_attempts(lambda g: If(
        g != s.gen, s.op(g) == OP["none"],
        If(s.st == ST["Starting"], one_of(s.op(g), OP, "open", "release"),
           If(s.st == ST["Stopping"], s.op(g) != OP["none"], s.op(g) == OP["none"]))))


def HeldFits(s):
    return all_attempts(lambda g: And(
        Implies(Or(g != s.gen, one_of(s.st, ST, "Idle", "Closed")), s.held(g) == 0),
        Implies(And(g == s.gen, Or(s.st == ST["Started"], s.op(g) == OP["drain"])), s.held(g) == NParts)))


def DueFits(s):
    return Implies(s.due, And(one_of(s.st, ST, "Stopping", "Idle"), s.gen >= 1,
                              Not(s.closing), Not(s.again), MaxRestarts > 0))


def AgainFits(s):
    return Implies(s.again, And(one_of(s.st, ST, "Starting", "Stopping"), Not(s.closing), MaxRestarts > 0,
                                Implies(s.st == ST["Stopping"], s.fate(s.gen) == FATE["failed"])))


def RestartsFit(s):
    return Implies(s.restarts != 0, Or(s.due, s.again, s.st == ST["Started"]))


def ReportedFits(s):
    return all_attempts(lambda g: Implies(s.reported(g), And(g == s.gen, s.op(g) == OP["open"], Retries)))


def FateFits(s):
    return all_attempts(lambda g: And(
        Implies(s.fate(g) != FATE["none"],
                And(g == s.gen, s.st == ST["Stopping"], one_of(s.op(g), OP, "open", "release"))),
        Implies(And(s.st == ST["Stopping"], s.op(g) == OP["open"]), s.fate(g) != FATE["none"])))


def GateFits(s):
    return all_attempts(lambda g: s.open(g) == And(g == s.gen, s.st == ST["Started"]))


def CurFits(s):
    opened = Or(s.st == ST["Started"], And(s.st == ST["Stopping"], s.fate(s.gen) == FATE["none"]))
    return s.cur == If(opened, s.gen, 0)


def ForcedFits(s):
    return all_attempts(lambda g: Implies(
        s.forced(g), And(g == s.gen, s.st == ST["Stopping"], one_of(s.op(g), OP, "drain", "release"), s.fate(g) == FATE["none"])))


def RelErrFits(s):
    return all_attempts(lambda g: Implies(s.relerr(g), And(g == s.gen, s.op(g) == OP["release"])))


def PlaceFits(s):
    has = lambda c: one_of(s.pc(c), PC, "stopwait", "shutwait", "add", "using", "drop")
    return all_callers(lambda c: If(
        s.pc(c) == PC["wait"], And(1 <= s.on(c), s.on(c) <= s.gen + 1),
        If(has(c), And(1 <= s.on(c), s.on(c) <= s.gen), s.on(c) == 0)))


def Counted(s):
    return all_attempts(lambda g: s.inuse(g) == s.card(g))


def UsesFit(s):
    return all_attempts(lambda g: Implies(
        some_caller(lambda c: using(s, g, c)), And(s.fate(g) == FATE["none"], s.op(g) != OP["open"])))


def DrainedFits(s):
    return all_attempts(lambda g: Implies(
        And(s.op(g) == OP["release"], Not(s.forced(g))), all_callers(lambda c: Not(using(s, g, c)))))


def ResultFits(s):
    R = Result

    def fits(c):
        out = s.out(c)
        return If(s.pc(c) == PC["done"],
                  Or(out == R.ok, out == R.context, out == R.closed, out == R.notstarted, R.is_cut(out)),
                  If(s.pc(c) == PC["wait"],
                     Or(out == R.none, out == R.ok, out == R.stopped, out == R.closed, out == R.failed(s.on(c))),
                     If(one_of(s.pc(c), PC, "stopwait", "shutwait"),
                        Or(out == R.none, out == R.ok, out == R.relerr), out == R.none)))

    return all_callers(fits)


def StartsAwait(s):
    return all_callers(lambda c: Implies(
        And(s.pc(c) == PC["wait"], s.out(c) == Result.none),
        Or(And(s.on(c) == s.gen, one_of(s.st, ST, "Starting", "Stopping")),
           And(s.on(c) == s.gen + 1, Or(s.st == ST["Stopping"], s.due), Not(s.closing)))))


def JoinersTold(s):
    return all_attempts(lambda g: Implies(
        And(g == s.gen, s.st == ST["Stopping"], some_caller(lambda c: joined(s, g, c))),
        one_of(s.fate(g), FATE, "failed", "stopped", "closed")))


def StopsAwait(s):
    return all_callers(lambda c: Implies(
        And(one_of(s.pc(c), PC, "stopwait", "shutwait"), s.out(c) == Result.none),
        And(s.on(c) == s.gen, s.st == ST["Stopping"])))


def ShutdownsClose(s):
    return all_callers(lambda c: Implies(And(s.pc(c) == PC["shutwait"], s.out(c) == Result.none), s.closing))


def Wanted(s):
    return Implies(s.st == ST["Starting"], Or(some_caller(lambda c: joined(s, s.gen, c)), s.again))


def EndedFits(s):
    return all_callers(lambda c: Implies(
        s.ended(c), one_of(s.pc(c), PC, "start", "enter", "stop", "shut", "done", "wait", "stopwait", "shutwait")))


CONJUNCTS = {f.__name__: f for f in (
    TypeOK, FinalFits, GenFits, OneOperation, HeldFits, DueFits, AgainFits, RestartsFit, ReportedFits, FateFits, GateFits, CurFits, ForcedFits,
    RelErrFits, PlaceFits, Counted, UsesFit, DrainedFits, ResultFits, StartsAwait, JoinersTold,
    StopsAwait, ShutdownsClose, Wanted, EndedFits)}
