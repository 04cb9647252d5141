"""G1 to G11 and G13 as in tla/Guarantees.tla: NoLeak of a state, the others of a step.
Of G12 ProgressAwaited, a state; progress.py has the rest.

Each is a list of named parts, one for each conjunct of the TLA+, so that the
report can say which part of a guarantee was proved. s is the state before the
step, t the one after it (the primed variables); step(action, parameter) is the
action as a relation of s and t. Cardinality(Using(g)) is card(g).
"""

from z3 import And, If, Implies, Not, Or

from model import (FATE, MACHINE, NParts, OF_ATTEMPT, OP, PC, ST, SUPERVISION, Result, Retries, all_attempts, all_callers,
                   joined, one_of, some_caller, stopper, using)

# What the proof leaves out of a guarantee, for the report.
NOT_PROVED = {"Rollback": "the order of the releases (TLC)",
              "Progress": "that these conditions imply it is an argument, which no program checks (tla/Progress.tla)"}


def answered(s, t, c):
    return And(s.out(c) == Result.none, t.out(c) != Result.none)


def leaves(s, t, c, place):
    return And(s.pc(c) == PC[place], t.pc(c) != PC[place])


def same(s, t, *names):
    return And([getattr(t, n) == getattr(s, n) for n in names])


def same_at(s, t, x, *names):
    return And([getattr(t, n)(x) == getattr(s, n)(x) for n in names])


def same_attempts(s, t, *names):
    return all_attempts(lambda g: same_at(s, t, g, *(names or OF_ATTEMPT)))


def same_callers(s, t):
    return all_callers(lambda c: same_at(s, t, c, "pc", "on", "ended", "out"))


def others_same(s, t, c):
    return all_callers(lambda d: Implies(d != c, same_at(s, t, d, "pc", "on", "out")))


def quiet(s, t, c):
    return And(same(s, t, *MACHINE, *SUPERVISION), same_attempts(s, t), others_same(s, t, c))


def nothing_held(s):
    return all_attempts(lambda g: s.held(g) == 0)


def nothing_runs(s):
    return all_attempts(lambda g: s.op(g) == OP["none"])


def nobody(s, who, g):
    return all_callers(lambda c: Not(who(s, g, c)))


def only(s, who, g, c):
    return all_callers(lambda d: who(s, g, d) == (d == c))


def is_open(s, g):
    return And(g >= 1, s.open(g), s.held(g) == NParts, s.op(g) == OP["none"])


def SingleFlight(s, t, step):
    yield "one", all_attempts(lambda g: Implies(t.op(g) != OP["none"], g == t.gen))
    yield "runs", one_of(t.st, ST, "Starting", "Stopping") == Not(nothing_runs(t))
    yield "begins", Implies(t.gen != s.gen, And(
        t.gen == s.gen + 1, s.op(t.gen) == OP["none"], t.op(t.gen) == OP["open"],
        one_of(s.st, ST, "Idle", "Stopping"), nothing_held(t)))
    yield "opens once", all_attempts(lambda g: Implies(
        And(s.op(g) != OP["open"], t.op(g) == OP["open"]),
        And(t.gen == g, Or(t.gen != s.gen, s.op(g) == OP["release"]))))
    yield "joins", all_callers(lambda c: Implies(
        And(leaves(s, t, c, "enter"), one_of(s.st, ST, "Idle", "Starting"), Not(s.closing), Not(s.ended(c))),
        And(t.pc(c) == PC["wait"], t.on(c) == If(s.due, s.gen + 1, t.gen), t.out(c) == Result.none)))
    yield "same answer", all_attempts(lambda g: Implies(
        And(s.op(g) != OP["none"], t.op(g) == OP["none"]),
        all_callers(lambda c: all_callers(lambda d: Implies(
            And(joined(s, g, c), joined(s, g, d)), And(answered(s, t, c), t.out(c) == t.out(d)))))))


