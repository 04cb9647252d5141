"""The transition system of tla/Algorithm.tla for Z3, without bounds.

Callers are an uninterpreted sort, attempts the natural numbers from 1, and an
attempt's parts a number up to an arbitrary NParts: held[g] is the sequence
1..n in every state (TypeOK, checked by TLC), so n is all of it. Whether there are
retries is unknown, and MaxRestarts an arbitrary number. Everything else has the
name that it has in the TLA+. MaxCalls and MaxFails do not exist here.

A Case is one branch of one action: a guard, and what it assigns. The same
objects make the proof's queries (prove.py) and the relation that TLC's edges
are held against (edges.py).
"""

from z3 import (And, Bool, BoolSort, BoolVal, Const, Datatype, DeclareSort, EnumSort, Exists, ForAll, FreshConst, Function,
                Implies, Int, IntSort, Not, Or)

Caller = DeclareSort("Caller")
NParts = Int("NParts")
Retries = Bool("Retries")
MaxRestarts = Int("MaxRestarts")
CONSTANTS_FIT = And(NParts >= 0, MaxRestarts >= 0)


def enum(sort, names, suffix=""):
    made, values = EnumSort(sort, [n + suffix for n in names])
    return made, dict(zip(names, values))


State, ST = enum("State", ["Idle", "Starting", "Started", "Stopping", "Closed"])
Op, OP = enum("Op", ["none", "open", "drain", "release"], "_op")
Fate, FATE = enum("Fate", ["none", "failed", "abandoned", "stopped", "closed"], "_fate")
Place, PC = enum("Place", ["idle", "start", "enter", "stop", "shut", "use", "add", "slow", "using",
                           "drop", "done", "wait", "stopwait", "shutwait"], "_pc")

_result = Datatype("Result")
for _name in ["none", "ok", "context", "stopped", "closed", "notstarted", "relerr", "abandoned"]:
    _result.declare(_name)  # abandoned: no result, but what Finish would write (TypeOK excludes it)
_result.declare("failed", ("attempt", IntSort()))
_result.declare("cut", ("uses", IntSort()))
Result = _result.create()

# Every variable: its name, what indexes it, and its sort.
SCALARS = {"st": State, "gen": IntSort(), "closing": BoolSort(), "cur": IntSort(),
           "due": BoolSort(), "again": BoolSort(), "restarts": IntSort(),
           "calls": IntSort(), "fails": IntSort()}
OF_ATTEMPT = {"op": Op, "held": IntSort(), "reported": BoolSort(), "fate": Fate, "open": BoolSort(), "inuse": IntSort(),
              "forced": BoolSort(), "relerr": BoolSort()}
OF_CALLER = {"pc": Place, "on": IntSort(), "ended": BoolSort(), "out": Result}
MACHINE = ["st", "gen", "closing", "cur"]
SUPERVISION = ["due", "again", "restarts"]
VARIABLES = {**SCALARS, **OF_ATTEMPT, **OF_CALLER}


def all_callers(p):
    c = FreshConst(Caller, "c")
    return ForAll([c], p(c))


def some_caller(p):
    c = FreshConst(Caller, "c")
    return Exists([c], p(c))


def all_attempts(p):
    g = FreshConst(IntSort(), "g")
    return ForAll([g], Implies(g >= 1, p(g)))


def some_attempt(p):
    g = FreshConst(IntSort(), "g")
    return Exists([g], And(g >= 1, p(g)))


class View:
    """A state: a term for each scalar, a function to terms for each other variable.

    card is a ghost: card(g) is the cardinality of Using(g), see lemmas.py.
    """

    def __init__(self, variables, card):
        self.__dict__.update(variables)
        self.card = card


def symbolic(tick=""):
    """An arbitrary state."""
    v = {name: Const(name + tick, sort) for name, sort in SCALARS.items()}
    v |= {name: Function(name + tick, IntSort(), sort) for name, sort in OF_ATTEMPT.items()}
    v |= {name: Function(name + tick, Caller, sort) for name, sort in OF_CALLER.items()}
    return View(v, Function("card" + tick, IntSort(), IntSort()))


# Callers that wait for attempt g, callers that wait for its release, and those using it.
def joined(s, g, c):
    return And(s.pc(c) == PC["wait"], s.on(c) == g, s.out(c) == Result.none)


def stopper(s, g, c):
    return And(one_of(s.pc(c), PC, "stopwait", "shutwait"), s.on(c) == g, s.out(c) == Result.none)


