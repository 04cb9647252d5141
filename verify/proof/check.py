"""Runs the proof and says what holds. See README.md; ./check proof calls this.

    python check.py quick|ci|deep REPORT EDGES...

EDGES are the files of edges that ./check proof has written. What is not proved is in the
report by name, on the screen, and in the exit status.
"""

import itertools
import json
import multiprocessing
import os
import sys
import time

import controls
import edgecheck
import guarantees
import pairs
import queries

# The seconds that a query may take. (On an idle machine most take some hundredths.)
LIMIT = {"quick": 40, "ci": 40, "deep": 200}

# The lines of a file of edges that pairs are drawn from.
ENOUGH = 60000

SYSTEM = None


def system():
    global SYSTEM
    SYSTEM = SYSTEM or queries.System()
    return SYSTEM


def task(job):
    """Runs one job, in a process of its own: from its kind and its subject to its outcome."""
    kind, what, limit = job
    if kind == "states":
        return kind, what, answers(system().states(), limit)
    if kind == "case":
        case = next(c for c in system().cases if c.name == what)
        return kind, what, answers([*system().keeps(case), *system().promises(case), *system().refines(case),
                                    *system().conditions(case)], limit)
    if kind == "weak":
        return kind, what, controls.weakened(what)
    if kind == "weak contract":
        return kind, what, controls.weak_contract(what)
    if kind == "weak progress":
        return kind, what, controls.weak_progress(what)
    if kind == "wrong contract":
        return kind, what, controls.wrong_contract(what, system())
    if kind == "left out":
        return kind, what, controls.left_out(what, system())
    if kind == "taken":
        return kind, what, controls.can_be_taken(system())
    with open(what) as lines:  # edges, pairs
        graph = edgecheck.Graph(itertools.islice(lines, ENOUGH) if kind == "pairs" else lines)
    try:
        if kind == "pairs":
            return kind, graph.head, pairs.check(graph)
        rel = edgecheck.Relations(graph.frame)
        outcome = edgecheck.check(graph, rel)
    except edgecheck.Failure as failure:
        return kind, graph.head, str(failure)
    told = [n for n, guards in controls.WEAK.items() if edgecheck.tells_apart(graph, rel, guards)] if limit else []
    return kind, graph.head, (*outcome, told)


def answers(asked, limit):
    found = []
    for q in asked:
        result, seconds = q.ask(limit)
        found.append(dict(kind=q.kind, action=q.action, case=q.case, name=q.name, guarantee=q.guarantee, result=result,
                          seconds=round(seconds, 2)))
    return found


def table(asked):
    """How many queries were proved, by action and by the kind of query."""
    kinds = ["lemma", "conjunct", "guarantee", "contract", "progress"]
    rows = {}
    for q in asked:
        row = rows.setdefault(q["action"], {k: [0, 0] for k in kinds} | {"seconds": 0.0})
        row[q["kind"]][0] += q["result"] == "proved"
        row[q["kind"]][1] += 1
        row["seconds"] += q["seconds"]
    print(f"{'action':<16}{'conjuncts kept':>16}{'guarantees':>14}{'contract':>10}{'progress':>10}{'seconds':>9}")
    for action, row in rows.items():
        cell = lambda k: f"{row[k][0]}/{row[k][1]}" if row[k][1] else ""
        print(f"{action:<16}{cell('conjunct') or cell('lemma'):>16}{cell('guarantee'):>14}{cell('contract'):>10}{cell('progress'):>10}{row['seconds']:>9.1f}")
    per = {}
    for q in asked:
        if q["guarantee"]:
            n = per.setdefault(q["guarantee"], [0, 0])
            n[0] += q["result"] == "proved"
            n[1] += 1
    for name, (proved, all_) in per.items():
        print(f"  {name:<24}{'proved' if proved == all_ else 'NOT PROVED'} ({proved}/{all_} queries)")


