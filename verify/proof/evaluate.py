"""Z3's formulas under concrete values.

compiled() turns a formula's syntax tree, as Z3 holds it, into a Python function:
a quantifier over callers or attempts becomes a loop over those of a bound. It is
fast enough for every edge of a graph; decide() asks Z3's own solver instead and
keeps compiled() honest.

finite() expands a formula's quantifiers over so many callers and attempts: without
quantifiers Z3 decides, and finds counterexamples.
"""

import z3

from contract import Seen
from model import (FATE, MaxRestarts, OF_ATTEMPT, OF_CALLER, OP, PC, SCALARS, ST, VARIABLES, Caller, NParts, Result,
                   Retries, symbolic)

# The values of TLC's states as Z3's: the index of the constructor.
ENUMS = {"st": ST, "op": OP, "fate": FATE, "pc": PC}
NUMBER = {var: {name: i for i, name in enumerate(values)} for var, values in ENUMS.items()}
CONSTRUCTORS = [Result.constructor(i).name() for i in range(Result.num_constructors())]
NAMED = {"ctx": "context"}


class Frame:
    """A bound: how many callers and attempts there are, how many parts, whether there are
    retries, and how many restarts in a row."""

    def __init__(self, callers, attempts, parts, retries, restarts):
        self.callers, self.attempts, self.parts, self.retries, self.restarts = callers, attempts, parts, retries, restarts
        self.compiler = Compiler(self)  # one for all formulas: they share terms


def concrete(vars, frame):
    """A state as compiled() wants it: a value or list for each of VARIABLES, callers
    from 0, attempts from 1 (those around the bound as they are in Init)."""
    state = []
    for name in VARIABLES:
        v = vars[name]
        if name in NUMBER:
            number = NUMBER[name]
            v = number[v] if name in SCALARS else [number[x] for x in v]
        elif name == "out":
            v = [(CONSTRUCTORS.index(NAMED.get(kind, kind)), n) for kind, n in v]
        if name in OF_ATTEMPT:
            rest = {bool: False, int: 0}[type(v[0])]
            v = [rest] + v + [rest, rest]
        state.append(v)
    return state


class Compiler:
    """Prints one formula as a Python expression.

    The state before is S_st, S_op[..]..., the one after T_..., the parameter P, and
    card is the number of callers that use an attempt.
    """

    BINARY = {z3.Z3_OP_EQ: "==", z3.Z3_OP_LE: "<=", z3.Z3_OP_GE: ">=", z3.Z3_OP_LT: "<", z3.Z3_OP_GT: ">",
              z3.Z3_OP_ADD: "+", z3.Z3_OP_SUB: "-", z3.Z3_OP_MUL: "*", z3.Z3_OP_IFF: "=="}

    def __init__(self, frame):
        self.frame = frame
        self.printed = {}  # a term in its scope to itself, so that its id remains its own, and its text

    def text(self, e, bound=()):
        key = e.get_id(), bound
        if key not in self.printed:
            self.printed[key] = e, self.print(e, bound)
        return self.printed[key][1]

    def print(self, e, bound):
        if z3.is_quantifier(e):
            return self.quantifier(e, bound)
        if z3.is_var(e):
            return bound[-1 - z3.get_var_index(e)]
        if z3.is_int_value(e):
            return str(e.as_long())
        kind, args = e.decl().kind(), [self.text(a, bound) for a in e.children()]
        if kind in self.BINARY:
            return "(" + f" {self.BINARY[kind]} ".join(args) + ")"
        if kind == z3.Z3_OP_DISTINCT and len(args) == 2:
            return f"({args[0]} != {args[1]})"
        if kind in (z3.Z3_OP_AND, z3.Z3_OP_OR):
            word = " and " if kind == z3.Z3_OP_AND else " or "
            return "(" + word.join(args) + ")" if args else str(kind == z3.Z3_OP_AND)
        if kind == z3.Z3_OP_NOT:
            return f"(not {args[0]})"
        if kind == z3.Z3_OP_IMPLIES:
            return f"(not {args[0]} or {args[1]})"
        if kind == z3.Z3_OP_ITE:
            return f"({args[1]} if {args[0]} else {args[2]})"
        if kind == z3.Z3_OP_TRUE:
            return "True"
        if kind == z3.Z3_OP_FALSE:
            return "False"
        if kind == z3.Z3_OP_DT_CONSTRUCTOR:
            return self.constructor(e, args)
        if kind in (z3.Z3_OP_DT_IS, z3.Z3_OP_DT_RECOGNISER):
            which = e.decl().params()[0].name() if e.decl().params() else e.decl().name()[3:]
            return f"({args[0]}[0] == {CONSTRUCTORS.index(which)})"
        if kind == z3.Z3_OP_DT_ACCESSOR:
            return f"{args[0]}[1]"
        if kind == z3.Z3_OP_UNINTERPRETED:
            return self.variable(e.decl().name(), args)
        raise NotImplementedError(e.sexpr())

    def constructor(self, e, args):
        name = e.decl().name()
        if e.sort() == Result:
            return f"({CONSTRUCTORS.index(name)}, {args[0] if args else 0})"
        sort = e.sort()
        return str([sort.constructor(i).name() for i in range(sort.num_constructors())].index(name))

    def variable(self, name, args):
        constants = {"NParts": self.frame.parts, "Retries": self.frame.retries, "MaxRestarts": self.frame.restarts}
        if name in constants:
            return str(constants[name])
        if name in ("c0", "g0"):
            return "P"
        if name == "users":  # Cardinality(At("using")), see contract.py
            c = z3.Const("counted", Caller)
            return f"sum({self.text(Seen(symbolic()).at(c, 'using'))} for counted in range({self.frame.callers}))"
        if name == "counted":
            return name
        side = "T_" if name.endswith("'") else "S_"
        name = name.rstrip("'")
        if name == "card":
            return f"card({side}pc, {side}on, {args[0]})"
        if name not in VARIABLES:
            raise NotImplementedError(name)
        return f"{side}{name}[{args[0]}]" if args else side + name

    def quantifier(self, e, bound):
        if e.is_lambda():  # a column: of each caller, or of each attempt and those around the bound, see concrete()
            x, of_caller = f"x{len(bound)}", e.var_sort(0) == Caller
            return f"[{self.text(e.body(), bound + (x,))} for {x} in range({self.frame.callers if of_caller else self.frame.attempts + 3})]"
        word = "all" if e.is_forall() else "any"
        loops = ""
        for i in range(e.num_vars()):
            x = f"x{len(bound)}"
            bound += (x,)
            domain = f"range({self.frame.callers})" if e.var_sort(i) == Caller else f"range(1, {self.frame.attempts + 1})"
            loops += f" for {x} in {domain}"
        return f"{word}({self.text(e.body(), bound)}{loops})"


