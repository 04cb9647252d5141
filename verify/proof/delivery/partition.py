"""The transition system of tla/Partition.tla and tla/PartitionOnKafka.tla for Z3, without bounds.

One partition of an idempotent producer and its leader, for any number of messages, batches, attempts, producer ids,
epochs, starts and changes of leader. What the other partitions do to it is one action: they raise the highest epoch of
an id, and with it the floor. Every name is the TLA+'s.

Messages, epochs and sequence numbers are integers. A request is of an uninterpreted sort, with the fields pid, epoch,
seq, len and the set of its messages; late is a set of requests, log a function from positions to requests.

Where this differs from the TLA+ it has more steps, so that what is proved here holds there:
  queue and batch are sets, and the first messages are the lowest: that both are in ascending order is TLC's to check;
  the length of a batch that loses messages is any that is not greater;
  a message that was not appended is "notsent" or "rejected", whatever became of the last request with it;
  another epoch may be taken at any time, and the leader may expect another sequence number at any time.

Ghosts, on which no step depends: out is every request that was in late or in the log; at the position of the batch
in the log when its answer is "ok"; last[i] that of the last batch with the producer id i; where[m] that of a
delivered message.
"""

import contextlib

from z3 import (And, BoolSort, BoolVal, Const, DeclareSort, EnumSort, Exists, ForAll, FreshConst, FreshFunction, Function, If,
                Implies, Int, IntSort, IntVal, Not, Or)

NONE = -1  # no epoch, and no sequence number

Request = DeclareSort("Request")
FIELDS = {name: Function("r" + name, Request, IntSort()) for name in ("pid", "epoch", "seq", "len")}
has = Function("has", Request, IntSort(), BoolSort())
pid_of, epoch_of, seq_of, len_of = FIELDS.values()


def enum(sort, names):
    made, values = EnumSort(sort, [f"{n}_{sort.lower()}" for n in names])
    return made, dict(zip(names, values))


Run, RUN = enum("Run", ["started", "stopping", "stopped"])
ANSWERS = ["ok", "unsure", "retry", "refused", "large", "invalid", "sequence"]
Wire, WIRE = enum("Wire", ["idle", "writing", "written", *ANSWERS])
Verdict, VERDICT = enum("Verdict", ["none", "delivered", "notsent", "rejected", "maybe"])

SCALARS = {"run": Run, "admitted": IntSort(), "hasbatch": BoolSort(), "seq": IntSort(), "len": IntSort(), "maybe": BoolSort(),
           "wire": Wire, "id": IntSort(), "pid": IntSort(), "epoch": IntSort(), "sequence": IntSort(), "length": IntSort(),
           "safe": IntSort(), "at": IntSort()}
FUNCTIONS = {"queue": (IntSort(), BoolSort()), "batch": (IntSort(), BoolSort()), "verdict": (IntSort(), Verdict),
             "highest": (IntSort(), IntSort()), "floor": (IntSort(), IntSort()), "late": (Request, BoolSort()),
             "log": (IntSort(), Request), "out": (Request, BoolSort()), "last": (IntSort(), IntSort()),
             "where": (IntSort(), IntSort())}

# The range of quantifiers: everything, or, for a counterexample, a few numbers and requests.
NUMBERS = REQUESTS = None
FEW = 3


@contextlib.contextmanager
def small(few=FEW):
    """In here quantifiers are expanded over the numbers 1 to few and as many requests."""
    global NUMBERS, REQUESTS
    NUMBERS = [IntVal(i) for i in range(1, few + 1)]
    REQUESTS = [Const(f"request{i}", Request) for i in range(1, few + 1)]
    try:
        yield
    finally:
        NUMBERS = REQUESTS = None


def every(p):
    """p of all numbers: messages, positions, producer ids."""
    if NUMBERS:
        return And([p(x) for x in NUMBERS])
    x = FreshConst(IntSort(), "x")
    return ForAll([x], p(x))


def every_request(p):
    if REQUESTS:
        return And([p(r) for r in REQUESTS])
    r = FreshConst(Request, "r")
    return ForAll([r], p(r))


class View:
    """A state: a term for each scalar, and a function to terms for each other variable."""

    def __init__(self, variables):
        self.__dict__.update(variables)


def symbolic():
    """An arbitrary state."""
    v = {name: Const(name, sort) for name, sort in SCALARS.items()}
    return View(v | {name: Function(name, *sorts) for name, sorts in FUNCTIONS.items()})


def one_of(term, values, *names):
    return Or([term == values[n] for n in names])


def undecided(s, m):
    return And(1 <= m, m <= s.admitted, s.verdict(m) == VERDICT["none"])


def is_request(s, r):
    """r is Request(p)."""
    return And(pid_of(r) == s.pid, epoch_of(r) == s.epoch, seq_of(r) == s.seq, len_of(r) == s.len,
               every(lambda m: has(r, m) == s.batch(m)))