def Idempotence(s, t, step):
    yield "", all_callers(lambda c: Implies(
        Or(And(leaves(s, t, c, "start"), s.st == ST["Started"]),
           And(leaves(s, t, c, "enter"), s.st == ST["Started"]),
           And(leaves(s, t, c, "stop"), one_of(s.st, ST, "Idle", "Closed")),
           And(leaves(s, t, c, "shut"), s.st == ST["Closed"])),
        And(t.out(c) == Result.ok, If(s.due, And(same(s, t, *MACHINE), same_attempts(s, t)), quiet(s, t, c)))))


def StartedIsOpen(s, t, step):
    yield "whole", Implies(t.st == ST["Started"], is_open(t, t.gen))
    yield "gate", all_attempts(lambda g: Implies(t.open(g), And(t.st == ST["Started"], g == t.gen)))
    yield "nil", all_callers(lambda c: Implies(
        And(one_of(s.pc(c), PC, "start", "enter", "wait"), answered(s, t, c), t.out(c) == Result.ok),
        t.st == ST["Started"]))


def Rollback(s, t, step):
    yield "parts", all_attempts(lambda g: Implies(t.held(g) != s.held(g), Or(
        And(s.op(g) == OP["open"], t.held(g) == s.held(g) + 1),
        And(s.op(g) == OP["release"], s.held(g) != 0, t.held(g) == s.held(g) - 1))))
    yield "opened or released", all_attempts(lambda g: Implies(
        And(s.op(g) == OP["open"], t.op(g) != OP["open"]), Or(t.op(g) == OP["release"], t.st == ST["Started"])))
    yield "to the end", all_attempts(lambda g: Implies(
        And(s.op(g) == OP["release"], t.op(g) != OP["release"]),
        And(t.op(g) == If(s.st == ST["Starting"], OP["open"], OP["none"]), s.held(g) == 0)))
    yield "next try", all_attempts(lambda g: Implies(
        And(t.op(g) == OP["open"], s.op(g) != OP["open"]), And(t.held(g) == 0, Not(t.relerr(g)))))
    yield "told last", all_attempts(lambda g: all_callers(lambda c: Implies(
        And(joined(s, g, c), answered(s, t, c), t.out(c) != Result.ok, t.out(c) != Result.context),
        And(t.op(g) == OP["none"], t.held(g) == 0))))
    yield "then", Implies(And(s.st == ST["Stopping"], t.st != ST["Stopping"]), And(
        nothing_held(t), If(s.closing, t.st == ST["Closed"], one_of(t.st, ST, "Idle", "Starting"))))


def NoStaleFailure(s, t, step):
    yield "joins", all_callers(lambda c: Implies(
        And(leaves(s, t, c, "enter"), t.pc(c) == PC["wait"]),
        Or(And(t.st == ST["Starting"], t.on(c) == t.gen),
           And(Or(t.st == ST["Stopping"], t.due), t.on(c) == t.gen + 1))))
    yield "stays", all_callers(lambda c: Implies(
        And(s.pc(c) == PC["wait"], t.pc(c) == PC["wait"]), t.on(c) == s.on(c)))
    yield "own error", all_callers(lambda c: Implies(
        And(answered(s, t, c), Result.is_failed(t.out(c))),
        And(s.pc(c) == PC["wait"], s.on(c) == Result.attempt(t.out(c)), s.fate(s.on(c)) == FATE["failed"])))
    yield "fresh", Implies(t.st == ST["Starting"], t.fate(t.gen) == FATE["none"])
    yield "next", Implies(And(s.st == ST["Stopping"], t.st != ST["Stopping"]), all_callers(lambda c: Implies(
        joined(s, s.gen + 1, c), And(Or(t.due, And(t.st == ST["Starting"], t.gen == s.gen + 1)), t.out(c) == Result.none))))


