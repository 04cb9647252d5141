"""Z3's formulas are the TLA+'s: both have the same value at the same pairs of states.

    python pairs.py EDGES... (TLC_JAR is TLC's jar)

The pairs are steps of TLC's graph, the same with a variable or two altered in the state
before, in the one after, or in both, and the algorithm's steps from altered states. Of many they are drawn such that each part
of each formula decides some: it alone makes the formula false there. So no part of
Z3's, and no conjunct of the TLA+'s, could be left out unnoticed, but for ALWAYS.

Compared are the guarantees, the conjuncts of Inv but TypeOK, the contract's Init and
Next under the mapping of tla/Refinement.tla, and the conditions of tla/Progress.tla.
TLC evaluates the TLA+ (tla/Pairs.tla), compiled() the formulas that Z3 proves.
"""

import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

import z3

import actions
import contract
import edgecheck
import evaluate
import guarantees
import invariant
import progress
from edgecheck import NAMES, S, T
from model import OF_ATTEMPT, SCALARS, VARIABLES, Caller, all_attempts, all_callers, initial

TLA = pathlib.Path(__file__).resolve().parents[2] / "tla"
DECIDED = 3  # by each part, so many pairs at least, if they are found
NOT_COMPARED = ("TypeOK",)  # speaks of the model's bounds
# Parts and conjuncts that hold of every pair: an action that they name says as much.
ALWAYS = {*(f"OwnGeneration ({part})" for part in ("report while opening", "report while running", "old end, others", "old end, own")),
          "OwnGeneration, conjunct 5", "UseCanEnd", "TryCanEnd", "UseGetsOn", "ReleaseGetsOn", "BetweenGetsOn", "BackoffEnds"}


class Formula:
    """A formula that both have: the TLA+ as a list of conjuncts, Z3's as a list of named parts."""

    def __init__(self, name, tla, parts):
        self.name, self.tla, self.parts = name, tla, parts


def conjuncts(text, name):
    """The action in the box of a guarantee, [][...]_vars, as its conjuncts' texts."""
    body = re.search(rf"^{name} == \[\]\[\n(.*?)\n    \]_vars$", text, re.M | re.S).group(1)
    prefix, bullet = "", r"^    /\\ "
    if not body.startswith("    /\\ "):
        first, rest = body.split("\n", 1)
        if not rest.startswith("       /\\ "):
            return [body]
        prefix, bullet, body = first + "\n", r"^       /\\ ", rest
    starts = [m.start() for m in re.finditer(bullet, body, re.M)] + [len(body)]
    return [prefix + body[a:b].rstrip() for a, b in zip(starts, starts[1:])]


def formulas():
    text = (TLA / "Guarantees.tla").read_text()
    cases = actions.cases()
    of = lambda names: [c for c in cases if c.action in names]
    step = lambda action, p: z3.Or([c.relation(S, T, p) for c in of([action])])
    can = lambda names, p: z3.Or([c.enabled(S, p) for c in of(names)])
    for name, f in guarantees.OF_STEP.items():
        yield Formula(name, conjuncts(text, name), list(f(S, T, step)))
    for name, f in guarantees.OF_STATE.items():
        yield Formula(name, [name], list(f(S)))
    for name, f in invariant.CONJUNCTS.items():
        if name not in NOT_COMPARED:
            yield Formula(name, [name], [("", f(S))])
    a, b = contract.Seen(S), contract.Seen(T)
    yield Formula("Init", ["Init"], [("", initial(S))])
    yield Formula("A!Init", ["A!Init"], [("", contract.begins(a))])
    yield Formula("A!Next", ["A!Next \\/ (A!vars)' = A!vars"], [("", contract.keeps(a, b))])
    for name, f in progress.OF_STATE.items():
        yield Formula(name, [name], [("", f(S, can))])
    for name, f in progress.EVERY.items():
        yield Formula(name, [name], [("", f(S, T))])
    for name, (names, f) in progress.BY.items():
        each = all_callers if of(names)[0].of == "caller" else all_attempts
        yield Formula(name, [name], [("", each(lambda p: z3.Implies(
            z3.Or([step(action, p) for action in names]), f(S, T, p))))])


def names():
    return [f.name for f in formulas()]


class Values:
    """The values of the parts of all formulas at a pair."""

    def __init__(self, all_, frame):
        self.parts = [(f.name, part, evaluate.compiled(goal, frame)) for f in all_ for part, goal in f.parts]

    def at(self, s, t):
        return [bool(holds(s, t, None)) for _, _, holds in self.parts]


