"""Proves D1 to D5 of delivery, and of D7 what is safety, by an inductive invariant, and shows that what must fail fails. See ../README.md.

    python prove.py quick|ci|deep REPORT EDGES

REPORT is that of ../check.py, to which the queries are added; EDGES the file of edges that ./check proof has written.

For every branch of every action: Inv and the step imply each conjunct of Inv after it, and each guarantee of a step.
Initially Inv holds, and Inv implies each guarantee of a state.

Controls, decided over three messages, positions and requests, so that Z3 finds a counterexample:
  weak guards      each lets a step break a conjunct or a guarantee
  left out         Inv without any one of its conjuncts is not inductive, or does not imply the guarantees
  not vacuous      every branch can be taken in a state of Inv
"""

import json
import multiprocessing
import os
import sys
import time

import z3

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import edges
import keeps
import partition
from partition import FEW, WIRE, Guards
from queries import Query

# Branches that no state takes: every message of the batch has got its verdict.
IMPOSSIBLE = {"AnswerRefused:again", "AnswerRefused:doubt again", "AnswerSequence:doubt"}

LIMIT = {"quick": 40, "ci": 40, "deep": 200}
PARTS = 4  # of the edges, one job each
SECONDS = 60  # of a question about the small universe


class System:
    """The transition system under some guards, its invariant, and what follows from it."""

    def __init__(self, guards=None):
        self.s = partition.symbolic()
        self.cases = partition.cases(self.s, guards)
        self.inv = {name: f(self.s) for name, f in keeps.CONJUNCTS.items()}

    def goals(self, case):
        """The formulas that a step has to keep, by name: conjuncts, then guarantees."""
        t = case.after(self.s)
        found = {("conjunct", name): f(t) for name, f in keeps.CONJUNCTS.items()}
        return found | {("guarantee", name): f(self.s, t) for name, f in keeps.OF_STEP.items()}

    def of_state(self):
        return {("guarantee", name): f(self.s) for name, f in keeps.OF_STATE.items()}


def queries(case, system):
    """The queries of a branch; of states, if it is None."""
    if case is None:
        for name, goal in system.inv.items():
            yield Query("conjunct", "Init", "Init", name, [partition.initial(system.s)], goal)
        for (kind, name), goal in system.of_state().items():
            yield Query(kind, "state", "state", name, list(system.inv.values()), goal)
        return
    for (kind, name), goal in system.goals(case).items():
        yield Query(kind, case.action, case.name, name, [case.guard, *system.inv.values()], goal)


# Named after tla/DeliveryWeak.tla, and each with the actions that have it. The guards Unsent, Requeue, Expires and MayTake
# are not among them: ../README.md says why. SentMayWithdraw, WeakFollows and WeakKeeps are of this file; the last two are the leader's.
WEAK = {name: (type(name, (Guards,), {guard: f})(), on) for name, guard, f, on in [
    ("LateMayDecide", "MayDecide", lambda self, s, m: z3.BoolVal(True), ["AnswerOk"]),
    ("WeakAdmits", "Admits", lambda self, s: s.run != partition.RUN["stopped"], ["Admit"]),
    ("HastyMayStop", "MayStop", lambda self, s: partition.every(lambda m: z3.Not(s.queue(m))), ["StopEnds"]),
    ("WeakUnsure", "Unsure", lambda self: False, ["AnswerUnsure"]),
    ("WeakInDoubt", "InDoubt", lambda self, wire: False, ["LoseWritten", "LoseAnswer"]),
    ("WeakDoubted", "Doubted", lambda self, maybe: False, ["AnswerRefused"]),
    ("SessionReached", "Reached", lambda self, s, i: s.floor(i) + 1, ["Start"]),
    ("WeakFreed", "Freed", lambda self, s, i: s.highest(i) - 1, ["Free"]),
    ("WeakNextInDoubt", "NextInDoubt", lambda self, s: s.seq, ["GiveUp", "LoseWritten", "AnswerRefused"]),
    ("WeakAgainAfter", "AgainAfter", lambda self, maybe: True, ["AnswerSequence"]),
    ("WeakMaySplit", "MaySplit", lambda self, s: z3.BoolVal(True), ["Split"]),
    ("WeakMayAdopt", "MayAdopt", lambda self, acked: True, ["GiveUp", "LoseWritten", "AnswerRefused"]),
    ("WeakMayWithdraw", "MayWithdraw", lambda self, s: s.wire == WIRE["idle"], ["WithdrawTaken", "Cut"]),
    ("SentMayWithdraw", "MayWithdraw", lambda self, s: z3.Not(s.maybe), ["WithdrawTaken", "Cut"]),
    ("WeakShortened", "Shortened", lambda self, s, left: s.batch, ["WithdrawTaken"]),
    ("WeakFollows", "Follows", lambda self, s, r, k: z3.BoolVal(True), ["LeaderAppends", "LateAppends"]),
    ("WeakKeeps", "Keeps", lambda self, s: z3.IntVal(0), ["Move"]),
]}