def NoForeignCancellation(s, t, step):
    yield "leaves alone", all_callers(lambda c: Implies(
        And(answered(s, t, c), t.out(c) == Result.context),
        And(s.ended(c), Implies(one_of(s.pc(c), PC, "enter", "wait"), Or(
            quiet(s, t, c),
            And(s.st == ST["Starting"], t.st == ST["Stopping"], only(s, joined, s.gen, c), Not(s.again),
                others_same(s, t, c)))))))
    yield "ended opens nothing", all_callers(lambda c: Implies(
        And(leaves(s, t, c, "enter"), s.ended(c)), And(quiet(s, t, c), t.pc(c) == PC["done"])))
    yield "nobody joins", all_callers(lambda c: Implies(
        And(s.pc(c) != PC["wait"], t.pc(c) == PC["wait"]), (t.on(c) == t.gen + 1) == Or(t.st == ST["Stopping"], t.due)))
    yield "wanted", Implies(t.st == ST["Starting"], Or(some_caller(lambda c: joined(t, t.gen, c)), t.again))
    fate = t.fate(s.gen)
    yield "cancelled by", Implies(
        And(s.st == ST["Starting"], t.st == ST["Stopping"]),
        If(fate == FATE["abandoned"], And(nobody(t, joined, t.gen), Not(s.again)),
           If(fate == FATE["stopped"], some_caller(lambda c: leaves(s, t, c, "stop")),
              If(fate == FATE["closed"], some_caller(lambda c: leaves(s, t, c, "shut")),
                 And(fate == FATE["failed"], same_callers(s, t))))))
    yield "from Starting", Implies(s.st == ST["Starting"], one_of(t.st, ST, "Starting", "Started", "Stopping"))
    yield "from Stopping", Implies(s.st == ST["Stopping"], t.st != ST["Started"])
    yield "not tried again", all_attempts(lambda g: Implies(
        And(s.op(g) == OP["release"], t.op(g) == OP["open"]), s.st == ST["Starting"]))
    yield "cancelled is Stopping", all_attempts(lambda g: Implies(
        t.fate(g) != FATE["none"], And(t.st == ST["Stopping"], g == t.gen)))
    yield "one fate", all_attempts(lambda g: Implies(
        And(s.fate(g) != FATE["none"], t.fate(g) != s.fate(g)), t.op(g) == OP["none"]))


def NoLeak(s):
    yield "at rest", Implies(one_of(s.st, ST, "Idle", "Closed"), And(nothing_held(s), nothing_runs(s)))
    yield "started", Implies(s.st == ST["Started"], nothing_runs(s))
    yield "due", Implies(s.due, one_of(s.st, ST, "Stopping", "Idle"))
    yield "others", all_attempts(lambda g: Implies(
        g != s.gen, And(s.held(g) == 0, s.op(g) == OP["none"], Not(s.open(g)))))


def StopWins(s, t, step):
    for place, wait, name in [("stop", "stopwait", "stopped"), ("shut", "shutwait", "closed")]:
        yield place, all_callers(lambda c: Implies(
            And(leaves(s, t, c, place), one_of(s.st, ST, "Starting", "Started", "Stopping")),
            And(t.st == ST["Stopping"], t.out(c) == Result.none, t.on(c) == s.gen, t.pc(c) == PC[wait],
                Implies(s.st == ST["Starting"], t.fate(s.gen) == FATE[name]))))
        yield place + ", those who wait", all_callers(lambda c: all_callers(lambda d: Implies(
            And(leaves(s, t, c, place), joined(s, s.gen + 1, d)), t.out(d) == getattr(Result, name))))
    for name in ("stopped", "closed"):
        yield "told " + name, all_callers(lambda c: Implies(
            And(s.pc(c) == PC["wait"], answered(s, t, c), s.on(c) >= 1, s.fate(s.on(c)) == FATE[name]),
            Or(t.out(c) == getattr(Result, name), t.out(c) == Result.context)))
    yield "nothing held", all_callers(lambda c: Implies(
        And(one_of(s.pc(c), PC, "stop", "shut", "stopwait", "shutwait"), answered(s, t, c),
            Or(t.out(c) == Result.ok, t.out(c) == Result.relerr)), nothing_held(t)))