def deciding(owners, values):
    """The parts that alone make the formula that owns them false."""
    false = {}
    for i, (owner, value) in enumerate(zip(owners, values)):
        if not value:
            false.setdefault(owner, []).append(i)
    return [only[0] for only in false.values() if len(only) == 1]


class Steps:
    """The algorithm's steps from any state, also one that it does not reach."""

    def __init__(self, graph):
        self.graph, self.all = graph, []
        g, c = z3.Int("g"), z3.Const("c", Caller)
        for case in actions.cases():
            p, can = case.parameter(), evaluate.compiled(case.enabled(S, case.parameter()), graph.frame)
            value = lambda name, v: v if name in SCALARS else z3.Lambda([x := g if name in OF_ATTEMPT else c], v(x))
            assigned = {name: evaluate.compiled(value(name, v), graph.frame) for name, v in case.assign(S, p).items()}
            self.all.append((case, can, assigned))

    def some(self, s, rng):
        """One that stays within the attempts that there are, or None."""
        case, p, assigned = rng.choice([(case, p, assigned) for case, can, assigned in self.all
                                        for p in self.graph.parameters(case) if can(s, None, p)])
        t = [assigned[name](s, None, p) if name in assigned else v for name, v in zip(VARIABLES, s)]
        last = self.graph.frame.attempts
        around = lambda state: [(v[0], v[last + 1:]) for name, v in zip(VARIABLES, state) if name in OF_ATTEMPT]
        within = t[NAMES.index("gen")] <= last and min(t[NAMES.index("inuse")]) >= 0 and around(t) == around(s)
        return t if within else None


def candidates(graph, rng, n):
    edges = [(i, to) for i, out in graph.out.items() for _, _, to in out]
    steps = Steps(graph)

    def altered(state, times, names=NAMES):
        for _ in range(times):
            state = edgecheck.alterations(state, graph, rng, names)[1]
        return state

    for i, to in rng.sample(edges, min(n, len(edges))):
        s, t = graph.states[i], graph.states[to]
        yield s, t
        for before, after in ((0, 1), (0, 2), (1, 0), (1, 1), (2, 2)):
            yield altered(s, before), altered(t, after)
        for before in (0, 1):
            yield altered(s, before, ["pc"]), altered(t, 1, ["pc"])
        for before, after in ((1, 0), (2, 0), (3, 0), (2, 1)):
            a = altered(s, before)
            b = steps.some(a, rng)
            if b:
                yield a, altered(b, after)


def draw(graph, all_, n=1500, at_random=300):
    """Pairs and the values of the parts there: enough for each part to decide some."""
    rng = random.Random(1)
    values = Values(all_, graph.frame)
    owners = [owner for owner, _, _ in values.parts]
    decided, drawn, seen = [0] * len(owners), [], 0
    for s, t in candidates(graph, rng, n):
        got, seen = values.at(s, t), seen + 1
        new = [i for i in deciding(owners, got) if decided[i] < DECIDED]
        if new or seen <= at_random:
            drawn.append((s, t, got))
            for i in new:
                decided[i] += 1
    return drawn, values.parts


# TLC's side.

def tla(v, kind):
    if isinstance(v, bool):
        return str(v).upper()
    if kind == "out":
        name = evaluate.CONSTRUCTORS[v[0]]
        name = {b: a for a, b in evaluate.NAMED.items()}.get(name, name)
        return f'<<"{name}", {v[1]}>>'
    if kind in evaluate.NUMBER:
        return '"' + list(evaluate.NUMBER[kind])[v] + '"'
    return str(v)


def row(state, frame):
    cells = []
    for name, v in zip(VARIABLES, state):
        if name in SCALARS:
            cells.append(tla(v, name))
        else:
            column = v[1:frame.attempts + 1] if name in OF_ATTEMPT else v
            cells.append("<<" + ", ".join(tla(x, name) for x in column) + ">>")
    return "<<" + ", ".join(cells) + ">>"


