"""The queries of the proof: the formulas for Z3, one small query at a time.

For every branch of every action (case), with Inv and the guard assumed:
  conjunct     each conjunct of Inv holds after the step
  guarantee    each part of each guarantee of a step holds
  contract     the step is one of tla/Abstract.tla, or none, as contract.py says
  progress     each condition of tla/Progress.tla on a step holds
and, of a state: Init has each conjunct and is the contract's, Inv has each part of
each guarantee of a state and each condition. The lemmas of lemmas.py come first.
"""

import functools
import time

import z3

import actions
import contract
import guarantees
import invariant
import lemmas
import progress
from model import CONSTANTS_FIT, Caller, initial, symbolic

S = symbolic()
CARD_AFTER = z3.Function("card'", z3.IntSort(), z3.IntSort())
ANYONE = z3.Const("anyone", Caller)


class Query:
    def __init__(self, kind, action, case, name, assumed, goal):
        self.kind, self.action, self.case, self.name = kind, action, case, name
        self.assumed, self.goal = assumed, goal

    @property
    def guarantee(self):
        """The name of the guarantee that the query concerns, if any."""
        name = {"guarantee": self.name.split(" (")[0], "contract": "StartedIsOpen",
                "progress": "Progress"}.get(self.kind)
        return {"RestartUntilStop": "StopWins", "ProgressAwaited": "Progress"}.get(name, name)

    def ask(self, limit):
        """'proved', 'refuted' or 'open', and the seconds that it took; limit in seconds.

        Where quantifiers are instantiated is luck: what is not proved at once is
        tried with other seeds, and without models, before it is called open.
        """
        begin = time.time()
        for seed in range(TRIES):
            solver = z3.Solver()
            solver.set("timeout", int(limit * 1000 / TRIES))
            solver.set("random_seed", seed)
            solver.set("mbqi", seed % 2 == 0)
            solver.add(*self.assumed, z3.Not(self.goal))
            answer = solver.check()
            if answer == z3.unsat:
                return "proved", time.time() - begin
            if answer == z3.sat:
                return "refuted", time.time() - begin
        return "open", time.time() - begin


TRIES = 8


class System:
    """The transition system under some guards. What it makes of a case it makes once:
    Z3 knows two formulas for the same only if they are."""

    def __init__(self, guards=None):
        self.cases = actions.cases(guards)
        self.of = {}
        for case in self.cases:
            self.of.setdefault(case.action, []).append(case)
        self.inv = {name: f(S) for name, f in invariant.CONJUNCTS.items()}

    @functools.lru_cache(None)
    def after(self, case):
        return case.after(S, case.parameter(), CARD_AFTER)

    @functools.lru_cache(None)
    def inv_after(self, case):
        return {name: f(self.after(case)) for name, f in invariant.CONJUNCTS.items()}

    @functools.lru_cache(None)
    def parts_after(self, case):
        """Each part of each guarantee of a step."""
        t = self.after(case)
        step = lambda action, p: z3.Or([c.relation(S, t, p) for c in self.of[action]])
        return {label(name, part): goal for name, f in guarantees.OF_STEP.items() for part, goal in f(S, t, step)}

    def assumed(self, case):
        p, t = case.parameter(), self.after(case)
        actor = p if case.of == "caller" else ANYONE
        return [CONSTANTS_FIT, lemmas.facts(S), lemmas.facts(t), lemmas.steps(S, t, actor),
                case.enabled(S, p), *self.inv.values()]

    def keeps(self, case):
        """Inv and the step imply each conjunct after it."""
        assumed = self.assumed(case)
        for name, goal in self.inv_after(case).items():
            yield Query("conjunct", case.action, case.name, name, assumed, goal)

    def known(self, case):
        """Inv, before and after, and the step."""
        return self.assumed(case) + list(self.inv_after(case).values())

    def promises(self, case):
        """They imply each part of each guarantee."""
        assumed = self.known(case)
        for name, goal in self.parts_after(case).items():
            yield Query("guarantee", case.action, case.name, name, assumed, goal)

    def refines(self, case, known=None, view=contract.Seen, step=None):
        """They imply that the step is the contract's, as seen."""
        a, b = view(S), view(self.after(case))
        assumed = [*(known or self.known(case)), contract.users_fit(a)]
        for name, goal in (step or contract.BRANCHES[case.name])(a, b, case.parameter()):
            yield Query("contract", case.action, case.name, name, assumed, goal)

    def can(self, actions, p):
        """ENABLED: a branch of one of the actions can be taken."""
        return z3.Or([case.enabled(S, p) for action in actions for case in self.of[action]])

    def conditions(self, case, known=None):
        """They imply the conditions of progress."""
        assumed, t, p = known or self.known(case), self.after(case), case.parameter()
        for name, f in progress.EVERY.items():
            yield Query("progress", case.action, case.name, name, assumed, f(S, t))
        for name, (actions, f) in progress.BY.items():
            if case.action in actions:
                yield Query("progress", case.action, case.name, name, assumed, f(S, t, p))

    def states(self):
        for name, assumed, goal in lemmas.lemmas():
            yield Query("lemma", "lemma", "lemma", name, [assumed], goal)
        base = [CONSTANTS_FIT, lemmas.facts(S)]
        for name, goal in self.inv.items():
            yield Query("conjunct", "Init", "Init", name, base + [initial(S)], goal)
        yield Query("contract", "Init", "Init", "begins", base + [initial(S)], contract.begins(contract.Seen(S)))
        for name, f in guarantees.OF_STATE.items():
            for part, goal in f(S):
                yield Query("guarantee", "state", "state", label(name, part), base + list(self.inv.values()), goal)
        for name, f in progress.OF_STATE.items():
            yield Query("progress", "state", "state", name, base + list(self.inv.values()), f(S, self.can))


def label(name, part):
    return f"{name} ({part})" if part else name