def using(s, g, c):
    return And(one_of(s.pc(c), PC, "using", "drop"), s.on(c) == g)


def failed_again(s, g):
    return And(s.again, s.fate(g) == FATE["failed"])


def one_of(term, values, *names):
    return Or([term == values[n] for n in names])


class Guards:
    """The named guards of Algorithm.tla. A weakened model overrides one of them."""

    def MayBegin(self, s): return And(s.st == ST["Idle"], Not(s.due))
    def MayJoin(self, s): return s.st == ST["Starting"]
    def FastPathOpen(self, s): return s.st == ST["Started"]
    def FoundOpen(self, s): return s.st == ST["Started"]
    def StillWanted(self, s, g): return And(s.st == ST["Starting"], s.gen == g)
    def MayRetry(self, s, g): return And(s.st == ST["Starting"], s.gen == g)
    def MayLeave(self, s, c): return s.ended(c)
    def LastLeaves(self, s, c):
        return And(all_callers(lambda d: joined(s, s.on(c), d) == (d == c)), Not(s.again))
    def Complete(self, s, g): return s.held(g) == NParts
    def StillAlive(self, s, g): return Not(s.reported(g))
    def AllReleased(self, s, g): return s.held(g) == 0
    def RolledBack(self, s, g): return s.held(g) == 0
    def Undo(self, held): return held - 1
    def StopSees(self, s): return one_of(s.st, ST, "Starting", "Started", "Stopping")
    def Forgets(self): return BoolVal(False)
    def KeepsOn(self): return BoolVal(False)
    def StopTells(self, s, c): return joined(s, s.gen + 1, c)
    def Drained(self, s, g): return s.inuse(g) == 0
    def MayForce(self, s, c, g):
        return Or(s.pc(c) == PC["shutwait"], all_callers(lambda d: stopper(s, g, d) == (d == c)))
    def Admits(self, s, g): return s.open(g)
    def Final(self, s): return s.closing
    def Current(self, s, g): return g == s.gen
    def Queued(self, s, c): return joined(s, s.gen + 1, c)
    def WaitsFor(self, s, g): return Or(s.due, failed_again(s, g))
    def GivesUpFor(self, s, c): return joined(s, s.gen + 1, c)


class Case:
    """A branch of an action: where it can be taken, and the variables that it assigns.

    of is "caller" or "attempt": what the parameter is. guard(s, p) is a formula;
    assign(s, p) gives a term for a scalar, and a function from an index to a term
    for each other variable that may change.
    """

    def __init__(self, action, branch, of, guard, assign):
        self.action, self.branch, self.of = action, branch, of
        self.guard, self.assign = guard, assign

    @property
    def name(self):
        return self.action + (":" + self.branch if self.branch else "")

    def parameter(self):
        return Const("c0", Caller) if self.of == "caller" else Int("g0")

    def enabled(self, s, p):
        return self.guard(s, p) if self.of == "caller" else And(p >= 1, self.guard(s, p))

    def after(self, s, p, card=None):
        """The state that the step leads to from s."""
        v = {name: getattr(s, name) for name in VARIABLES}
        v.update(self.assign(s, p))
        return View(v, s.card if card is None else card)

    def relation(self, s, t, p):
        """The step as a relation of two states, as in the TLA+."""
        u = self.after(s, p)
        same = [getattr(t, n) == getattr(u, n) for n in SCALARS]
        same += [all_attempts(lambda g, n=n: getattr(t, n)(g) == getattr(u, n)(g)) for n in OF_ATTEMPT]
        same += [all_callers(lambda c, n=n: getattr(t, n)(c) == getattr(u, n)(c)) for n in OF_CALLER]
        return And(self.enabled(s, p), *same)


def initial(s):
    """Init."""
    return And(
        s.st == ST["Idle"], s.gen == 0, Not(s.closing), s.cur == 0, s.calls == 0, s.fails == 0,
        Not(s.due), Not(s.again), s.restarts == 0,
        all_attempts(lambda g: And(s.op(g) == OP["none"], s.held(g) == 0, Not(s.reported(g)), s.fate(g) == FATE["none"],
                                   Not(s.open(g)), s.inuse(g) == 0, Not(s.forced(g)), Not(s.relerr(g)))),
        all_callers(lambda c: And(s.pc(c) == PC["idle"], s.on(c) == 0, Not(s.ended(c)),
                                  s.out(c) == Result.none)))