def RestartUntilStop(s, t, step):
    stops = some_caller(lambda c: Or(leaves(s, t, c, "stop"), leaves(s, t, c, "shut")))
    untouched = lambda c: And(same_at(s, t, c, "pc", "on", "out"), Not(joined(s, s.gen + 1, c)))
    yield "due by", Implies(And(Not(s.due), t.due), Or(
        And(s.st == ST["Started"], t.st == ST["Stopping"], t.fails != s.fails),
        And(s.again, s.st == ST["Stopping"], s.fate(s.gen) == FATE["failed"], t.st == ST["Idle"])))
    yield "begins", Implies(And(Not(s.again), t.again),
                            And(s.due, Not(t.due), s.st == ST["Idle"], t.restarts == s.restarts + 1))
    yield "nobody else", Implies(And(s.due, t.gen != s.gen),
                                 And(s.st == ST["Idle"], Not(t.due), Or(t.again, t.restarts == 0)))
    yield "due until", Implies(And(s.due, Not(t.due)), Or(
        t.gen != s.gen, stops, And(s.st == ST["Idle"], t.restarts == 0, all_callers(untouched))))
    yield "again until", Implies(And(s.again, Not(t.again)), Or(t.st != ST["Starting"], t.gen != s.gen))
    yield "failed", Implies(And(s.again, s.st == ST["Stopping"], t.st == ST["Idle"], s.fate(s.gen) == FATE["failed"]), t.due)
    yield "called off", Implies(stops, And(Not(t.due), Not(t.again), t.restarts == 0))
    yield "counted", Or(t.restarts == s.restarts, t.restarts == s.restarts + 1, t.restarts == 0)


def cuts_short(s, c, g):
    return And(s.op(g) == OP["drain"], Not(s.forced(g)), some_caller(lambda d: using(s, g, d)),
               Or(s.pc(c) == PC["shutwait"], only(s, stopper, g, c)))


def DrainFirst(s, t, step):
    yield "drained", all_attempts(lambda g: Implies(
        And(s.op(g) != OP["release"], t.op(g) == OP["release"]),
        Or(s.op(g) == OP["open"], And(s.op(g) == OP["drain"], Or(nobody(s, using, g), s.forced(g))))))
    yield "closes into drain", all_attempts(lambda g: Implies(And(s.open(g), Not(t.open(g))), t.op(g) == OP["drain"]))
    yield "forced by", all_attempts(lambda g: Implies(And(Not(s.forced(g)), t.forced(g)), Or(
        And(s.st == ST["Started"], t.fails != s.fails),
        some_caller(lambda c: And(stopper(s, g, c), answered(s, t, c), cuts_short(s, c, g))))))
    yield "forced until", all_attempts(lambda g: Implies(And(s.forced(g), Not(t.forced(g))), t.op(g) == OP["none"]))
    yield "decided before", all_attempts(lambda g: Implies(
        t.forced(g) != s.forced(g), Or(s.op(g) != OP["release"], t.op(g) == OP["none"])))
    yield "told", all_attempts(lambda g: all_callers(lambda c: Implies(
        And(stopper(s, g, c), answered(s, t, c)),
        If(t.op(g) == OP["none"], t.out(c) == If(s.relerr(g), Result.relerr, Result.ok),
           And(s.ended(c), If(cuts_short(s, c, g), And(t.forced(g), t.out(c) == Result.cut(s.card(g))),
                              And(t.forced(g) == s.forced(g), t.out(c) == Result.context)))))))


def UseOnlyStarted(s, t, step):
    yield "admitted", all_callers(lambda c: Implies(
        And(s.pc(c) != PC["using"], t.pc(c) == PC["using"]), And(s.st == ST["Started"], t.on(c) == s.gen)))
    yield "refused", all_callers(lambda c: Implies(
        And(one_of(s.pc(c), PC, "use", "add", "slow"), answered(s, t, c)),
        And(s.st != ST["Started"], t.out(c) == If(s.closing, Result.closed, Result.notstarted))))
    yield "dropped", all_callers(lambda c: Implies(
        And(s.pc(c) == PC["using"], t.pc(c) == PC["drop"]), Not(s.open(s.on(c)))))
    yield "counted", all_attempts(lambda g: t.inuse(g) == t.card(g))
    yield "whole", all_attempts(lambda g: Implies(
        And(s.op(g) != OP["open"], t.held(g) != s.held(g)), Or(nobody(s, using, g), s.forced(g))))


