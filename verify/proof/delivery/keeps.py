"""The inductive invariant of delivery, conjunct by conjunct, and the guarantees that follow from it."""

from z3 import And, If, Implies, Not, Or

from partition import (NONE, RUN, VERDICT, WIRE, every, every_request, has, epoch_of, len_of, one_of, pid_of, precedes, seq_of,
                       undecided)

# What the proof leaves out of a guarantee, for the report.
NOT_PROVED = {"Deadline": "it is liveness: that deadlines pass (TLC, within its bounds; tests)",
              "Drains": "that what is queued is sent, and that the Stop ends, is liveness (TLC, within its bounds)"}


def in_log(s, k):
    return And(1 <= k, k <= s.length)


def every_two(p):
    return every(lambda x: every(lambda y: p(x, y)))


def shown(s):
    """A request with the batch may have been appended."""
    return Or(s.maybe, one_of(s.wire, WIRE, "ok", "unsure"))


def of_batch(s, r):
    """r has the name of the batch: producer id, epoch and first sequence number."""
    return And(pid_of(r) == s.pid, epoch_of(r) == s.epoch, seq_of(r) == s.seq)


def one_name(s):
    """A producer id, epoch and sequence number name one batch, of all requests that were in late or in the log."""
    return every_request(lambda r: every_request(lambda q: Implies(
        And(s.out(r), s.out(q), pid_of(r) == pid_of(q), epoch_of(r) == epoch_of(q), seq_of(r) == seq_of(q)),
        And(len_of(r) == len_of(q), every(lambda m: has(r, m) == has(q, m))))))


def clear(s, m):
    """No request can have appended m, as far as the core knows: it may be withdrawn."""
    return Or(s.queue(m), And(s.batch(m), s.wire == WIRE["idle"], Not(s.maybe)))


def gone(s, t, m):
    """m is withdrawn in this step."""
    return And(s.verdict(m) == VERDICT["none"], t.verdict(m) != VERDICT["none"], clear(s, m))


def rest_stays(s, t):
    """What is left of the queue and the batch stays, with the batch's numbers."""
    return And(every(lambda m: And(t.queue(m) == And(s.queue(m), Not(gone(s, t, m))), t.batch(m) == And(s.batch(m), Not(gone(s, t, m))))),
               Implies(t.hasbatch, t.seq == s.seq), Implies(s.hasbatch, t.sequence == s.seq + t.len))