USING = (NUMBER["pc"]["using"], NUMBER["pc"]["drop"])


def card(pc, on, g):
    return sum(1 for p, o in zip(pc, on) if o == g and p in USING)


def compiled(formula, frame):
    """A function of the state before, the state after and the parameter."""
    text = frame.compiler.text(formula)
    used = lambda side: ", ".join(side + n if side + n in text else "_" for n in VARIABLES)
    source = f"def f(S, T, P):\n"
    for side, name in (("S_", "S"), ("T_", "T")):
        if side in text:
            source += f"    {used(side)} = {name}\n"
    source += f"    return {text}\n"
    scope = {"card": card}
    exec(source, scope)
    return scope["f"]


def decide(formula, frame, before, after, parameter):
    """Whether Z3's solver finds the formula true under these values."""
    callers = [z3.Const(f"caller{i}", Caller) for i in range(frame.callers)]
    c, g = z3.Const("c", Caller), z3.Int("g")

    def term(name, v):
        sort = {**SCALARS, **OF_ATTEMPT, **OF_CALLER}[name]
        if sort == z3.BoolSort():
            return z3.BoolVal(v)
        if sort == z3.IntSort():
            return z3.IntVal(v)
        if sort == Result:
            made = Result.constructor(v[0])
            return made(z3.IntVal(v[1])) if made.arity() else made()
        return sort.constructor(v)()

    replaced, consts = [], [(NParts, z3.IntVal(frame.parts)), (Retries, z3.BoolVal(frame.retries)),
                            (MaxRestarts, z3.IntVal(frame.restarts)), (z3.Const("c0", Caller), callers[parameter % frame.callers]),
                            (z3.Int("g0"), z3.IntVal(parameter))]
    for tick, state in (("", before), ("'", after)):
        for (name, sort), v in zip(VARIABLES.items(), state):
            if name in SCALARS:
                consts.append((z3.Const(name + tick, sort), term(name, v)))
                continue
            index = [(z3.IntVal(i), x) for i, x in enumerate(v)] if name in OF_ATTEMPT else list(zip(callers, v))
            body = term(name, v[0])  # index 0 is as in Init, and so is all beyond
            for at, x in index[1:]:
                body = z3.If(z3.Var(0, at.sort()) == at, term(name, x), body)
            domain = z3.IntSort() if name in OF_ATTEMPT else Caller
            replaced.append((z3.Function(name + tick, domain, sort), body))
    formula = z3.substitute(z3.substitute_funs(formula, *replaced), *consts)
    solver = z3.Solver()
    solver.set("timeout", 20000)
    solver.add(z3.Distinct(*callers), z3.ForAll([c], z3.Or([c == x for x in callers])), formula)
    result = solver.check()
    if result == z3.unknown:
        raise RuntimeError("Z3 does not decide: " + solver.reason_unknown())
    return result == z3.sat


def finite(formula, callers, attempts):
    """formula with its quantifiers expanded over these callers and the attempts 1..attempts."""
    if z3.is_quantifier(formula):
        domains = [callers if formula.var_sort(i) == Caller else [z3.IntVal(g) for g in range(1, attempts + 1)]
                   for i in range(formula.num_vars())]
        parts = [[]]
        for domain in domains:
            parts = [p + [x] for p in parts for x in domain]
        expanded = [finite(z3.substitute_vars(formula.body(), *reversed(p)), callers, attempts) for p in parts]
        return z3.And(expanded) if formula.is_forall() else z3.Or(expanded)
    if formula.num_args() == 0 or not z3.is_bool(formula):
        return formula
    return formula.decl()(*[finite(a, callers, attempts) for a in formula.children()])