def CloseIsFinal(s, t, step):
    yield "no attempt", Implies(s.closing, And(t.closing, t.gen == s.gen))
    yield "closing", Implies(t.closing, And(one_of(t.st, ST, "Stopping", "Closed"), Not(t.due)))
    yield "closed", Implies(s.st == ST["Closed"], And(same(s, t, "st", "closing"), same_attempts(s, t, "op", "held", "open")))
    yield "refused", all_callers(lambda c: Implies(And(leaves(s, t, c, "enter"), s.closing), t.out(c) == Result.closed))
    yield "called", all_callers(lambda c: Implies(leaves(s, t, c, "shut"), t.closing))
    yield "nil", all_callers(lambda c: Implies(
        And(one_of(s.pc(c), PC, "shut", "shutwait"), answered(s, t, c), t.out(c) == Result.ok),
        And(t.st == ST["Closed"], nothing_held(t))))


def OwnGeneration(s, t, step):
    begun = lambda p: all_attempts(lambda g: Implies(g <= s.gen, p(g)))
    fail = lambda g: step("Fail", g)
    end = lambda c: Or(step("UseEnd", c), step("UseDrop", c))
    yield "late report", begun(lambda g: Implies(
        And(fail(g), Or(g != s.gen, Not(one_of(s.st, ST, "Starting", "Started")), s.op(g) == OP["release"])),
        And(same(s, t, *MACHINE, *SUPERVISION, "calls"), same_attempts(s, t), same_callers(s, t))))
    yield "report while opening", begun(lambda g: Implies(
        And(fail(g), g == s.gen, s.st == ST["Starting"], s.op(g) == OP["open"]),
        If(Retries, And(t.reported(g), same(s, t, *MACHINE, *SUPERVISION), same_callers(s, t)),
           And(t.st == ST["Stopping"], t.fate(g) == FATE["failed"]))))
    yield "reported", all_attempts(lambda g: And(
        Implies(And(s.reported(g), t.op(g) != s.op(g)), t.op(g) == OP["release"]),
        Implies(t.reported(g), And(t.op(g) == OP["open"], Retries)),
        Implies(And(s.reported(g), Not(t.reported(g))), t.op(g) == OP["release"])))
    yield "report while running", begun(lambda g: Implies(
        And(fail(g), g == s.gen, s.st == ST["Started"]), And(t.st == ST["Stopping"], t.forced(g))))
    yield "old is over", all_attempts(lambda g: Implies(
        And(g != s.gen, g != t.gen), same_at(s, t, g, "op", "held", "reported", "fate", "open", "forced", "relerr")))
    yield "old uses", begun(lambda g: Implies(g != s.gen, t.inuse(g) <= s.inuse(g)))
    old = lambda p: all_callers(lambda c: Implies(
        And(one_of(s.pc(c), PC, "using", "drop"), s.on(c) != s.gen, end(c)), p(c)))
    yield "old end, others", old(lambda c: all_attempts(lambda g: Implies(g != s.on(c), t.inuse(g) == s.inuse(g))))
    yield "old end, own", old(lambda c: Or(quiet(s, t, c), t.inuse(s.on(c)) == s.inuse(s.on(c)) - 1))


def ProgressAwaited(s):
    yield "", all_callers(lambda c: Implies(
        And(one_of(s.pc(c), PC, "wait", "stopwait", "shutwait"), s.out(c) == Result.none),
        Or(And(s.on(c) == s.gen, s.op(s.gen) != OP["none"]),
           And(s.pc(c) == PC["wait"], s.on(c) == s.gen + 1, Or(s.st == ST["Stopping"], s.due)))))


OF_STATE = {"NoLeak": NoLeak, "ProgressAwaited": ProgressAwaited}
OF_STEP = {f.__name__: f for f in (
    SingleFlight, Idempotence, StartedIsOpen, Rollback, NoStaleFailure, NoForeignCancellation, StopWins,
    RestartUntilStop, DrainFirst, UseOnlyStarted, CloseIsFinal, OwnGeneration)}