def find(system, case, assumed, goals):
    """A state that satisfies the assumptions, from which a step of case breaks one of the goals: which it breaks, and
    where; or None. case is None: the state itself breaks one. To be called within small()."""
    s, solver = system.s, z3.Solver()
    solver.set("timeout", SECONDS * 1000)
    solver.add(*assumed, z3.Distinct(*partition.REQUESTS))
    one_of_few = lambda x: z3.And(1 <= x, x <= FEW)
    states = [s]
    if case:
        solver.add(case.guard, *map(one_of_few, (partition.m0, partition.w0, partition.k0, partition.i0, partition.n0)))
        solver.add(z3.Or([partition.r0 == r for r in partition.REQUESTS]))
        states.append(case.after(s))
    for v in states:
        solver.add(0 <= v.admitted, v.admitted <= FEW, 0 <= v.length, v.length <= FEW, one_of_few(v.id), one_of_few(v.pid))
        solver.add(*[z3.Or([v.log(k) == r for r in partition.REQUESTS]) for k in partition.NUMBERS])
    solver.add(*[one_of_few(partition.pid_of(r)) for r in partition.REQUESTS])
    if goals:
        solver.add(z3.Or([z3.Not(g) for g in goals.values()]))
    answer = solver.check()
    if answer == z3.unknown:
        raise RuntimeError(f"{case and case.name}: Z3 does not decide a finite question: {solver.reason_unknown()}")
    if answer == z3.unsat:
        return None
    m = solver.model()
    broken = sorted({name for (_, name), g in goals.items() if z3.is_false(m.eval(g, model_completion=True))})
    return broken, f"{case.name if case else 'a state'}: {show(s, m)}"


def show(s, m):
    """The state before, in a line."""
    value = lambda e: str(m.eval(e, model_completion=True)).rsplit("_", 1)[0]
    words = [f"{n}={value(getattr(s, n))}" for n in partition.SCALARS]
    for x in partition.NUMBERS:
        words.append(f"| {x} " + " ".join(f"{n}={value(getattr(s, n)(x))}" for n in ("queue", "batch", "verdict", "log")))
    for r in partition.REQUESTS:
        words.append(f"| {value(r)} " + " ".join(f"{n}={value(f(r))}" for n, f in partition.FIELDS.items()) + " has=" +
                     ",".join(str(x) for x in partition.NUMBERS if value(partition.has(r, x)) == "True"))
    return " ".join(words)


def weakened(name):
    guards, on = WEAK[name]
    with partition.small():
        system = System(guards)
        for case in system.cases:
            hit = case.action in on and find(system, case, system.inv.values(), system.goals(case))
            if hit:
                return hit
    return None


def left_out(name):
    with partition.small():
        system = System()
        rest = {n: f for n, f in system.inv.items() if n != name}
        hit = find(system, None, rest.values(), system.of_state())
        for case in () if hit else system.cases:
            goals = {key: g for key, g in system.goals(case).items() if key != ("conjunct", name)}
            hit = find(system, case, rest.values(), goals)
            if hit:
                break
        return hit