def precedes(r, q):
    """r has a lower producer id, epoch or sequence number than q."""
    return Or(pid_of(r) < pid_of(q), And(pid_of(r) == pid_of(q), Or(
        epoch_of(r) < epoch_of(q), And(epoch_of(r) == epoch_of(q), seq_of(r) < seq_of(q)))))


class Guards:
    """The named guards of Partition.tla. A weakened model overrides one of them."""

    def MayDecide(self, s, m): return s.verdict(m) == VERDICT["none"]
    def MayStop(self, s): return every(lambda m: Not(undecided(s, m)))
    def Admits(self, s): return s.run == RUN["started"]
    def Unsure(self): return True
    def InDoubt(self, wire): return wire != "writing"
    def Doubted(self, maybe): return maybe
    def Reached(self, s, i): return s.highest(i)
    def Freed(self, s, i): return s.highest(i)
    def NextInDoubt(self, s): return IntVal(NONE)
    def AgainAfter(self, maybe): return not maybe
    def MaySplit(self, s): return Not(s.maybe)
    def MayAdopt(self, acked): return acked
    def MayWithdraw(self, s): return And(s.wire == WIRE["idle"], Not(s.maybe))
    def Shortened(self, s, left): return left
    # Guards of PartitionOnKafka.tla that have no name there.
    def Follows(self, s, r, k): return Or(
        And(epoch_of(s.log(k)) < epoch_of(r), seq_of(r) == 0),
        And(epoch_of(s.log(k)) == epoch_of(r), seq_of(r) == seq_of(s.log(k)) + len_of(s.log(k))))
    def Keeps(self, s): return s.safe


class Case:
    """A branch of an action: where it can be taken, and the variables that it assigns."""

    def __init__(self, action, branch, guard, assign):
        self.action, self.name = action, action + (":" + branch if branch else "")
        self.guard, self.assign = guard, assign

    def after(self, s):
        v = {name: getattr(s, name) for name in (*SCALARS, *FUNCTIONS)}
        v.update(self.assign)
        return View(v)


# The parameters of actions.
m0, n0, w0, k0, i0, e0 = (Int(name) for name in ("message", "count", "witness", "position", "identity", "number"))
r0, v0 = Const("request", Request), Const("unsent", Verdict)
refused0 = Function("refused", IntSort(), BoolSort())


def at(f, x, value):
    """[f EXCEPT ![x] = value]"""
    return lambda y: If(y == x, value, f(y))