CONJUNCTS = {
    # Messages.
    "QueueFits": lambda s: And(s.admitted >= 0, every(lambda m: Implies(s.queue(m), undecided(s, m)))),
    "BatchFits": lambda s: every(lambda m: Implies(s.batch(m), And(
        1 <= m, m <= s.admitted, one_of(s.verdict(m), VERDICT, "none", "maybe")))),
    "UndecidedWait": lambda s: every(lambda m: Implies(undecided(s, m), Or(s.queue(m), s.batch(m)))),
    "BatchFirst": lambda s: every_two(lambda m, q: Implies(And(s.batch(m), s.queue(q)), m < q)),
    "NoBatch": lambda s: And(
        Implies(Not(s.hasbatch), And(s.wire == WIRE["idle"], Not(s.maybe), every(lambda m: Not(s.batch(m))))),
        Implies(s.hasbatch, And(s.len >= 1, s.seq >= 0))),
    "ClearUndecided": lambda s: every(lambda m: Implies(
        And(s.batch(m), s.wire == WIRE["idle"], Not(s.maybe)), s.verdict(m) == VERDICT["none"])),
    "StoppedEmpty": lambda s: Implies(s.run == RUN["stopped"], And(Not(s.hasbatch), every(lambda m: Not(s.queue(m))))),
    "DecidedAdmitted": lambda s: every(lambda m: Implies(s.verdict(m) != VERDICT["none"], And(1 <= m, m <= s.admitted))),
    # Numbers.
    "NumbersFit": lambda s: And(
        1 <= s.pid, s.pid <= s.id, s.epoch >= NONE, s.sequence >= NONE, s.epoch <= s.highest(s.pid),
        Implies(s.hasbatch, And(s.epoch != NONE, s.sequence == s.seq + s.len)),
        Implies(s.epoch == NONE, s.sequence == NONE), every(lambda i: And(s.floor(i) >= NONE, s.floor(i) <= s.highest(i)))),
    "LogFits": lambda s: And(0 <= s.safe, s.safe <= s.length),
    # Requests that were in late or in the log.
    "OutHolds": lambda s: And(every_request(lambda r: Implies(s.late(r), s.out(r))),
                              every(lambda k: Implies(in_log(s, k), s.out(s.log(k))))),
    "OutFits": lambda s: every_request(lambda r: Implies(s.out(r), And(
        len_of(r) >= 1, seq_of(r) >= 0, epoch_of(r) >= 0, 1 <= pid_of(r), pid_of(r) <= s.pid))),
    "OutAdmitted": lambda s: every_request(lambda r: every(lambda m: Implies(And(s.out(r), has(r, m)), And(
        1 <= m, m <= s.admitted)))),
    "OutTrue": lambda s: every_request(lambda r: every(lambda m: Implies(And(s.out(r), has(r, m)), Not(
        one_of(s.verdict(m), VERDICT, "notsent", "rejected"))))),
    "OutBeforeQueue": lambda s: every_request(lambda r: every_two(lambda m, q: Implies(
        And(s.out(r), has(r, m), s.queue(q)), m < q))),
    "OutBeforeBatch": lambda s: every_request(lambda r: every_two(lambda m, q: Implies(
        And(s.out(r), has(r, m), s.batch(q)), Or(m < q, And(of_batch(s, r), shown(s)))))),
    "OutNumbers": lambda s: Implies(s.hasbatch, every_request(lambda r: Implies(
        And(s.out(r), pid_of(r) == s.pid, epoch_of(r) == s.epoch),
        Or(seq_of(r) + len_of(r) <= s.seq, And(seq_of(r) == s.seq, len_of(r) == s.len, shown(s)))))),
    "OutIsBatch": lambda s: Implies(s.hasbatch, every_request(lambda r: every(lambda m: Implies(
        And(s.out(r), of_batch(s, r)), has(r, m) == s.batch(m))))),
    "OutBeforeNext": lambda s: Implies(And(Not(s.hasbatch), s.sequence != NONE), every_request(lambda r: Implies(
        And(s.out(r), pid_of(r) == s.pid, epoch_of(r) == s.epoch), seq_of(r) + len_of(r) <= s.sequence))),
    "OutEpochs": lambda s: every_request(lambda r: Implies(And(s.out(r), pid_of(r) == s.pid), epoch_of(r) <= If(
        s.epoch == NONE, s.floor(s.pid), s.epoch))),
    "OneName": one_name,
    "OutOrdered": lambda s: every_request(lambda r: every_request(lambda q: every_two(lambda m, n: Implies(
        And(s.out(r), s.out(q), precedes(r, q), has(r, m), has(q, n)), m < n)))),
    # The log.
    "LogAscends": lambda s: every_two(lambda k, j: Implies(
        And(in_log(s, k), in_log(s, j), k < j), precedes(s.log(k), s.log(j)))),
    "LastOfID": lambda s: every_request(lambda r: Implies(And(s.out(r), pid_of(r) < s.pid), And(
        1 <= s.last(pid_of(r)), s.last(pid_of(r)) <= s.safe, pid_of(s.log(s.last(pid_of(r)))) == pid_of(r),
        Not(precedes(s.log(s.last(pid_of(r))), r))))),
    "AnsweredOk": lambda s: Implies(s.wire == WIRE["ok"], And(1 <= s.at, s.at <= s.safe, of_batch(s, s.log(s.at)))),
    "DeliveredThere": lambda s: every(lambda m: Implies(s.verdict(m) == VERDICT["delivered"], And(
        1 <= s.where(m), s.where(m) <= s.safe, has(s.log(s.where(m)), m)))),
}

