"""The contract, tla/Abstract.tla, and how a state of the algorithm looks through tla/Refinement.tla.

Seen is the mapping. ACTIONS are the contract's actions as relations of two states that
are seen, each a list of named conjuncts. BRANCHES says of each branch of the algorithm
which of these steps it is: Z3 proves that, conjunct by conjunct (queries.py).

Where the TLA+ says that there is a set S of Starts, the two states determine it: it has
those that were "start" and are not any more. Cardinality(At("using")) is `users`.
"""

from z3 import And, BoolVal, If, Implies, Int, Not, Or

from model import FATE, OP, PC, ST, MaxRestarts, Result, all_attempts, all_callers, enum, some_caller, using

Res, RES = enum("Res", ["empty", "opening", "open", "closing"], "_res")
Call, CALL = enum("Call", ["idle", "start", "join", "stop", "stopwait", "shut", "shutwait", "use", "using", "cut", "done"], "_call")

USERS = Int("users")  # of the state before a step


def chosen(term, values, otherwise):
    """CASE term: the value of the first entry whose key equals term."""
    for is_, value in reversed(values):
        otherwise = If(term == is_, value, otherwise)
    return otherwise


class Seen:
    """The part of the state s that callers see."""

    def __init__(self, s):
        self.s = s
        self.res = chosen(s.st, [(ST["Starting"], RES["opening"]), (ST["Started"], RES["open"]),
                                 (ST["Stopping"], RES["closing"])], RES["empty"])
        self.why = If(s.gen == 0, FATE["none"], s.fate(s.gen))
        self.final, self.due, self.again = s.closing, s.due, s.again
        self.ended = s.ended

    def holds_open(self, g):
        return Or(self.s.open(g), And(self.s.op(g) == OP["drain"], Not(self.s.forced(g))))

    def call(self, c):
        s = self.s
        use, admitted = CALL["use"], If(self.holds_open(s.on(c)), CALL["using"], CALL["cut"])
        places = [(PC[name], CALL[name]) for name in ("idle", "start", "stop", "stopwait", "shut", "shutwait", "use")]
        places += [(PC["enter"], CALL["start"]), (PC["wait"], If(s.on(c) == s.gen, CALL["join"], CALL["start"])),
                   (PC["add"], use), (PC["slow"], use), (PC["using"], admitted), (PC["drop"], admitted)]
        return If(s.out(c) != Result.none, CALL["done"], chosen(s.pc(c), places, CALL["done"]))

    def out(self, c):
        return If(Result.is_failed(self.s.out(c)), Result.failed(0), self.s.out(c))

    def at(self, c, *places):
        return Or([self.call(c) == CALL[p] for p in places])

    def stopping(self, c):
        return self.at(c, "stopwait", "shutwait")

    def only(self, who, c):
        """{d : who(d)} = {c}"""
        return all_callers(lambda d: who(d) == (d == c))


def users_fit(a):
    """What follows for USERS, the cardinality of At("using"), as card(g) is that of Using(g):
    it is zero of the empty set alone, and equal sets have one cardinality."""
    return And(USERS >= 0, (USERS == 0) == Not(some_caller(lambda c: a.at(c, "using"))),
               all_attempts(lambda g: Implies(all_callers(lambda c: a.at(c, "using") == using(a.s, g, c)),
                                              USERS == a.s.card(g))))


SCALARS, OF_CALLER = ("res", "why", "final", "due", "again"), ("call", "ended", "out")


def step(a, b, guard, **assigned):
    """Where the guard holds the step assigns these, and leaves the others unchanged."""
    value = lambda name: assigned.get(name, getattr(a, name))
    return [("guard", guard)] + [(n, getattr(b, n) == value(n)) for n in SCALARS] + \
        [(n, all_callers(lambda c, n=n: getattr(b, n)(c) == value(n)(c))) for n in OF_CALLER]


def at(f, x, value):
    return lambda y: If(y == x, value, f(y))


def answer(a, c, r):
    return {"call": at(a.call, c, CALL["done"]), "out": at(a.out, c, r)}


def verdict(a, c):
    return If(a.call(c) == CALL["stop"], Result.stopped, Result.closed)


def left_start(a, b, c):
    """c is in S."""
    return And(a.at(c, "start"), Not(b.at(c, "start")))


def nobody(p):
    return all_callers(lambda c: Not(p(c)))


# The actions. Those of a caller c first.

def Invoke(a, b, c):
    kinds = ("start", "stop", "shut", "use")
    return step(a, b, And(a.at(c, "idle"), b.at(c, *kinds)), call=at(a.call, c, b.call(c)))


def ContextEnds(a, b, c):
    return step(a, b, And(a.at(c, "start", "join", "stop", "stopwait", "shut", "shutwait"), Not(a.ended(c))),
                ended=at(a.ended, c, BoolVal(True)))


def Return(a, b, c):
    return step(a, b, a.at(c, "done"), call=at(a.call, c, CALL["idle"]), out=at(a.out, c, Result.none),
                ended=at(a.ended, c, BoolVal(False)))