def cannot_be_taken():
    with partition.small():
        system = System()
        return [c.name for c in system.cases if not find(system, c, system.inv.values(), {})]


SYSTEM = None


def task(job):
    """One job, in a process of its own."""
    global SYSTEM
    kind, what, limit = job
    if kind == "weak":
        return kind, what, weakened(what)
    if kind == "left out":
        return kind, what, left_out(what)
    if kind == "taken":
        return kind, what, cannot_be_taken()
    if kind == "edges":
        return kind, what, edges.check(what, limit, PARTS)
    SYSTEM = SYSTEM or System()
    case = next((c for c in SYSTEM.cases if c.name == what), None)
    found = []
    for q in queries(case, SYSTEM):
        result, seconds = q.ask(limit)
        found.append(dict(kind=q.kind, action=q.action, case=q.case, name=q.name, guarantee=q.guarantee, result=result, seconds=round(seconds, 2)))
    return kind, what, found


def main(mode, report_path, edge_file):
    begin = time.time()
    names = [c.name for c in System().cases]
    if len(set(names)) < len(names):
        raise RuntimeError("two branches have one name")
    jobs = [("edges", edge_file, part) for part in range(PARTS)] + [("queries", "", LIMIT[mode])] + [("queries", n, LIMIT[mode]) for n in names]
    if mode != "quick":
        jobs += [("left out", n, None) for n in keeps.CONJUNCTS] + [("weak", n, None) for n in WEAK]
    jobs.append(("taken", "", None))
    asked, refuted, problems, unseen, counts, missed = [], 0, [], set(names), {"edges": 0, "altered": 0}, 0
    with multiprocessing.get_context("spawn").Pool(int(os.environ.get("SURESTART_PROCS", "2"))) as pool:
        for kind, what, outcome in pool.imap_unordered(task, jobs):
            if kind == "queries":
                asked += outcome
                print(f"{what or 'Init, states':<28}{sum(q['result'] == 'proved' for q in outcome):>3}/{len(outcome)}"
                      f"{sum(q['seconds'] for q in outcome):>7.1f} s", flush=True)
            elif kind == "taken":
                problems += [f"no state of Inv lets {n} be taken" for n in outcome if n not in IMPOSSIBLE]
                problems += [f"a state of Inv lets {n} be taken" for n in IMPOSSIBLE if n not in outcome]
            elif kind == "edges":
                for name in counts:
                    counts[name] += outcome[0][name]
                problems += outcome[1]
                missed += len(outcome[1])
                unseen -= outcome[2]
            elif outcome:
                refuted += 1
                print(f"{kind} {what}: breaks {', '.join(outcome[0])}; {outcome[1]}", flush=True)
            else:
                problems.append(f"{kind} {what}: nothing breaks")
    print(f"edges: {counts['edges']} are steps, {counts['altered'] - missed} of {counts['altered']} altered ones are none; "
          f"there is none of {', '.join(sorted(unseen))}", flush=True)
    if mode != "quick":
        problems += [f"no edge of TLC's graphs is of the branch {n}" for n in unseen - IMPOSSIBLE]
    unproved = [f"{q['case']} x {q['name']} ({q['result']})" for q in asked if q["result"] != "proved"]
    problems += ["not proved: " + u for u in unproved]
    with open(report_path) as f:
        report = json.load(f)
    for name, more in (("queries", asked), ("unproved", unproved), ("problems", problems)):
        report[name] += more
    report["not_proved"] |= keeps.NOT_PROVED
    with open(report_path, "w") as f:
        json.dump(report, f, indent=1)
    print(f"CHECKED proof/delivery branches={len(names)} conjuncts={len(keeps.CONJUNCTS)} queries={len(asked)} "
          f"proved={len(asked) - len(unproved)} refuted={refuted} edges={counts['edges']} altered-rejected={counts['altered']}")
    print(f"proof: delivery took {time.time() - begin:.0f} s")
    for p in problems:
        print("FAILED: " + p, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
