"""Compares Z3's transition relation with the edges of TLC's graph.

    python edgecheck.py MODEL < edges.jsonl

Every edge satisfies the relation of its action, by exactly one branch; from every
state whose edges are listed Z3 takes as many steps as TLC (so it takes the same);
every state satisfies Z3's invariant, and every edge Z3's guarantees; every branch
is seen; and an edge with one variable altered satisfies no branch of its action,
unless it is an edge too.
"""

import json
import random
import sys
import time

import z3

import actions
import contract
import evaluate
import guarantees
import invariant
from model import OF_CALLER, SCALARS, VARIABLES, symbolic

NAMES = list(VARIABLES)
S, T = symbolic(), symbolic("'")


class Graph:
    """The file that ../internal/lifecycle/proof/edges.go wrote."""

    def __init__(self, lines):
        self.head = json.loads(next(lines))
        b = self.head["bound"]
        self.calls, self.fails = b["calls"], b["fails"]
        self.frame = evaluate.Frame(b["callers"], b["attempts"], b["parts"], b["retries"], b["restarts"])
        self.states, self.out = {}, {}
        for line in lines:
            x = json.loads(line)
            if "state" in x:
                self.states[x["state"]] = evaluate.concrete(x["vars"], self.frame)
            else:
                self.out[x["from"]] = [tuple(e) for e in x["edges"]]

    def parameters(self, case):
        return range(self.frame.callers) if case.of == "caller" else range(1, self.frame.attempts + 1)

    def bounded(self, case, state):
        """Whether TLC's bound keeps this step from being taken."""
        return (case.action.startswith("Invoke") and state[NAMES.index("calls")] == self.calls
                or case.action == "Fail" and state[NAMES.index("fails")] == self.fails)


class Relations:
    def __init__(self, frame):
        self.cases = actions.cases()
        self.of = {}
        for case in self.cases:
            compile_case(case, frame)
            self.of.setdefault(case.action, []).append(case)
        step = lambda action, p: z3.Or([c.relation(S, T, p) for c in self.of[action]])
        self.of_state = Together(frame, [*((n, f(S)) for n, f in invariant.CONJUNCTS.items()),
                                         *((f"{n} ({part})", goal) for n, f in guarantees.OF_STATE.items() for part, goal in f(S))])
        self.of_step = Together(frame, [(f"{n} ({part})", goal)
                                        for n, f in guarantees.OF_STEP.items() for part, goal in f(S, T, step)]
                                + [("KeepsContract", contract.keeps(contract.Seen(S), contract.Seen(T)))])


def compile_case(case, frame):
    p = case.parameter()
    case.formula = case.relation(S, T, p)
    case.holds = evaluate.compiled(case.formula, frame)
    case.can = evaluate.compiled(case.enabled(S, p), frame)


class Together:
    """Named formulas, evaluated at once; one by one only to say which is broken."""

    def __init__(self, frame, named):
        self.all = evaluate.compiled(z3.And([f for _, f in named]), frame)
        self.each = [(name, evaluate.compiled(f, frame)) for name, f in named]

    def broken(self, s, t=None):
        if self.all(s, t, None):
            return None
        return [name for name, holds in self.each if not holds(s, t, None)]


def alterations(state, graph, rng, names=NAMES):
    """The state with one variable, of these, at one index given another of its values."""
    name = rng.choice(names)
    i = NAMES.index(name)
    old = state[i]
    frame = graph.frame
    sizes = {"st": 5, "op": 4, "fate": 5, "pc": 14, "held": frame.parts + 1, "inuse": frame.callers + 1,
             "gen": frame.attempts + 1, "cur": frame.attempts + 1, "on": frame.attempts + 1, "restarts": frame.restarts + 2,
             "calls": graph.calls + 2, "fails": graph.fails + 2}

    def other(v):
        if isinstance(v, bool):
            return not v
        if name == "out":
            kinds = evaluate.CONSTRUCTORS
            numbers = {"failed": range(1, frame.attempts + 1), "cut": range(1, frame.callers + 1)}
            choices = [(k, n) for k in range(len(kinds)) for n in numbers.get(kinds[k], (0,))]
            return rng.choice([x for x in choices if x != tuple(v)])
        return rng.choice([x for x in range(sizes[name]) if x != v])

    altered = list(state)
    if name in SCALARS:
        altered[i] = other(old)
    else:
        at = rng.randrange(frame.callers) if name in OF_CALLER else rng.randrange(1, frame.attempts + 1)
        altered[i] = list(old)
        altered[i][at] = other(old[at])
    return name, altered