def cases(s, k=None):
    """All branches of all actions from s, under these guards."""
    k = k or Guards()
    found = []
    false = lambda x: BoolVal(False)
    nobatch = {"hasbatch": BoolVal(False), "batch": false, "seq": IntVal(0), "len": IntVal(0), "maybe": BoolVal(False)}
    idle = {"wire": WIRE["idle"]}
    put = lambda r: {"late": at(s.late, r, BoolVal(True)), "out": at(s.out, r, BoolVal(True))}
    unsent = Or(v0 == VERDICT["notsent"], v0 == VERDICT["rejected"])
    whole = s.batch

    def add(action, branch, guard, assign):
        found.append(Case(action, branch, And(guard), assign))

    def decide(members, v):
        return lambda m: If(And(members(m), k.MayDecide(s, m)), v, s.verdict(m))

    def end(acked):
        """End(p, acked): branches, each a name, a guard and what it assigns."""
        if k.MayAdopt(acked):
            yield "adopts", [s.id != s.pid], {**nobatch, "pid": s.id, "epoch": IntVal(NONE), "sequence": IntVal(NONE),
                                              "last": at(s.last, s.pid, s.at)}
        stays = [s.id == s.pid] if k.MayAdopt(acked) else []
        yield "ends", stays, nobatch if acked else {**nobatch, "sequence": k.NextInDoubt(s)}

    def go_on(verdict, maybe):
        """Continue(p, maybe), after these verdicts."""
        left = lambda m: And(s.batch(m), verdict(m) == VERDICT["none"])
        some, none = left(w0), every(lambda m: Not(left(m)))
        if maybe:
            yield "doubt", [some], {"maybe": BoolVal(True)}
            for branch, guard, assign in end(False):
                yield branch, [none, *guard], assign
            return
        yield "again", [some, 1 <= n0, n0 <= s.len], {"batch": k.Shortened(s, left), "len": n0, "sequence": s.seq + n0}
        yield "empty", [none], {**nobatch, "sequence": s.seq}

    def in_each(action, guard, members, verdict, doubt, assign=None):
        """The branches of an action that ends in Continue, in doubt and without. verdict and doubt are of maybe."""
        for maybe in (False, True):
            v = verdict(maybe)
            after = s.verdict if v is None else decide(members, v)
            for branch, more, does in go_on(after, doubt(maybe)):
                add(action, f"{branch}{' again' if maybe else ''}", [*guard, s.maybe == maybe, *more],
                    {**does, **(assign or {}), **({} if v is None else {"verdict": after})})

    # Calls and deadlines.
    add("Admit", "", [k.Admits(s)], {"admitted": s.admitted + 1, "queue": at(s.queue, s.admitted + 1, BoolVal(True))})
    only = lambda m: m == m0
    add("WithdrawQueued", "", [s.queue(m0), unsent], {"queue": at(s.queue, m0, BoolVal(False)), "verdict": decide(only, v0)})
    for branch, more, does in go_on(decide(only, v0), False):
        add("WithdrawTaken", branch, [s.batch(m0), k.MayWithdraw(s), unsent, *more], {**does, "verdict": decide(only, v0)})
    gives = [s.batch(m0), undecided(s, m0), Not(k.MayWithdraw(s))]
    given = decide(only, VERDICT["maybe"])
    add("GiveUp", "under way", [*gives, s.wire != WIRE["idle"]], {"verdict": given})
    for branch, more, does in go_on(given, True):
        add("GiveUp", branch, [*gives, s.wire == WIRE["idle"], *more], {**does, "verdict": given})

    # Batches and attempts.
    takes = [s.run != RUN["stopped"], Not(s.hasbatch), s.queue(w0), w0 <= m0, n0 >= 1]
    taken = {"hasbatch": BoolVal(True), "batch": lambda m: And(s.queue(m), m <= m0), "queue": lambda m: And(s.queue(m), m > m0),
             "len": n0, "maybe": BoolVal(False)}
    add("Take", "", [*takes, s.sequence != NONE], {**taken, "seq": s.sequence, "sequence": s.sequence + n0})
    used = If(s.epoch == NONE, s.floor(s.pid), s.epoch)
    following = If(s.highest(s.pid) > used, s.highest(s.pid), s.highest(s.pid) + 1)
    add("TakeInNextEpoch", "", takes, {**taken, "seq": IntVal(0), "sequence": n0, "epoch": following,
                                       "highest": at(s.highest, s.pid, following)})
    add("Send", "", [s.hasbatch, s.wire == WIRE["idle"]], {"wire": WIRE["writing"]})

    # The network.
    add("Write", "", [s.wire == WIRE["writing"]], {"wire": WIRE["written"]})
    in_each("LoseUnwritten", [s.wire == WIRE["writing"]], whole, lambda maybe: None,
            lambda maybe: maybe or k.InDoubt("writing"), idle)
    in_each("LoseWritten", [s.wire == WIRE["written"], is_request(s, r0)], whole, lambda maybe: None,
            lambda maybe: maybe or k.InDoubt("written"), {**idle, **put(r0)})
    in_each("LoseAnswer", [one_of(s.wire, WIRE, *ANSWERS)], whole, lambda maybe: None,
            lambda maybe: maybe or k.InDoubt("answer"), idle)

    # Answers.
    got = lambda *names: one_of(s.wire, WIRE, *names)
    delivered = decide(whole, VERDICT["delivered"])
    for branch, more, does in end(True):
        add("AnswerOk", branch, [got("ok"), *more], {**does, **idle, "verdict": delivered, "where": lambda m: If(
            And(s.batch(m), s.verdict(m) == VERDICT["none"]), s.at, s.where(m))})
    in_each("AnswerUnsure", [got("unsure")], whole, lambda maybe: None, lambda maybe: maybe or k.Unsure(), idle)
    in_each("AnswerRetry", [got("retry")], whole, lambda maybe: None, lambda maybe: maybe, idle)
    in_each("AnswerRefused", [Or(got("refused", "large"), And(got("invalid"), s.maybe))], whole,
            lambda maybe: VERDICT["maybe" if k.Doubted(maybe) else "rejected"], k.Doubted, idle)
    open_ = lambda m: And(s.batch(m), undecided(s, m))
    head, tail = (lambda m: And(open_(m), m <= m0)), (lambda m: And(open_(m), m > m0))
    splits = [got("large"), k.MaySplit(s)]
    back = {"queue": lambda m: Or(s.queue(m), tail(m)), **idle}
    add("Split", "", [*splits, head(w0), 1 <= n0, n0 <= s.len],
        {**back, "batch": head, "len": n0, "maybe": BoolVal(False), "sequence": s.seq + n0})
    add("Split", "empty", [*splits, every(lambda m: Not(head(m)))], {**back, **nobatch, "sequence": s.seq})
    rejected = decide(refused0, VERDICT["rejected"])
    for branch, more, does in go_on(rejected, False):
        add("AnswerInvalid", branch, [got("invalid"), Not(s.maybe), every(lambda m: Implies(refused0(m), s.batch(m))), *more],
            {**does, **idle, "verdict": rejected})
    for maybe in (False, True):
        answered = [got("sequence"), s.maybe == maybe]
        if k.AgainAfter(maybe):
            add("AnswerSequence", "back" + (" again" if maybe else ""), answered, {
                **nobatch, **idle, "queue": lambda m: Or(s.queue(m), open_(m)), "sequence": IntVal(NONE)})
        else:
            doubted = decide(whole, VERDICT["maybe"])
            for branch, more, does in go_on(doubted, True):
                add("AnswerSequence", branch, [*answered, *more], {**does, **idle, "verdict": doubted})

    # The producer.
    add("Stop", "", [s.run == RUN["started"]], {"run": RUN["stopping"]})
    close = {**nobatch, **idle, "queue": false, "run": RUN["stopped"]}
    cut = lambda m: If(Not(undecided(s, m)), s.verdict(m), If(And(s.batch(m), Not(k.MayWithdraw(s))), VERDICT["maybe"], v0))
    for branch, guard, more in (("", [s.wire != WIRE["written"]], {}),
                                ("late", [s.wire == WIRE["written"], is_request(s, r0)], put(r0))):
        add("StopEnds", branch, [s.run == RUN["stopping"], k.MayStop(s), *guard], {**close, **more})
        add("Cut", branch, [s.run != RUN["stopped"], unsent, *guard], {**close, **more, "verdict": cut})
    none = {"epoch": IntVal(NONE), "sequence": IntVal(NONE)}
    add("Start", "", [s.run == RUN["stopped"]], {
        **none, "run": RUN["started"], "floor": lambda i: If(i <= s.id, k.Reached(s, i), IntVal(NONE))})
    add("Free", "", [s.run == RUN["started"], every(lambda m: Not(s.queue(m))), Not(s.hasbatch), s.epoch != NONE],
        {**none, "floor": at(s.floor, s.pid, k.Freed(s, s.pid))})
    add("NewID", "", [s.run == RUN["started"]], {"id": s.id + 1})
    add("Others", "take", [e0 >= s.highest(i0)], {"highest": at(s.highest, i0, e0)})
    add("Others", "free", [], {"floor": at(s.floor, i0, s.highest(i0))})

    # The leader.
    written = s.wire == WIRE["written"]
    append = lambda r: {"log": at(s.log, s.length + 1, r), "length": s.length + 1, "out": at(s.out, r, BoolVal(True))}
    of = lambda i, j: And(1 <= j, j <= s.length, pid_of(s.log(j)) == i)
    fits = {"first": lambda r: [every(lambda j: Not(of(pid_of(r), j)))],
            "follows": lambda r: [of(pid_of(r), k0), every(lambda j: Implies(of(pid_of(r), j), j <= k0)), k.Follows(s, r, k0)]}
    for branch, fit in fits.items():
        add("LeaderAppends", branch, [written, is_request(s, r0), *fit(r0)], {
            **append(r0), "wire": WIRE["ok"], "at": s.length + 1, "safe": s.length + 1})
        add("LeaderAppendsUnsure", branch, [written, is_request(s, r0), *fit(r0)], {**append(r0), "wire": WIRE["unsure"]})
        add("LateAppends", branch, [s.late(r0), *fit(r0)], append(r0))
    same = And(pid_of(s.log(k0)) == s.pid, epoch_of(s.log(k0)) == s.epoch, seq_of(s.log(k0)) == s.seq, len_of(s.log(k0)) == s.len)
    add("LeaderHasIt", "", [written, 1 <= k0, k0 <= s.length, same], {
        "wire": WIRE["ok"], "at": k0, "safe": If(s.safe > k0, s.safe, k0)})
    add("LeaderFails", "", [written], {"wire": WIRE["unsure"]})
    for answer in ("retry", "refused", "large", "invalid"):
        add("LeaderRefuses", answer, [written], {"wire": WIRE[answer]})
    add("LeaderExpectsAnother", "", [written], {"wire": WIRE["sequence"]})
    add("Move", "", [k.Keeps(s) <= k0, k0 <= s.length], {"length": k0})
    return found


def initial(s):
    """Init. At the end ghosts."""
    return And(
        s.run == RUN["started"], s.admitted == 0, Not(s.hasbatch), s.seq == 0, s.len == 0, Not(s.maybe), s.wire == WIRE["idle"],
        s.id == 1, s.pid == 1, s.epoch == NONE, s.sequence == NONE, s.length == 0, s.safe == 0,
        every(lambda m: And(Not(s.queue(m)), Not(s.batch(m)), s.verdict(m) == VERDICT["none"])),
        every(lambda i: And(s.highest(i) == 0, s.floor(i) == NONE)),
        every_request(lambda r: And(Not(s.late(r)), Not(s.out(r)))))
