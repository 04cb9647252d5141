"""Controls: what must fail, fails.

  weak guards      each weakened guard of tla/Weak*.cfg, put into the Z3 model,
                   lets a step break a conjunct or a guarantee
  left out         Inv without any one of its conjuncts is not inductive, or does
                   not imply the guarantees or a condition of progress
  the contract     a weakened guard lets a step be none of the contract's, unless it is
                   listed as INVISIBLE there; no step that has an effect is none; and
                   seen otherwise than as in tla/Refinement.tla the steps are not the
                   contract's
  not vacuous      every branch of every action can be taken in a state of Inv

Each is decided over three callers and the attempts 1 to 3, quantifiers expanded:
what Z3 finds there is a counterexample, which is printed, not a query given up.
"""

import z3

import actions
import contract
import evaluate
import progress
from contract import CALL
from model import (CONSTANTS_FIT, FATE, OF_ATTEMPT, OP, PC, SCALARS, ST, Caller, Guards, NParts, Result, all_callers,
                   joined, one_of, symbolic, using)
from queries import S, System

CALLERS = [z3.Const(f"caller{i}", Caller) for i in (1, 2, 3)]
ATTEMPTS = 3
SECONDS = 60


def weak(name, **overrides):
    return name, type(name, (Guards,), overrides)()


# Named after tla/Weak.tla. Undo is not among them: what is released last cannot be
# said of a number of parts.
WEAK = dict([
    weak("WeakMayBegin", MayBegin=lambda self, s: one_of(s.st, ST, "Idle", "Starting")),
    weak("WeakFoundOpen", FoundOpen=lambda self, s: z3.BoolVal(False)),
    weak("WeakFastPathOpen", FastPathOpen=lambda self, s: one_of(s.st, ST, "Starting", "Started")),
    weak("WeakComplete", Complete=lambda self, s, g: z3.BoolVal(True)),
    weak("WeakMayJoin", MayJoin=lambda self, s: z3.Or(
        s.st == ST["Starting"], z3.And(s.st == ST["Stopping"], s.fate(s.gen) == FATE["failed"]))),
    weak("WeakLastLeaves", LastLeaves=lambda self, s, c: z3.BoolVal(True)),
    weak("RestartLastLeaves", LastLeaves=lambda self, s, c: all_callers(lambda d: joined(s, s.on(c), d) == (d == c))),
    weak("WeakStillWanted", StillWanted=lambda self, s, g: s.gen == g),
    weak("WeakMayRetry", MayRetry=lambda self, s, g: s.gen == g),
    weak("WeakRolledBack", RolledBack=lambda self, s, g: z3.BoolVal(True)),
    weak("WeakAllReleased", AllReleased=lambda self, s, g: z3.Or(s.held(g) == 0, s.fate(g) == FATE["failed"])),
    weak("WeakStopSees", StopSees=lambda self, s: one_of(s.st, ST, "Started", "Stopping")),
    weak("WeakStopTells", StopTells=lambda self, s, c: z3.BoolVal(False)),
    weak("WeakForgets", Forgets=lambda self: z3.BoolVal(True)),
    weak("WeakKeepsOn", KeepsOn=lambda self: z3.BoolVal(True)),
    weak("HastyMayBegin", MayBegin=lambda self, s: s.st == ST["Idle"]),
    weak("HastyWaitsFor", WaitsFor=lambda self, s, g: z3.BoolVal(False)),
    weak("WeakDrained", Drained=lambda self, s, g: z3.BoolVal(True)),
    weak("WeakMayForce", MayForce=lambda self, s, c, g: z3.BoolVal(True)),
    weak("DeafMayForce", MayForce=lambda self, s, c, g: z3.BoolVal(False)),
    weak("WeakAdmits", Admits=lambda self, s, g: z3.BoolVal(True)),
    weak("WeakFinal", Final=lambda self, s: z3.And(s.closing, s.st == ST["Closed"])),
    weak("WeakQueued", Queued=lambda self, s, c: z3.BoolVal(False)),
    weak("WeakGivesUpFor", GivesUpFor=lambda self, s, c: z3.BoolVal(False)),
    weak("WeakCurrent", Current=lambda self, s, g: z3.BoolVal(True)),
    weak("WeakStillAlive", StillAlive=lambda self, s, g: z3.BoolVal(True)),
])

# Those that break G12. The first two break nothing else.
WEAK_PROGRESS = dict([
    weak("DeafDrained", Drained=lambda self, s, g: z3.BoolVal(False)),
    weak("WeakMayLeave", MayLeave=lambda self, s, c: z3.And(s.ended(c), s.op(s.on(c)) != OP["release"])),
]) | {name: WEAK[name] for name in ("WeakQueued", "WeakGivesUpFor")}

