"""Compares Z3's transition system with edges of TLC's graphs: every edge is a step of it, seen from each partition.

Not the reverse: Z3's system has more steps on purpose (partition.py says which). With one variable altered in a way that
no such step has, an edge must be none.
"""

import json

import z3

import partition
from partition import NONE, RUN, VERDICT, WIRE

NUMBERS = 5  # messages, and positions of a log and one more: a State of the Go model has room for four
ENUMS = {"run": list(RUN.values()), "wire": list(WIRE.values()), "verdict": list(VERDICT.values())}


def before_zero(values):
    return values[:values.index(0)] if 0 in values else values


def request(r):
    return r["Pid"], r["Epoch"], r["Seq"], tuple(before_zero(r["Messages"]))


class Concrete:
    """A state of the graph, as the partition p has it."""

    def __init__(self, s, p, ids):
        pt = s["Partitions"][p]
        batch = before_zero(pt["Batch"]["Messages"])
        self.log = [request(b) for b in pt["Log"] if b["Pid"]]
        self.late = {request(r) for r in s["Late"] if r["Pid"] and r["Part"] == p}
        self.current = {(pt["Pid"], pt["Epoch"], pt["Batch"]["Seq"], tuple(batch))} if batch else set()
        self.enums = {"run": s["Run"], "wire": pt["Wire"]}
        self.scalars = {"admitted": pt["Admitted"], "hasbatch": bool(batch), "seq": pt["Batch"]["Seq"], "len": len(batch),
                        "maybe": pt["Batch"]["Maybe"], "id": s["ID"], "pid": pt["Pid"], "epoch": pt["Epoch"],
                        "sequence": pt["Sequence"], "length": len(self.log), "safe": pt["Safe"]}
        self.sets = {"queue": before_zero(pt["Queue"]), "batch": batch}
        self.verdict = pt["Verdict"]
        self.of_id = {name: s[name.capitalize()][:ids] for name in ("highest", "floor")}

    def facts(self, v, names):
        """v has these values, where names are the constants of the requests. Ghosts have any."""
        for name, n in self.enums.items():
            yield getattr(v, name) == ENUMS[name][n]
        for name, value in self.scalars.items():
            yield getattr(v, name) == value
        for name, members in self.sets.items():
            for m in range(1, NUMBERS + 1):
                yield getattr(v, name)(z3.IntVal(m)) == (m in members)
        for m, n in enumerate(self.verdict, 1):
            yield v.verdict(z3.IntVal(m)) == ENUMS["verdict"][n]
        for name, values in self.of_id.items():
            for i, value in enumerate(values, 1):
                yield getattr(v, name)(z3.IntVal(i)) == value
        for r, c in names.items():
            yield v.late(c) == (r in self.late)
        for k, r in enumerate(self.log, 1):
            yield v.log(z3.IntVal(k)) == names[r]

    def altered(self):
        """Copies with one variable changed, each with its name."""
        def copy(name):
            c = object.__new__(Concrete)
            c.__dict__.update({n: dict(v) if isinstance(v, dict) else v for n, v in self.__dict__.items()})
            return name, c
        name, c = copy("run")
        c.enums["run"] = (c.enums["run"] + 1) % len(RUN)
        yield name, c
        name, c = copy("wire")
        c.enums["wire"] = 2 if c.enums["wire"] == 1 else 1  # written, or writing: no answer for another
        yield name, c
        for name in ("admitted", "id", "pid", "epoch", "safe"):
            name, c = copy(name)
            c.scalars[name] += 1
            yield name, c
        name, c = copy("maybe")
        c.scalars["maybe"] = not c.scalars["maybe"]
        yield name, c
        name, c = copy("verdict")
        c.verdict = [0 if v else 1 for v in c.verdict[:1]] + c.verdict[1:]
        yield name, c
        name, c = copy("queue")
        c.sets["queue"] = [m for m in range(1, NUMBERS) if m not in c.sets["queue"]]
        yield name, c


def check(path, part, parts):
    """The counts of edges and altered ones, what is wrong, and the branches that occur, of one of so many parts of the lines."""
    counts, problems, seen = {"edges": 0, "altered": 0}, [], set()
    with partition.small(NUMBERS):
        s = partition.symbolic()
        of = {}
        for case in partition.cases(s):
            of.setdefault(case.action, []).append((case, case.after(s)))
        with open(path) as lines:
            for number, line in enumerate(lines):
                if number % parts != part:
                    continue
                e = json.loads(line)
                for p in range(e["Parts"]):
                    one_edge(e, p, number, s, of, counts, problems, seen)
    return counts, problems, seen


def one_edge(e, p, number, s, of, counts, problems, seen):
    before, after = (Concrete(e[name], p, e["IDs"]) for name in ("From", "To"))
    own = e["Part"] in (-1, p)
    tuples = sorted(before.late | after.late | before.current | {*before.log, *after.log})
    names = {r: z3.Const(f"edge{i}", partition.Request) for i, r in enumerate(tuples)}
    solver = z3.Solver()
    solver.add(*before.facts(s, names), z3.Distinct(*names.values()) if len(names) > 1 else True)
    for (pid, epoch, seq, ms), c in names.items():
        for f, value in zip(partition.FIELDS.values(), (pid, epoch, seq, len(ms))):
            solver.add(f(c) == value)
        solver.add(*[partition.has(c, m) == (m in ms) for m in range(1, NUMBERS + 1)])
    if names:
        solver.add(z3.Or([partition.r0 == c for c in names.values()]))

    def step(case, view, to):
        solver.push()
        solver.add(case.guard, *to.facts(view, names))
        answer = solver.check()
        solver.pop()
        return answer == z3.sat

    candidates = of[e["Action"] if own else "Others"]
    taken = [case.name for case, view in candidates if step(case, view, after)]
    if not own and not taken:  # most of what another partition does is nothing to this one
        solver.push()
        solver.add(*after.facts(s, names))
        taken = ["nothing"] if solver.check() == z3.sat else []
        solver.pop()
    counts["edges"] += 1
    seen.update(taken)
    if not taken:
        problems.append(f"edge {number} of {e['Model']}, {e['Action']} seen from partition {p + 1}, is no step")
    if own and number // 4 % 4 == 0:
        for name, other in after.altered():
            counts["altered"] += 1
            for case, view in candidates:
                if step(case, view, other):
                    problems.append(f"edge {number} of {e['Model']}, {e['Action']}, with {name} altered is the step {case.name}")