class Failure(Exception):
    pass


def check(graph, rel, with_solver=3):
    """Returns what was checked; raises Failure. rel is Relations(graph.frame)."""
    rng = random.Random(1)
    counts = dict(edges=0, sources=0, altered=0, rejected=0, are_edges=0, solver=0)
    seen, per_variable, solved = {}, {}, {}
    for i, s in graph.states.items():
        broken = rel.of_state.broken(s)
        if broken:
            raise Failure(f"state {i} does not satisfy {broken}: {s}")
    for i, out in graph.out.items():
        s = graph.states[i]
        counts["sources"] += 1
        enabled = sum(case.can(s, None, p) for case in rel.cases if not graph.bounded(case, s)
                      for p in graph.parameters(case))
        if enabled != len(out):
            raise Failure(f"from state {i} Z3's relation takes {enabled} steps, TLC's graph {len(out)}: {s}")
        listed = {}
        for action, p, to in out:
            listed.setdefault(action, []).append(graph.states[to])
        for action, p, to in out:
            counts["edges"] += 1
            t = graph.states[to]
            by = [case for case in rel.of[action] if case.holds(s, t, p)]
            if len(by) != 1:
                raise Failure(f"{action}({p}) from state {i} to {to} satisfies {len(by)} branches: {s} -> {t}")
            case = by[0]
            seen[case.name] = seen.get(case.name, 0) + 1
            broken = rel.of_step.broken(s, t)
            if broken:
                raise Failure(f"{action}({p}) from state {i} to {to} breaks {broken}: {s} -> {t}")
            name, altered = alterations(t, graph, rng)
            counts["altered"] += 1
            accepted = any(c.holds(s, altered, q) for c in rel.of[action] for q in graph.parameters(c))
            if accepted != (altered in listed[action]):
                raise Failure(f"{action} from state {i} to {to} with {name} altered: Z3's relation says {accepted}: {s} -> {altered}")
            counts["are_edges" if accepted else "rejected"] += 1
            per_variable[name] = per_variable.get(name, 0) + 1
            if solved.get(case.name, 0) < with_solver:
                solved[case.name] = solved.get(case.name, 0) + 1
                counts["solver"] += 2
                if not evaluate.decide(case.formula, graph.frame, s, t, p):
                    raise Failure(f"Z3's solver rejects {case.name}({p}) from state {i} to {to}")
                if evaluate.decide(case.formula, graph.frame, s, altered, p) != case.holds(s, altered, p):
                    raise Failure(f"Z3's solver disagrees on {case.name}({p}) from state {i} with {name} altered")
    return counts, seen, per_variable, [c.name for c in rel.cases]


def tells_apart(graph, rel, guards):
    """Whether the edges show that these guards are not the algorithm's: check() would fail with them. It looks only at
    the branches that they change: the others are as check() has found them."""
    rng, text = random.Random(1), graph.frame.compiler.text
    changed, of = [], {}
    for case, weak in zip(rel.cases, actions.cases(guards)):
        if text(weak.relation(S, T, weak.parameter())) == text(case.formula):
            weak = case
        else:
            compile_case(weak, graph.frame)
            changed.append((case, weak))
        of.setdefault(case.action, []).append(weak)
    names = {case.action for case, _ in changed}
    for i, out in graph.out.items():
        s = graph.states[i]
        for case, weak in changed:
            if not graph.bounded(case, s) and any(case.can(s, None, p) != weak.can(s, None, p) for p in graph.parameters(case)):
                return True
        for action, p, to in out:
            if action not in names:
                continue
            if sum(case.holds(s, graph.states[to], p) for case in of[action]) != 1:
                return True
            altered = alterations(graph.states[to], graph, rng)[1]
            if any(case.holds(s, altered, q) for case in of[action] for q in graph.parameters(case)) != \
                    any(a == action and graph.states[other] == altered for a, _, other in out):
                return True
    return False


if __name__ == "__main__":
    begin = time.time()
    graph = Graph(iter(sys.stdin))
    print("read", round(time.time() - begin, 1))
    counts, seen, per_variable, names = check(graph, Relations(graph.frame))
    print(counts, seen, per_variable, [n for n in names if n not in seen], round(time.time() - begin, 1), sep="\n")