def StartOfOpen(a, b, c):
    return step(a, b, And(a.at(c, "start"), a.res == RES["open"]), **answer(a, c, Result.ok))


def StartRefused(a, b, c):
    return step(a, b, And(a.at(c, "start"), a.res != RES["open"], Or(a.final, a.ended(c))),
                **answer(a, c, If(a.final, Result.closed, Result.context)))


def StartJoins(a, b, c):
    return step(a, b, And(a.at(c, "start"), Or(a.res == RES["empty"], a.res == RES["opening"]),
                          Not(a.due), Not(a.final), Not(a.ended(c))),
                res=RES["opening"], call=at(a.call, c, CALL["join"]))


def StartLeaves(a, b, c):
    last = And(a.res == RES["opening"], a.only(lambda d: a.at(d, "join"), c), Not(a.again))
    return step(a, b, And(a.at(c, "join"), a.ended(c)), res=If(last, RES["closing"], a.res),
                why=If(last, FATE["abandoned"], a.why), **answer(a, c, Result.context))


def StopOfEmpty(a, b, c):
    S = lambda d: left_start(a, b, d)
    return step(a, b, And(a.at(c, "stop", "shut"), a.res == RES["empty"], Implies(Not(a.due), nobody(S))),
                final=Or(a.final, a.at(c, "shut")), due=BoolVal(False),
                call=lambda d: If(Or(S(d), d == c), CALL["done"], a.call(d)),
                out=lambda d: If(d == c, Result.ok, If(S(d), verdict(a, c), a.out(d))))


def StopTakesEffect(a, b, c):
    S = lambda d: left_start(a, b, d)
    waits = If(a.at(c, "stop"), CALL["stopwait"], CALL["shutwait"])
    why = If(a.at(c, "stop"), FATE["stopped"], FATE["closed"])
    return step(a, b, And(a.at(c, "stop", "shut"), a.res != RES["empty"],
                          Implies(a.res != RES["closing"], nobody(S))),
                final=Or(a.final, a.at(c, "shut")), res=RES["closing"],
                why=If(a.res == RES["opening"], why, a.why), due=BoolVal(False), again=BoolVal(False),
                call=lambda d: If(S(d), CALL["done"], If(d == c, waits, a.call(d))),
                out=lambda d: If(S(d), verdict(a, c), a.out(d)))


def StopLeaves(a, b, c):
    cuts = And(USERS > 0, Or(a.at(c, "shutwait"), a.only(a.stopping, c)))
    cut_off = lambda d: And(cuts, a.at(d, "using"))
    return step(a, b, And(a.stopping(c), a.ended(c)),
                call=lambda d: If(d == c, CALL["done"], If(cut_off(d), CALL["cut"], a.call(d))),
                out=at(a.out, c, If(cuts, Result.cut(USERS), Result.context)))


def UseAdmitted(a, b, c):
    return step(a, b, And(a.at(c, "use"), a.res == RES["open"]), call=at(a.call, c, CALL["using"]))


def UseRefused(a, b, c):
    return step(a, b, And(a.at(c, "use"), a.res != RES["open"]),
                **answer(a, c, If(a.final, Result.closed, Result.notstarted)))


def UseEnds(a, b, c):
    return step(a, b, a.at(c, "using", "cut"), **answer(a, c, Result.ok))


# Actions without a caller.

def Opened(a, b):
    joins = lambda c: a.at(c, "join")
    return step(a, b, a.res == RES["opening"], res=RES["open"], again=BoolVal(False),
                call=lambda c: If(joins(c), CALL["done"], a.call(c)),
                out=lambda c: If(joins(c), Result.ok, a.out(c)))


def OpenFails(a, b):
    return step(a, b, a.res == RES["opening"], res=RES["closing"], why=FATE["failed"])


def Died(a, b):
    return step(a, b, a.res == RES["open"], res=RES["closing"], due=MaxRestarts > 0,
                call=lambda c: If(a.at(c, "using"), CALL["cut"], a.call(c)))


def Released(a, b, bad):
    S = lambda c: left_start(a, b, c)
    joins = lambda c: a.at(c, "join")
    due = Or(a.due, And(a.again, a.why == FATE["failed"]))
    told = chosen(a.why, [(FATE["failed"], Result.failed(0)), (FATE["abandoned"], Result.abandoned),
                          (FATE["stopped"], Result.stopped), (FATE["closed"], Result.closed)], Result.none)
    return step(a, b, And(a.res == RES["closing"], nobody(lambda c: a.at(c, "using")),
                          Implies(Or(a.final, due), nobody(S))),
                due=due, again=BoolVal(False), res=If(some_caller(S), RES["opening"], RES["empty"]), why=FATE["none"],
                call=lambda c: If(S(c), CALL["join"], If(Or(joins(c), a.stopping(c)), CALL["done"], a.call(c))),
                out=lambda c: If(joins(c), told, If(a.stopping(c), If(bad, Result.relerr, Result.ok), a.out(c))))


