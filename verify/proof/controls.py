"""Controls: what must fail, fails.

  weak guards      each weakened guard of tla/Weak*.cfg, put into the Z3 model,
                   lets a step break a conjunct or a guarantee
  left out         Inv without any one of its conjuncts is not inductive, or does
                   not imply the guarantees
  not vacuous      every branch of every action can be taken in a state of Inv

Each is decided over three callers and the attempts 1 to 3, quantifiers expanded:
what Z3 finds there is a counterexample, which is printed, not a query given up.
"""

import z3

import actions
import evaluate
from model import (CONSTANTS_FIT, FATE, OF_ATTEMPT, SCALARS, ST, Caller, Guards, NParts, all_callers, joined, one_of,
                   symbolic, using)
from queries import S, System

CALLERS = [z3.Const(f"caller{i}", Caller) for i in (1, 2, 3)]
ATTEMPTS = 3
SECONDS = 60


def weak(name, **overrides):
    return name, type(name, (Guards,), overrides)()


# Named after tla/Weak.tla. Undo is not among them: what is released last cannot be
# said of a number of parts. DeafDrained and WeakMayLeave break Progress alone (G12).
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

# Which may be left out without harm: nothing rests on it (tla/Inductive.tla says so).
IDLE_CONJUNCTS = {"ReportedFits", "RelErrFits", "EndedFits"}


def small(formula):
    """formula over the small universe. (Formulas are asked for again and again.)"""
    key = formula.get_id()
    if key not in EXPANDED:
        EXPANDED[key] = formula, evaluate.finite(formula, CALLERS, ATTEMPTS)
    return EXPANDED[key][1]


EXPANDED = {}


def cardinality(s):
    """card(g) is the number of callers using g, of every attempt that a formula can name."""
    return [s.card(g) == z3.Sum([z3.If(using(s, g, c), 1, 0) for c in CALLERS]) for g in range(ATTEMPTS + 1)]


def within(s):
    """The numbers of attempts stay in the small universe."""
    return [s.gen <= ATTEMPTS - 1, NParts <= 2, CONSTANTS_FIT] + \
        [z3.And(s.on(c) >= 0, s.on(c) <= ATTEMPTS) for c in CALLERS]


def find(system, case, assumed, goals):
    """A state that satisfies what is assumed, from which a step of case breaks one of
    the goals: which it breaks, and where; or None."""
    p, t = case.parameter(), system.after(case)
    solver = z3.Solver()
    solver.set("timeout", SECONDS * 1000)
    solver.add(z3.Distinct(*CALLERS), small(case.enabled(S, p)), *map(small, assumed))
    solver.add(*cardinality(S), *cardinality(t), *within(S))
    solver.add(z3.Or([p == x for x in (CALLERS if case.of == "caller" else range(1, ATTEMPTS + 1))]))
    broken = {name: z3.Not(small(goal)) for name, goal in goals.items()}
    if goals:
        solver.add(z3.Or(list(broken.values())))
    answer = solver.check()
    if answer == z3.unknown:
        raise RuntimeError(f"{case.name}: Z3 does not decide a finite question: {solver.reason_unknown()}")
    if answer == z3.unsat:
        return None
    m = solver.model()
    true = [n for n, b in broken.items() if z3.is_true(m.eval(b, model_completion=True))]
    return true, f"{case.name}({m.eval(p)}) in {show(m)}"


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
    """Whether the step is another than as specified."""
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


def left_out(name, system):
    """What breaks when Inv is weakened by one conjunct: another conjunct, or else a guarantee."""
    others = [n for n in system.inv if n != name]
    assumed = [system.inv[n] for n in others]
    for goals in (lambda case: {n: system.inv_after(case)[n] for n in others},
                  lambda case: {n: g for n, g in system.parts_after(case).items() if not n.startswith("OwnGeneration")}):
        for case in system.cases:
            hit = find(system, case, assumed, goals(case))
            if hit:
                return hit
    return None


def can_be_taken(system):
    """The branches that no state of Inv allows."""
    return [c.name for c in system.cases if not find(system, c, system.inv.values(), {})]