def main(mode, report_path, edge_files):
    begin = time.time()
    limit = LIMIT[mode]
    jobs = [("edges", f, mode != "quick") for f in edge_files] + [("taken", "", None)]  # the longest first
    if mode != "quick":
        jobs += [("left out", n, None) for n in system().inv if n not in controls.IDLE_CONJUNCTS]
    jobs += [("pairs", f, None) for f in edge_files] + [("states", "", limit)]
    jobs += [("case", c.name, limit) for c in system().cases]
    if mode != "quick":
        jobs += [(kind, n, None) for n in controls.WEAK for kind in ("weak", "weak contract")]
        jobs += [("weak progress", n, None) for n in controls.WEAK_PROGRESS]
        jobs += [("wrong contract", n, None) for n in controls.wrong_contracts(system())]
    done = {}
    with multiprocessing.get_context("spawn").Pool(int(os.environ.get("SURESTART_PROCS", "2"))) as pool:
        for i, (kind, what, outcome) in enumerate(pool.imap_unordered(task, jobs), 1):
            done.setdefault(kind, []).append((what, outcome))
            if i % 20 == 0 or i == len(jobs):
                print(f"proof: {i} of {len(jobs)} jobs, {time.time() - begin:.0f} s", flush=True)
    problems = []
    asked = [q for _, found in done["states"] + sorted(done["case"], key=order) for q in found]
    table(asked)
    unproved = [f"{q['case']} x {q['name']} ({q['result']})" for q in asked if q["result"] != "proved"]
    problems += ["not proved: " + u for u in unproved]

    total = {"edges": 0, "altered": 0, "rejected": 0, "solver": 0}
    seen, told = set(), set()
    for head, outcome in done["edges"]:
        if isinstance(outcome, str):
            problems.append(f"edges of {head['model']}: {outcome}")
            continue
        counts, per_case, per_variable, _, told_here = outcome
        print(f"edges of {head['model']}: {counts['edges']} of {head['steps']} from {counts['sources']} states satisfy Z3's relation, "
              f"it takes no other; {counts['rejected']} of {counts['altered']} altered ones are rejected"
              f" ({counts['are_edges']} are edges); Z3's solver agrees on {counts['solver']}")
        if not all(n > 0 for n in per_variable.values()) or len(per_variable) != len(edgecheck.NAMES):
            problems.append(f"edges of {head['model']}: not every variable was altered: {per_variable}")
        seen |= set(per_case)
        told |= set(told_here)
        for k in total:
            total[k] += counts[k]
    problems += [f"no edge of TLC's graph is of the branch {c.name}" for c in system().cases if c.name not in seen]

    compared, decided = {}, {}
    for head, outcome in done["pairs"]:
        if isinstance(outcome, str):
            problems.append(f"pairs of {head['model']}: {outcome}")
            continue
        for n, k in outcome[0].items():
            compared[n] = compared.get(n, 0) + k
        for n, k in outcome[1].items():
            decided[n] = decided.get(n, 0) + k
    if mode == "ci":  # where edges of every class are drawn
        problems += [f"no pair is decided by {n}" for n, k in decided.items() if k == 0 and n not in pairs.ALWAYS]
    problems += [f"a pair is decided by {n}, which is listed as always true" for n in pairs.ALWAYS if decided.get(n)]

    if mode != "quick":
        print(f"edges tell {len(told)} of {len(controls.WEAK)} weak guards from the algorithm's")
        problems += [f"the edges do not tell {name} from the algorithm" for name in controls.WEAK if name not in told]

    problems += [f"{name} is no branch" for name in controls.contract.BRANCHES if name not in {c.name for c in system().cases}]
    problems += [f"no state of Inv lets {name} be taken" for name in done["taken"][0][1]]
    refuted = {"weak": {}, "left out": {}}
    for kind, title in (("weak", "guard"), ("left out", "without")):
        for name, outcome in done.get(kind, []):
            hits = outcome if kind == "weak" else [outcome] if outcome else []
            refuted[kind][name] = [dict(breaks=b, where=w) for b, w in hits]
            broken = sorted({b for hit, _ in hits for b in hit})
            print(f"{title} {name}: " + (f"breaks {', '.join(broken)}" if hits else "NOT NOTICED"))
            if not hits:
                problems.append(f"{title} {name}: nothing breaks")
    for name, hit in done.get("weak contract", []):
        print(f"guard {name}: " + (f"not a step of the contract: {hit[1].split(' ')[0]}" if hit
                                   else f"the contract does not see it: {controls.INVISIBLE.get(name)}"))
        if bool(hit) == (name in controls.INVISIBLE):
            problems.append(f"guard {name}: whether the contract sees it is not as listed in controls.INVISIBLE")
    for name, hit in done.get("weak progress", []):
        print(f"guard {name}: " + (f"breaks {', '.join(hit[0])} of Progress.tla" if hit else "NOT NOTICED by progress"))
        if not hit:
            problems.append(f"guard {name}: no condition of progress breaks")
    wrong = 0
    for what, hit in done.get("wrong contract", []):
        wrong += bool(hit)
        if not hit:
            problems.append(f"not noticed: the contract with another {what}")

    actions = {q["action"] for q in asked if q["action"] not in ("lemma", "Init", "state")}
    with open(report_path, "w") as f:
        json.dump(dict(mode=mode, unproved=unproved, not_proved=guarantees.NOT_PROVED, problems=problems, actions=len(actions), conjuncts=list(system().inv),
                       queries=asked, edges=[dict(head=h, outcome=o if isinstance(o, str) else o[0]) for h, o in done["edges"]],
                       weak=refuted["weak"], weak_contract=dict(done.get("weak contract", [])),
                       weak_progress=dict(done.get("weak progress", [])), left_out=refuted["left out"],
                       seconds=round(time.time() - begin)), f, indent=1)
    proved = sum(q["result"] == "proved" for q in asked)
    print(f"CHECKED proof actions={len(actions)} branches={len(system().cases)} conjuncts={len(system().inv)} "
          f"queries={len(asked)} proved={proved} edges={total['edges']} altered-rejected={total['rejected']} "
          f"weak-refuted={sum(map(bool, refuted['weak'].values()))} left-out-refuted={sum(map(bool, refuted['left out'].values()))}")
    print(f"CHECKED proof tla formulas={len(pairs.names())} pairs={compared.get('pairs', 0)} true={compared.get('true', 0)} "
          f"false={compared.get('false', 0)} parts-decide={sum(k > 0 for k in decided.values())}")
    for kind, more in (("contract", f" wrong-refuted={wrong}"), ("progress", "")):
        results = [q["result"] for q in asked if q["kind"] == kind]
        print(f"CHECKED proof {kind} queries={len(results)} proved={results.count('proved')} "
              f"weak-refuted={sum(bool(hit) for _, hit in done.get('weak ' + kind, []))}{more}")
    for p in problems:
        print("FAILED: " + p, file=sys.stderr)
    return 1 if problems else 0


def order(entry):
    return [c.name for c in system().cases].index(entry[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