def RestartEnds(a, b, begins):
    S = lambda c: left_start(a, b, c)
    return step(a, b, And(a.res == RES["empty"], a.due), due=BoolVal(False), again=BoolVal(begins),
                res=If(Or(begins, some_caller(S)), RES["opening"], RES["empty"]),
                call=lambda c: If(S(c), CALL["join"], a.call(c)))


OF_ANY_CALLER = (Invoke, ContextEnds, Return, StartOfOpen, StartRefused, StartJoins, StartLeaves, StopOfEmpty,
                 StopTakesEffect, StopLeaves, UseAdmitted, UseRefused, UseEnds)


def nothing(a, b):
    """No step of the contract: what callers see is unchanged."""
    return step(a, b, BoolVal(True))[1:]


def keeps(a, b):
    """[Next]_vars of Abstract.tla."""
    whole = lambda conjuncts: And([f for _, f in conjuncts])
    yes, no = BoolVal(True), BoolVal(False)
    globally = [Opened(a, b), OpenFails(a, b), Died(a, b), Released(a, b, no), Released(a, b, yes),
                RestartEnds(a, b, True), RestartEnds(a, b, False), nothing(a, b)]
    return Or(*map(whole, globally), *[some_caller(lambda c, f=f: whole(f(a, b, c))) for f in OF_ANY_CALLER])


def begins(a):
    """Init of Abstract.tla."""
    no = lambda *names: And([Not(getattr(a, n)) for n in names])
    return And(a.res == RES["empty"], a.why == FATE["none"], no("final", "due", "again"),
               all_callers(lambda c: And(a.at(c, "idle"), Not(a.ended(c)), a.out(c) == Result.none)))


# Which step of the contract a branch is: of the contract's actions and s, p to conjuncts.

def of_caller(action):
    return lambda a, b, p: action(a, b, p)


def of_nobody(action, *arguments):
    return lambda a, b, p: action(a, b, *arguments)


def either(condition, one, other):
    """One step if the condition holds, otherwise the other."""
    def steps(a, b, p):
        c = condition(a.s, p)
        return [("one, " + n, Implies(c, f)) for n, f in one(a, b, p)] + \
            [("other, " + n, Implies(Not(c), f)) for n, f in other(a, b, p)]
    return steps


none = of_nobody(nothing)
refused, joins, takes_effect = of_caller(StartRefused), of_caller(StartJoins), of_caller(StopTakesEffect)
released = lambda a, b, g: Released(a, b, a.s.relerr(g))

BRANCHES = {
    **dict.fromkeys(("InvokeStart", "InvokeStop", "InvokeShutdown", "InvokeUse"), of_caller(Invoke)),
    "ContextEnds": of_caller(ContextEnds), "Return": of_caller(Return),
    "StartFast:open": of_caller(StartOfOpen), "StartFast:enter": none,
    "StartEnter:open": of_caller(StartOfOpen), "StartEnter:closed": refused, "StartEnter:ended": refused,
    "StartEnter:begin": joins, "StartEnter:join": joins, "StartEnter:queue": none,
    "StartLeave:last": of_caller(StartLeaves),
    # The caller has joined the attempt, or it was queued and has joined none.
    "StartLeave:alone": either(lambda s, c: s.on(c) == s.gen, of_caller(StartLeaves), refused),
    "StopEnter:cancel": takes_effect, "StopEnter:close": takes_effect, "StopEnter:join": takes_effect,
    "StopEnter:nothing": of_caller(StopOfEmpty),
    "ShutdownEnter:cancel": takes_effect, "ShutdownEnter:close": takes_effect, "ShutdownEnter:join": takes_effect,
    "ShutdownEnter:nothing": of_caller(StopOfEmpty),
    "StopLeave:cut": of_caller(StopLeaves), "StopLeave:alone": of_caller(StopLeaves),
    "OpenPart": none, "OpenOk:kept": of_nobody(Opened), "OpenOk:late": none,
    "OpenErr:failed": of_nobody(OpenFails), "OpenErr:late": none, "OpenRetry": none, "TryAgain": none,
    "Timeout": of_nobody(OpenFails),
    "Fail:reported": none, "Fail:opening": of_nobody(OpenFails), "Fail:running": of_nobody(Died), "Fail:late": none,
    "DrainEnd": none, "ReleaseOk": none, "ReleaseErr": none,
    "Finish:closed": released, "Finish:next": released, "Finish:idle": released,
    "Restart": of_nobody(RestartEnds, True),
    "GivesUp:next": of_nobody(RestartEnds, False), "GivesUp:nobody": of_nobody(RestartEnds, False),
    "UseLoad:none": none, "UseLoad:gate": none,
    "UseAdd:admitted": of_caller(UseAdmitted), "UseAdd:refused": none,
    "UseSlow:admitted": of_caller(UseAdmitted), "UseSlow:refused": of_caller(UseRefused),
    "UseEnd:ends": of_caller(UseEnds), "UseEnd:drops": none, "UseDrop": of_caller(UseEnds),
}
