"""The actions of tla/Algorithm.tla in their order, each as its branches."""

from z3 import And, BoolVal, If, IntVal, Not, Or

from model import (FATE, MaxRestarts, NParts, OP, PC, ST, Case, Guards, Result, Retries, failed_again, joined, one_of,
                   some_caller, stopper)


def at(f, x, value):
    """[f EXCEPT ![x] = value]"""
    return lambda y: If(y == x, value, f(y))


def cases(guards=None):
    """All branches of all actions, under these guards (default: as specified)."""
    return Algorithm(guards or Guards()).cases


class Algorithm:
    def __init__(self, guards):
        self.k = guards
        self.cases = []
        for part in (self.calls, self.start, self.stop, self.operation, self.release, self.restart, self.use):
            part()

    def add(self, action, branch, of, guard, assign):
        self.cases.append(Case(action, branch, of, guard, assign))

    # Pieces of critical sections.

    @staticmethod
    def done(s, c, result):
        return {"pc": at(s.pc, c, PC["done"]), "out": at(s.out, c, result), "on": at(s.on, c, IntVal(0))}

    @staticmethod
    def begin_release(s, g, cut):
        return {"open": at(s.open, g, BoolVal(False)), "op": at(s.op, g, OP["drain"]),
                "forced": at(s.forced, g, BoolVal(cut))}

    @staticmethod
    def begin(s, restart):
        return {"st": ST["Starting"], "gen": s.gen + 1, "op": at(s.op, s.gen + 1, OP["open"]), "again": BoolVal(restart)}

    def call_off(self, s):
        return {"due": And(s.due, self.k.Forgets()), "again": And(s.again, self.k.KeepsOn()), "restarts": IntVal(0)}

    # A call begins, its context ends, it returns.

    def calls(self):
        for action, where in [("InvokeStart", "start"), ("InvokeStop", "stop"),
                              ("InvokeShutdown", "shut"), ("InvokeUse", "use")]:
            self.add(action, "", "caller", lambda s, c: s.pc(c) == PC["idle"],
                     lambda s, c, where=where: {"calls": s.calls + 1, "pc": at(s.pc, c, PC[where])})
        self.add("ContextEnds", "", "caller",
                 lambda s, c: And(one_of(s.pc(c), PC, "start", "enter", "stop", "shut", "wait", "stopwait", "shutwait"),
                                  s.out(c) == Result.none, Not(s.ended(c))),
                 lambda s, c: {"ended": at(s.ended, c, BoolVal(True))})
        self.add("Return", "", "caller", lambda s, c: s.out(c) != Result.none,
                 lambda s, c: {"pc": at(s.pc, c, PC["idle"]), "on": at(s.on, c, IntVal(0)),
                               "ended": at(s.ended, c, BoolVal(False)), "out": at(s.out, c, Result.none)})

    # Start.

    def start(self):
        k, of = self.k, "caller"
        here = lambda s, c: s.pc(c) == PC["start"]
        self.add("StartFast", "open", of, lambda s, c: And(here(s, c), k.FastPathOpen(s)),
                 lambda s, c: self.done(s, c, Result.ok))
        self.add("StartFast", "enter", of, lambda s, c: And(here(s, c), Not(k.FastPathOpen(s))),
                 lambda s, c: {"pc": at(s.pc, c, PC["enter"])})

        enter = lambda s, c: s.pc(c) == PC["enter"]
        waits = lambda s, c: And(enter(s, c), Not(k.FoundOpen(s)), Not(k.Final(s)), Not(s.ended(c)))
        self.add("StartEnter", "open", of, lambda s, c: And(enter(s, c), k.FoundOpen(s)),
                 lambda s, c: self.done(s, c, Result.ok))
        self.add("StartEnter", "closed", of, lambda s, c: And(enter(s, c), Not(k.FoundOpen(s)), k.Final(s)),
                 lambda s, c: self.done(s, c, Result.closed))
        self.add("StartEnter", "ended", of,
                 lambda s, c: And(enter(s, c), Not(k.FoundOpen(s)), Not(k.Final(s)), s.ended(c)),
                 lambda s, c: self.done(s, c, Result.context))
        self.add("StartEnter", "begin", of, lambda s, c: And(waits(s, c), k.MayBegin(s)),
                 lambda s, c: {"pc": at(s.pc, c, PC["wait"]), "on": at(s.on, c, s.gen + 1), **self.begin(s, False)})
        self.add("StartEnter", "join", of, lambda s, c: And(waits(s, c), Not(k.MayBegin(s)), k.MayJoin(s)),
                 lambda s, c: {"pc": at(s.pc, c, PC["wait"]), "on": at(s.on, c, s.gen)})
        self.add("StartEnter", "queue", of, lambda s, c: And(waits(s, c), Not(k.MayBegin(s)), Not(k.MayJoin(s))),
                 lambda s, c: {"pc": at(s.pc, c, PC["wait"]), "on": at(s.on, c, s.gen + 1)})

        leaves = lambda s, c: And(s.pc(c) == PC["wait"], k.MayLeave(s, c), s.out(c) == Result.none)
        last = lambda s, c: And(s.st == ST["Starting"], s.on(c) == s.gen, k.LastLeaves(s, c))
        self.add("StartLeave", "last", of, lambda s, c: And(leaves(s, c), last(s, c)),
                 lambda s, c: {**self.done(s, c, Result.context), "st": ST["Stopping"],
                               "fate": at(s.fate, s.gen, FATE["abandoned"])})
        self.add("StartLeave", "alone", of, lambda s, c: And(leaves(s, c), Not(last(s, c))),
                 lambda s, c: self.done(s, c, Result.context))

    # Stop and Shutdown.

    def stop(self):
        k, of = self.k, "caller"

        def begin_stop(action, here, where, fate, result, closing):
            """BeginStop, in each state that has something to stop."""
            def add(branch, st, assign):
                self.add(action, branch, of, lambda s, c: And(here(s, c), s.st == ST[st]),
                         lambda s, c: {"pc": at(s.pc, c, PC[where]), "on": at(s.on, c, s.gen), **closing, **self.call_off(s),
                                       **assign(s)})
            add("cancel", "Starting", lambda s: {"st": ST["Stopping"], "fate": at(s.fate, s.gen, FATE[fate])})
            add("close", "Started", lambda s: {"st": ST["Stopping"], **self.begin_release(s, s.gen, False)})
            add("join", "Stopping", lambda s: {"out": lambda d: If(k.Queued(s, d), result, s.out(d))})

        def nothing(s, c, result):
            told = lambda d: If(d == c, Result.ok, If(k.StopTells(s, d), result, s.out(d)))
            return {**self.done(s, c, Result.ok), "out": told, **self.call_off(s)}

        stop = lambda s, c: And(s.pc(c) == PC["stop"], k.StopSees(s))
        begin_stop("StopEnter", stop, "stopwait", "stopped", Result.stopped, {})
        self.add("StopEnter", "nothing", of, lambda s, c: And(s.pc(c) == PC["stop"], Not(k.StopSees(s))),
                 lambda s, c: nothing(s, c, Result.stopped))

        closing = {"closing": BoolVal(True)}
        rests = lambda s: one_of(s.st, ST, "Idle", "Closed")
        shut = lambda s, c: And(s.pc(c) == PC["shut"], Not(rests(s)))
        self.add("ShutdownEnter", "nothing", of, lambda s, c: And(s.pc(c) == PC["shut"], rests(s)),
                 lambda s, c: {**nothing(s, c, Result.closed), "st": ST["Closed"], **closing})
        begin_stop("ShutdownEnter", shut, "shutwait", "closed", Result.closed, closing)

        leaves = lambda s, c: And(one_of(s.pc(c), PC, "stopwait", "shutwait"), k.MayLeave(s, c), s.out(c) == Result.none)
        cut = lambda s, c: And(s.op(s.on(c)) == OP["drain"], Not(s.forced(s.on(c))), s.inuse(s.on(c)) > 0,
                               k.MayForce(s, c, s.on(c)))
        self.add("StopLeave", "cut", of, lambda s, c: And(leaves(s, c), cut(s, c)),
                 lambda s, c: {**self.done(s, c, Result.cut(s.inuse(s.on(c)))),
                               "forced": at(s.forced, s.on(c), BoolVal(True))})
        self.add("StopLeave", "alone", of, lambda s, c: And(leaves(s, c), Not(cut(s, c))),
                 lambda s, c: self.done(s, c, Result.context))

    # The operation: opening.

    def operation(self):
        k, of = self.k, "attempt"
        opens = lambda s, g: s.op(g) == OP["open"]
        cancel = lambda s, g: {"st": ST["Stopping"], "fate": at(s.fate, g, FATE["failed"])}
        self.add("OpenPart", "", of, lambda s, g: And(opens(s, g), s.held(g) < NParts),
                 lambda s, g: {"held": at(s.held, g, s.held(g) + 1)})
        succeeds = lambda s, g: And(opens(s, g), k.Complete(s, g), k.StillAlive(s, g))
        self.add("OpenOk", "kept", of, lambda s, g: And(succeeds(s, g), k.StillWanted(s, g)),
                 lambda s, g: {"st": ST["Started"], "cur": g, "again": BoolVal(False), "open": at(s.open, g, BoolVal(True)),
                               "op": at(s.op, g, OP["none"]),
                               "out": lambda c: If(joined(s, g, c), Result.ok, s.out(c))})
        self.add("OpenOk", "late", of, lambda s, g: And(succeeds(s, g), Not(k.StillWanted(s, g))),
                 lambda s, g: {"op": at(s.op, g, OP["release"])})
        current = lambda s, g: And(s.st == ST["Starting"], s.gen == g)
        fails = lambda s, g: {"op": at(s.op, g, OP["release"]), "reported": at(s.reported, g, BoolVal(False))}
        self.add("OpenErr", "failed", of, lambda s, g: And(opens(s, g), current(s, g)),
                 lambda s, g: {**fails(s, g), **cancel(s, g)})
        self.add("OpenErr", "late", of, lambda s, g: And(opens(s, g), Not(current(s, g))), fails)
        self.add("OpenRetry", "", of, lambda s, g: And(Retries, opens(s, g)), fails)
        self.add("TryAgain", "", of,
                 lambda s, g: And(s.op(g) == OP["release"], k.RolledBack(s, g), k.MayRetry(s, g)),
                 lambda s, g: {"op": at(s.op, g, OP["open"]), "relerr": at(s.relerr, g, BoolVal(False))})
        self.add("Timeout", "", of, current, cancel)

        begun = lambda s, g: g <= s.gen
        counts = lambda s: {"fails": s.fails + 1}
        opening = lambda s: And(s.st == ST["Starting"], s.op(s.gen) == OP["open"])
        early = lambda s, g: And(begun(s, g), opening(s), k.Current(s, g))
        self.add("Fail", "reported", of, lambda s, g: And(early(s, g), Retries),
                 lambda s, g: {**counts(s), "reported": at(s.reported, s.gen, BoolVal(True))})
        self.add("Fail", "opening", of, lambda s, g: And(early(s, g), Not(Retries)),
                 lambda s, g: {**counts(s), **cancel(s, s.gen)})
        self.add("Fail", "running", of, lambda s, g: And(begun(s, g), s.st == ST["Started"], k.Current(s, g)),
                 lambda s, g: {**counts(s), "st": ST["Stopping"], "due": MaxRestarts > 0,
                               **self.begin_release(s, s.gen, True)})
        self.add("Fail", "late", of,
                 lambda s, g: And(begun(s, g), Not(And(Or(opening(s), s.st == ST["Started"]), k.Current(s, g)))),
                 lambda s, g: counts(s))

    # The operation: draining and releasing.

    def release(self):
        k, of = self.k, "attempt"
        self.add("DrainEnd", "", of, lambda s, g: And(s.op(g) == OP["drain"], Or(k.Drained(s, g), s.forced(g))),
                 lambda s, g: {"op": at(s.op, g, OP["release"])})
        for action, bad in [("ReleaseOk", False), ("ReleaseErr", True)]:
            self.add(action, "", of, lambda s, g: And(s.op(g) == OP["release"], s.held(g) != 0),
                     lambda s, g, bad=bad: {"held": at(s.held, g, k.Undo(s.held(g))),
                                            "relerr": at(s.relerr, g, Or(s.relerr(g), bad))})

        def answers(s, g):
            told = If(s.fate(g) == FATE["failed"], Result.failed(g),
                      If(s.fate(g) == FATE["stopped"], Result.stopped,
                         If(s.fate(g) == FATE["closed"], Result.closed,
                            If(s.fate(g) == FATE["abandoned"], Result.abandoned, Result.none))))
            return lambda c: If(joined(s, g, c), told,
                                If(stopper(s, g, c), If(s.relerr(g), Result.relerr, Result.ok), s.out(c)))

        def ends(s, g, st):
            no = BoolVal(False)
            return {"st": ST[st], "cur": IntVal(0), "due": Or(s.due, failed_again(s, g)), "again": no, "op": at(s.op, g, OP["none"]), "fate": at(s.fate, g, FATE["none"]),
                    "forced": at(s.forced, g, no), "relerr": at(s.relerr, g, no), "out": answers(s, g)}

        finish = lambda s, g: And(s.op(g) == OP["release"], k.AllReleased(s, g), s.st == ST["Stopping"])
        queued = lambda s, g: And(some_caller(lambda c: k.Queued(s, c)), Not(k.WaitsFor(s, g)))
        self.add("Finish", "closed", of, lambda s, g: And(finish(s, g), k.Final(s)),
                 lambda s, g: ends(s, g, "Closed"))
        self.add("Finish", "next", of, lambda s, g: And(finish(s, g), Not(k.Final(s)), queued(s, g)),
                 lambda s, g: {**ends(s, g, "Starting"), "gen": s.gen + 1,
                               "op": at(at(s.op, g, OP["none"]), s.gen + 1, OP["open"])})
        self.add("Finish", "idle", of, lambda s, g: And(finish(s, g), Not(k.Final(s)), Not(queued(s, g))),
                 lambda s, g: ends(s, g, "Idle"))

    # What died is started again.

    def restart(self):
        k, of = self.k, "attempt"
        may = lambda s, g: And(s.st == ST["Idle"], s.due, g == s.gen)
        waiting = lambda s: some_caller(lambda c: k.GivesUpFor(s, c))
        over = {"due": BoolVal(False), "restarts": IntVal(0)}
        self.add("Restart", "", of, lambda s, g: And(may(s, g), s.restarts < MaxRestarts),
                 lambda s, g: {**self.begin(s, True), "due": BoolVal(False), "restarts": s.restarts + 1})
        self.add("GivesUp", "next", of, lambda s, g: And(may(s, g), waiting(s)), lambda s, g: {**self.begin(s, False), **over})
        self.add("GivesUp", "nobody", of, lambda s, g: And(may(s, g), Not(waiting(s))), lambda s, g: over)

    # Use, and Acquire with Release.

    def use(self):
        k, of = self.k, "caller"
        self.add("UseLoad", "none", of, lambda s, c: And(s.pc(c) == PC["use"], s.cur == 0),
                 lambda s, c: {"on": at(s.on, c, s.cur), "pc": at(s.pc, c, PC["slow"])})
        self.add("UseLoad", "gate", of, lambda s, c: And(s.pc(c) == PC["use"], s.cur != 0),
                 lambda s, c: {"on": at(s.on, c, s.cur), "pc": at(s.pc, c, PC["add"])})
        self.add("UseAdd", "admitted", of, lambda s, c: And(s.pc(c) == PC["add"], k.Admits(s, s.on(c))),
                 lambda s, c: {"inuse": at(s.inuse, s.on(c), s.inuse(s.on(c)) + 1), "pc": at(s.pc, c, PC["using"])})
        self.add("UseAdd", "refused", of, lambda s, c: And(s.pc(c) == PC["add"], Not(k.Admits(s, s.on(c)))),
                 lambda s, c: {"pc": at(s.pc, c, PC["slow"]), "on": at(s.on, c, IntVal(0))})
        self.add("UseSlow", "admitted", of, lambda s, c: And(s.pc(c) == PC["slow"], s.st == ST["Started"]),
                 lambda s, c: {"inuse": at(s.inuse, s.gen, s.inuse(s.gen) + 1), "pc": at(s.pc, c, PC["using"]),
                               "on": at(s.on, c, s.gen)})
        self.add("UseSlow", "refused", of, lambda s, c: And(s.pc(c) == PC["slow"], s.st != ST["Started"]),
                 lambda s, c: self.done(s, c, If(s.closing, Result.closed, Result.notstarted)))
        minus = lambda s, c: {"inuse": at(s.inuse, s.on(c), s.inuse(s.on(c)) - 1)}
        self.add("UseEnd", "ends", of, lambda s, c: And(s.pc(c) == PC["using"], s.open(s.on(c))),
                 lambda s, c: {**minus(s, c), **self.done(s, c, Result.ok)})
        self.add("UseEnd", "drops", of, lambda s, c: And(s.pc(c) == PC["using"], Not(s.open(s.on(c)))),
                 lambda s, c: {"pc": at(s.pc, c, PC["drop"])})
        self.add("UseDrop", "", of, lambda s, c: s.pc(c) == PC["drop"],
                 lambda s, c: {**minus(s, c), **self.done(s, c, Result.ok)})