def module(drawn, all_, frame):
    numbers, rows, pairs = {}, [], []

    def number(state):
        text = row(state, frame)
        if text not in numbers:
            numbers[text] = len(rows) + 1
            rows.append(text)
        return numbers[text]

    for s, t, _ in drawn:
        pairs.append(f"<<{number(s)}, {number(t)}>>")
    named = [(f"{f.name.replace('!', '')}{i}", text) for f in all_ for i, text in enumerate(f.tla, 1)]
    return ("---- MODULE PairsData ----\nEXTENDS Inductive, Progress\n"
            f"LastAttempt == {frame.attempts}\nRows == <<\n" + ",\n".join(rows) + ">>\n"
            "PairList == <<\n" + ",\n".join(pairs) + ">>\n" + "".join(f"{name} ==\n{text}\n" for name, text in named) +
            "Values == <<" + ", ".join(name for name, _ in named) + ">>\n====\n")


CONFIG = """INIT PairsInit
NEXT PairsNext
CONSTANTS
    Callers = {{{callers}}}
    NParts = {parts}
    Retries = {retries}
    MaxRestarts = {restarts}
    MaxCalls = 1000000
    MaxFails = 1000000
    MaxGen <- LastAttempt
    Samples = 0
"""


def ask_tlc(text, frame, pairs):
    """The values that TLC finds at each pair."""
    with tempfile.TemporaryDirectory(prefix="surestart-pairs") as folder:
        folder = pathlib.Path(folder)
        for file in ("Abstract", "Algorithm", "Guarantees", "Refinement", "Inductive", "Progress", "Pairs"):
            shutil.copy(TLA / f"{file}.tla", folder)
        (folder / "PairsData.tla").write_text(text)
        (folder / "Pairs.cfg").write_text(CONFIG.format(
            callers=", ".join(str(c + 1) for c in range(frame.callers)), parts=frame.parts,
            retries=str(frame.retries).upper(), restarts=frame.restarts))
        said = subprocess.run(
            ["java", "-XX:+UseParallelGC", "-Xss64m", "-Xmx1g", f"-Djava.io.tmpdir={folder}", "-cp", os.environ["TLC_JAR"],
             "tlc2.TLC", "-workers", "1", "-deadlock", "-metadir", str(folder / "meta"), "-config", "Pairs.cfg", "Pairs"],
            cwd=folder, capture_output=True, text=True).stdout
    found = {}
    for m in re.finditer(r'^"<<(\d+), <<([A-Z, ]+)>>>>"$', said, re.M):
        found[int(m[1])] = [word == "TRUE" for word in m[2].split(", ")]
    if sorted(found) != list(range(1, pairs + 1)) or "No error has been found" not in said:
        raise edgecheck.Failure(f"TLC has evaluated {len(found)} of {pairs} pairs:\n{said[-3000:]}")
    return [found[n] for n in range(1, pairs + 1)]


def check(graph):
    """Returns what was compared. Raises Failure if a value differs."""
    all_ = list(formulas())
    drawn, parts = draw(graph, all_)
    answers = ask_tlc(module(drawn, all_, graph.frame), graph.frame, len(drawn))
    owners = [owner for owner, _, _ in parts]
    theirs = [f.name for f in all_ for _ in f.tla]
    name = lambda i: f"{parts[i][0]} ({parts[i][1]})" if parts[i][1] else parts[i][0]
    decided = {name(i): 0 for i in range(len(parts))}
    label = [f"{f.name}, conjunct {i + 1}" for f in all_ for i in range(len(f.tla))]
    decided |= dict.fromkeys(label, 0)
    values = {True: 0, False: 0}
    for n, ((s, t, ours), answer) in enumerate(zip(drawn, answers), 1):
        for f in all_:
            one = all(v for v, o in zip(ours, owners) if o == f.name)
            other = all(v for v, o in zip(answer, theirs) if o == f.name)
            values[one] += 1
            if one != other:
                raise edgecheck.Failure(f"{f.name} is {one} as Z3 has it and {other} in the TLA+ at pair {n}: {s} -> {t}")
        for i in deciding(owners, ours):
            decided[name(i)] += 1
        for i in deciding(theirs, answer):
            decided[label[i]] += 1
    for f in all_:
        if len(f.tla) == 1:  # as a conjunct it is the formula itself
            del decided[f"{f.name}, conjunct 1"]
    return dict(pairs=len(drawn), true=values[True], false=values[False]), decided


if __name__ == "__main__":
    import time
    for file in sys.argv[1:]:
        begin = time.time()
        with open(file) as lines:
            counts, decided = check(edgecheck.Graph(lines))
        print(counts, [n for n, k in decided.items() if k == 0 and n not in ALWAYS], round(time.time() - begin))