# Weakened guards that no step shows to the contract, and why.
PARTS, TRIES, WHICH = "it knows no parts", "it knows no tries", "it leaves open which of the Starts that wait are meant"
INVISIBLE = {"WeakComplete": PARTS, "WeakAllReleased": PARTS, "WeakRolledBack": TRIES, "WeakMayRetry": TRIES,
             "WeakStillAlive": TRIES, "WeakStopTells": WHICH, "WeakQueued": WHICH, "WeakGivesUpFor": WHICH,
             "WeakCurrent": "what is open may die at any time"}


class QueuedJoins(contract.Seen):
    """A Start that waits for the next attempt has joined the one under way."""
    def call(self, c):
        return z3.If(z3.And(self.s.pc(c) == PC["wait"], self.s.out(c) == Result.none), CALL["join"], super().call(c))


class CutByDrain(contract.Seen):
    """A use is cut off as soon as the gate is closed."""
    def holds_open(self, g):
        return self.s.open(g)


class NeverCut(contract.Seen):
    """A use is not cut off by a release that is forced."""
    def holds_open(self, g):
        return z3.Or(self.s.open(g), self.s.op(g) == OP["drain"])


class UsesAtOnce(contract.Seen):
    """A use is admitted when it has loaded the gate."""
    def call(self, c):
        return z3.If(self.s.pc(c) == PC["add"], CALL["using"], super().call(c))


class NoReason(contract.Seen):
    """What is undone was open."""
    def __init__(self, s):
        super().__init__(s)
        self.why = FATE["none"]


WRONG_VIEWS = (QueuedJoins, CutByDrain, NeverCut, UsesAtOnce, NoReason)

# Conjuncts that may be left out: nothing rests on them (tla/Inductive.tla says so).
IDLE_CONJUNCTS = {"ReportedFits", "RelErrFits"}
# A branch that shows that a conjunct is needed, where the search for one takes long.
SHOWN_BY = {"ShutdownsClose": "Finish:next", "RestartsFit": "StopEnter:nothing", "StopsAwait": "StopLeave:alone"}
# The conjunct on which only progress rests.
PROGRESS_CONJUNCTS = {"EndedFits"}


def small(formula):
    """formula over the small universe. (The same formulas are needed again and again.)"""
    key = formula.get_id()
    if key not in EXPANDED:
        EXPANDED[key] = formula, evaluate.finite(formula, CALLERS, ATTEMPTS)
    return EXPANDED[key][1]


EXPANDED = {}


def count(p):
    return z3.Sum([z3.If(p(c), 1, 0) for c in CALLERS])


def cardinality(s):
    """card(g) is the number of callers using g, of every attempt that a formula can name."""
    return [s.card(g) == count(lambda c: using(s, g, c)) for g in range(ATTEMPTS + 1)]


def within(s):
    """The numbers of attempts stay in the small universe."""
    return [s.gen <= ATTEMPTS - 1, NParts <= 2, CONSTANTS_FIT] + \
        [z3.And(s.on(c) >= 0, s.on(c) <= ATTEMPTS) for c in CALLERS]


def find(system, case, assumed, goals, view=contract.Seen):
    """A state that satisfies the assumptions, from which a step of case (or which itself,
    if that is None) breaks one of the goals: which it breaks, and where; or None."""
    solver = z3.Solver()
    solver.set("timeout", SECONDS * 1000)
    solver.add(z3.Distinct(*CALLERS), *map(small, assumed), *cardinality(S), *within(S))
    solver.add(contract.USERS == count(lambda c: view(S).at(c, "using")))
    name, p = "the state", CALLERS[0]
    if case:
        name, p, t = case.name, case.parameter(), system.after(case)
        solver.add(small(case.enabled(S, p)), *cardinality(t))
        solver.add(z3.Or([p == x for x in (CALLERS if case.of == "caller" else range(1, ATTEMPTS + 1))]))
    broken = {n: z3.Not(small(goal)) for n, goal in goals.items()}
    if goals:
        solver.add(z3.Or(list(broken.values())))
    answer = solver.check()
    if answer == z3.unknown:
        raise RuntimeError(f"{name}: Z3 does not decide a finite question: {solver.reason_unknown()}")
    if answer == z3.unsat:
        return None
    m = solver.model()
    true = [n for n, b in broken.items() if z3.is_true(m.eval(b, model_completion=True))]
    return true or list(goals), (f"{name}({m.eval(p)})" if case else name) + f" in {show(m)}"