# Of each state, by the names of tla/Delivery.tla; OneName has none there.
OF_STATE = {
    "Withdrawn (in no request)": lambda s: every_request(lambda r: every(lambda m: Implies(
        And(clear(s, m), has(r, m)), Not(s.out(r))))),
    "Truth (unsent)": lambda s: every_two(lambda k, m: Implies(And(in_log(s, k), has(s.log(k), m)), Not(
        one_of(s.verdict(m), VERDICT, "notsent", "rejected")))),
    "Truth (never comes)": lambda s: every_request(lambda r: every(lambda m: Implies(And(s.late(r), has(r, m)), Not(
        one_of(s.verdict(m), VERDICT, "notsent", "rejected"))))),
    "Truth (delivered)": lambda s: every(lambda m: Implies(s.verdict(m) == VERDICT["delivered"], And(
        in_log(s, s.where(m)), has(s.log(s.where(m)), m)))),
    "OneName": one_name,
    "Once": lambda s: every_two(lambda k, j: every(lambda m: Implies(
        And(in_log(s, k), in_log(s, j), has(s.log(k), m), has(s.log(j), m)), k == j))),
    "Order": lambda s: every_two(lambda k, j: every_two(lambda m, n: Implies(
        And(in_log(s, k), in_log(s, j), k < j, has(s.log(k), m), has(s.log(j), n)), m < n))),
}

# Of each step.
OF_STEP = {
    "Withdrawn (not sent)": lambda s, t: every(lambda m: Implies(gone(s, t, m), one_of(t.verdict(m), VERDICT, "notsent", "rejected"))),
    "Withdrawn (never comes)": lambda s, t: every_request(lambda r: every(lambda m: Implies(
        And(one_of(s.verdict(m), VERDICT, "notsent", "rejected"), has(r, m)), Not(t.out(r))))),
    "Withdrawn (the rest stays)": lambda s, t: every(lambda m: Implies(And(gone(s, t, m), t.run != RUN["stopped"]), rest_stays(s, t))),
    "Withdrawn (not in doubt)": lambda s, t: Implies(s.maybe, And(
        Or(every(lambda m: t.batch(m) == s.batch(m)), every(lambda m: Not(t.batch(m)))),
        every(lambda m: Implies(And(s.batch(m), s.verdict(m) == VERDICT["none"], t.verdict(m) != VERDICT["none"]),
                                one_of(t.verdict(m), VERDICT, "delivered", "maybe"))))),
    "Drains (nothing is admitted)": lambda s, t: Implies(s.run != RUN["started"], t.admitted == s.admitted),
    "Drains (nothing is left)": lambda s, t: Implies(t.run == RUN["stopped"], And(
        t.wire == WIRE["idle"], Not(t.hasbatch), every(lambda m: And(Not(undecided(t, m)), Not(t.queue(m)), Not(t.batch(m)))))),
    "OneVerdict (kept)": lambda s, t: every(lambda m: Implies(s.verdict(m) != VERDICT["none"], t.verdict(m) == s.verdict(m))),
    "OneVerdict (admitted)": lambda s, t: every(lambda m: Implies(t.verdict(m) != VERDICT["none"], And(1 <= m, m <= t.admitted))),
    "Truth (maybe)": lambda s, t: every(lambda m: Implies(
        And(s.verdict(m) == VERDICT["none"], t.verdict(m) == VERDICT["maybe"]),
        And(s.batch(m), Or(s.maybe, s.wire != WIRE["idle"])))),
    "OneVerdict (stopped)": lambda s, t: Implies(t.run == RUN["stopped"], every(lambda m: Not(undecided(t, m)))),
}
