"""The cardinality lemma: it connects the counter inuse[g] with the set Using(g).

A finite set U has cardinality n if its members can be numbered 1..n: at(i) is
the member with number i, and number(c) the number of member c. Z3 proves

  empty      n = 0 just if U is empty (and n >= 0)
  insert     if c is not in U, then U with c has cardinality n + 1
  remove     if c is in U, then U without c has cardinality n - 1
  unique     U has one cardinality: by induction on n, base and step

facts() and steps() say the same of card(g), the cardinality of Using(g): in each
state, and from one state to the next when at most one caller came or went.
"""

from z3 import And, BoolSort, Const, ForAll, Function, If, Implies, Int, IntSort, Not, Or

from model import Caller, all_attempts, all_callers, some_caller, using


class Numbering:
    def __init__(self, tag):
        self.at = Function("at" + tag, IntSort(), Caller)
        self.number = Function("number" + tag, Caller, IntSort())

    def of(self, member, n, at=None, number=None):
        """member has cardinality n, by this numbering."""
        at, number = at or self.at, number or self.number
        i, c = Int("i"), Const("c", Caller)
        return And(
            n >= 0,
            ForAll([i], Implies(And(1 <= i, i <= n), And(member(at(i)), number(at(i)) == i))),
            ForAll([c], Implies(member(c), And(1 <= number(c), number(c) <= n, at(number(c)) == c))))


def lemmas():
    """The name, the assumption, the conclusion."""
    U = Function("U", Caller, BoolSort())
    n, m = Int("n"), Int("m")
    c = Const("c1", Caller)
    f, h = Numbering("1"), Numbering("2")
    with_c = lambda d: Or(U(d), d == c)
    without_c = lambda d: And(U(d), d != c)
    nobody = ForAll([c], Not(U(c)))

    def inserted():
        return f.of(with_c, n + 1, at=lambda i: If(i == n + 1, c, f.at(i)),
                    number=lambda d: If(d == c, n + 1, f.number(d)))

    def removed(e, k):
        """e's numbering without c: the last member takes c's number."""
        return e.of(without_c, k - 1, at=lambda i: If(i == e.number(c), e.at(k), e.at(i)),
                    number=lambda d: If(d == e.at(k), e.number(c), e.number(d)))

    yield "empty", f.of(U, n), And(n >= 0, (n == 0) == nobody)
    yield "insert", And(f.of(U, n), Not(U(c))), inserted()
    yield "remove", And(f.of(U, n), U(c)), removed(f, n)
    yield "unique, base", And(f.of(U, n), h.of(U, m), n == 0), m == 0
    # The step: for c = f.at(n), both numberings lose one, and what is left has one cardinality.
    yield ("unique, step", And(f.of(U, n), h.of(U, m), n > 0, c == f.at(n),
                               Implies(And(removed(f, n), removed(h, m)), n - 1 == m - 1)), n == m)


def facts(s):
    """Of every state."""
    return all_attempts(lambda g: And(s.card(g) >= 0,
                                      (s.card(g) == 0) == Not(some_caller(lambda c: using(s, g, c)))))


def steps(s, t, actor):
    """From s to t, for any caller: if no other caller came or went."""
    plus = lambda s, g: If(using(s, g, actor), 1, 0)
    return all_attempts(lambda g: Implies(
        all_callers(lambda d: Or(d == actor, using(t, g, d) == using(s, g, d))),
        t.card(g) == s.card(g) + plus(t, g) - plus(s, g)))