def show(m):
    """The state before, in a line."""
    value = lambda e: str(m.eval(e, model_completion=True)).split("_")[0]
    words = [f"{n}={value(getattr(S, n))}" for n in SCALARS]
    for g in range(1, ATTEMPTS + 1):
        words.append(f"| #{g} " + " ".join(f"{n}={value(getattr(S, n)(g))}" for n in OF_ATTEMPT))
    for c in CALLERS:
        words.append(f"| {m.eval(c)} " + " ".join(f"{n}={value(getattr(S, n)(c))}" for n in ("pc", "on", "ended", "out")))
    return " ".join(words)


SHAPE = evaluate.Compiler(evaluate.Frame(len(CALLERS), ATTEMPTS, 2, True, 2))


def changed(case, plain):
    """Whether the step differs from the specified one."""
    t, p = symbolic("'"), case.parameter()
    return SHAPE.text(case.relation(S, t, p)) != SHAPE.text(plain.relation(S, t, p))


def weakened(name, limit=2):
    """What a weakened guard breaks: for each branch that it changes a counterexample, if there is one."""
    plain = {c.name: c for c in actions.cases()}
    system = System(WEAK[name])
    found = []
    for case in system.cases:
        if not changed(case, plain[case.name]):
            continue  # the guard has no part in it: proved already
        unproved = {q.name: q.goal for q in (*system.keeps(case), *system.promises(case)) if q.ask(limit)[0] != "proved"}
        hit = unproved and find(system, case, system.inv.values(), unproved)
        if hit:
            found.append(hit)
    return found


def outside_contract(system, cases, limit=0.4):
    """The first of the branches whose step, from some state of Inv, is not the contract's."""
    for case in cases:
        for q in system.refines(case, system.assumed(case)):
            hit = q.ask(limit)[0] != "proved" and find(system, case, system.inv.values(), {q.name: q.goal})
            if hit:
                return hit
    return None


def weak_contract(name):
    """A step that a weakened guard allows and the contract does not, or None."""
    plain = {c.name: c for c in actions.cases()}
    system = System(WEAK[name])
    return outside_contract(system, [c for c in system.cases if changed(c, plain[c.name])])


def weak_progress(name, limit=0.4):
    """A condition of progress that fails under a weakened guard: which, and where; or None."""
    plain = {c.name: c for c in actions.cases()}
    system = System(WEAK_PROGRESS[name])
    asked = [(None, q) for q in system.states() if q.kind == "progress"]
    for case in system.cases:
        if changed(case, plain[case.name]):
            asked += [(case, q) for q in system.conditions(case, system.assumed(case))]
    for case, q in asked:
        hit = q.ask(limit)[0] != "proved" and find(system, case, system.inv.values(), {q.name: q.goal})
        if hit:
            return hit
    return None


def wrong_contracts(system):
    """What would be wrong with the contract: a branch with an effect is no step of it, or the state is seen otherwise."""
    return [c.name for c in system.cases if contract.BRANCHES[c.name] is not contract.none] + [v.__name__ for v in WRONG_VIEWS]


def wrong_contract(what, system):
    """A step that shows that this is wrong, or None."""
    views = {v.__name__: v for v in WRONG_VIEWS}
    view, step = (views[what], None) if what in views else (contract.Seen, contract.none)
    for case in system.cases:
        if what in (case.name, view.__name__):
            goals = {q.name: q.goal for q in system.refines(case, view=view, step=step)}
            hit = find(system, case, system.inv.values(), goals, view)
            if hit:
                return hit
    return None


def left_out(name, system):
    """What breaks when Inv is weakened by one conjunct: another conjunct, or else a guarantee, or a condition of progress."""
    others = [n for n in system.inv if n != name]
    assumed = [system.inv[n] for n in others]
    if name in PROGRESS_CONJUNCTS:
        return find(system, None, assumed, {n: f(S, system.can) for n, f in progress.OF_STATE.items()})
    conjuncts = lambda case: {n: system.inv_after(case)[n] for n in others}
    parts = lambda case: {n: g for n, g in system.parts_after(case).items() if not n.startswith("OwnGeneration")}
    first = [c for c in system.cases if c.name == SHOWN_BY.get(name)]
    for cases, goals in ((first, parts), (system.cases, conjuncts), (system.cases, parts)):
        for case in cases:
            hit = find(system, case, assumed, goals(case))
            if hit:
                return hit
    return None


def can_be_taken(system):
    """The branches that no state of Inv allows."""
    return [c.name for c in system.cases if not find(system, c, system.inv.values(), {})]
