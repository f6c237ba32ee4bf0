"""What a module would be with one small fault in it: every place, every kind of fault.

A mutant replaces one stretch of a file's bytes, so that its difference is what a person would
have typed. Not touched: docstrings, annotations and aliases of types, imports, decorators,
`assert`, `if TYPE_CHECKING`, what an f-string says and the text of an error that is raised.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""The bound beside each comparison, and its opposite."""
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "reversed": "iter"}
STORAGE = {"frozen", "slots", "eq", "order", "gc", "kw_only"}
"""Arguments of a class statement that say how its instances are stored."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault in one file."""

    path: str
    start: int
    stop: int
    """The bytes of the file that are replaced."""
    text: str
    """What stands there instead."""
    kind: str

    @property
    def name(self) -> str:
        """Tell it from every other mutant of the same file."""
        return f"{self.path}:{self.start}:{self.stop}:{self.text}"

    def applied(self, source: bytes) -> bytes:
        """Give the file with the fault in it."""
        return source[: self.start] + self.text.encode() + source[self.stop :]

    def difference(self, source: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Give the lines that go and those that come, without what stands around them."""
        old, new = (text.decode().splitlines() for text in (source, self.applied(source)))
        came = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
        gone = tuple(line[1:].strip() for line in came if line.startswith("-"))
        return gone, tuple(line[1:].strip() for line in came if line.startswith("+"))


def mutants(path: str, source: bytes) -> list[Mutant]:
    """List every mutant of a file, in the order in which they stand in it."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found: dict[str, Mutant] = {}
    for span, text, kind in Faults().visit_all(ast.parse(source)):
        start, stop = (lines[line - 1] + column for line, column in span)
        mutant = Mutant(path, start, stop, text, kind)
        if source[start:stop] != text.encode() and parses(mutant, source):
            found.setdefault(mutant.name, mutant)
    return sorted(found.values(), key=lambda mutant: (mutant.start, mutant.stop, mutant.text))


def parses(mutant: Mutant, source: bytes) -> bool:
    """Tell whether a mutant is Python; only what is cut out of a table may be none."""
    if mutant.kind != "entry":
        return True
    try:
        ast.parse(mutant.applied(source))
    except SyntaxError:
        return False
    return True


Place = tuple[int, int]
"""Line, counted from 1, and column in bytes."""
Fault = tuple[tuple[Place, Place], str, str]
"""What is replaced, by what, and which kind of fault that is."""


def start_of(node: ast.expr | ast.stmt | ast.pattern) -> Place:
    """Tell where a node begins."""
    return node.lineno, node.col_offset


def end_of(node: ast.expr | ast.stmt | ast.pattern) -> Place:
    """Tell where a node ends."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


def replaced(node: ast.expr | ast.stmt | ast.pattern, text: str, kind: str) -> Fault:
    """Put a text in a node's place."""
    return (start_of(node), end_of(node)), text, kind


def expression(node: ast.expr, new: ast.expr, kind: str) -> Fault:
    """Put an expression in another's place, in brackets where it is not a mere constant."""
    text = ast.unparse(ast.fix_missing_locations(new))
    return replaced(node, text if isinstance(new, ast.Constant) else f"({text})", kind)


class Faults:
    """Walks a module and gives the faults that could be made in it."""

    def __init__(self) -> None:
        self.inside = 0
        """How many functions are open; tables stand outside of them."""
        self.silent = 0
        """How many statements are open in which texts are left alone."""
        self.again: set[ast.stmt] = set()
        """Assignments to a name that has a value already."""

    def visit_all(self, node: ast.AST) -> Iterator[Fault]:
        """Give the faults of a node and of all below it."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self.function(node)
            case ast.ClassDef():
                for keyword in node.keywords:
                    if keyword.arg not in STORAGE:
                        yield from self.visit_all(keyword.value)
                yield from self.below(node.body)
            case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.JoinedStr():
                pass
            case ast.Expr(ast.Constant()):  # a docstring, or `...`
                pass
            case ast.If(test=ast.Name("TYPE_CHECKING")):
                yield from self.below(node.orelse)
            case ast.Assign(targets=[ast.Name("__all__" | "__slots__")]):
                pass
            case ast.AnnAssign(annotation=ast.Name("TypeAlias")):
                pass
            case ast.AnnAssign():
                yield from self.statement(node)
                if node.value:
                    yield from self.visit_all(node.value)
            case ast.Subscript(value=ast.Name("Literal" | "Annotated")):
                pass
            case ast.Call(func=ast.Name("TypeVar" | "NewType" | "ParamSpec")):
                pass
            case ast.Call(func=ast.Name("cast"), args=[_, value]):
                yield from self.visit_all(value)
            case ast.Raise():
                yield from self.statement(node)
                self.silent += 1
                yield from self.below(ast.iter_child_nodes(node))
                self.silent -= 1
            case _:
                yield from self.here(node)
                yield from self.below(ast.iter_child_nodes(node))

    def below(self, nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[Fault]:
        for node in nodes:
            yield from self.visit_all(node)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Fault]:
        """Give the faults of a function's defaults and body."""
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default:
                yield from self.visit_all(default)
        self.again |= second_assignments(node)
        self.inside += 1
        yield from self.below(node.body)
        self.inside -= 1

    def here(self, node: ast.AST) -> Iterator[Fault]:
        """Give the faults of a node itself."""
        match node:
            case ast.stmt():
                yield from self.statement(node)
            case ast.expr():
                yield from self.of_expression(node)
            case ast.ExceptHandler(body=[first, *_]) if not isinstance(first, ast.Raise):
                yield (start_of(first), end_of(node.body[-1])), "raise", "handler"
            case ast.match_case(pattern, guard) if not (
                isinstance(pattern, ast.MatchAs) and pattern.pattern is None
            ):
                span = start_of(pattern), end_of(guard or pattern)
                yield span, f"{ast.unparse(pattern)} if False", "case"
        for test in conditions(node):
            yield expression(test, ast.UnaryOp(ast.Not(), test), "condition")

    def statement(self, node: ast.stmt) -> Iterator[Fault]:
        """Give the faults of a statement itself."""
        match node:
            case ast.Return(value) if value and not isinstance(value, ast.Constant):
                yield replaced(node, "return None", "return")
            case ast.Break():
                yield replaced(node, "continue", "jump")
            case ast.Continue():
                yield replaced(node, "break", "jump")
            case ast.For():
                yield replaced(node.iter, "()", "loop")
        if self.removable(node):
            yield replaced(node, "pass", "statement")

    def removable(self, node: ast.stmt) -> bool:
        """Tell whether a statement may be missing without a name being missing then."""
        match node:
            case ast.Expr() | ast.Raise() | ast.Delete() | ast.AugAssign() | ast.Return(value=None):
                return True
            case ast.Assign(targets=targets) if self.inside:
                return node in self.again or not any(
                    isinstance(name, ast.Name)
                    for target in targets
                    for name in ast.walk(target)
                    if isinstance(getattr(name, "ctx", None), ast.Store)
                )
            case ast.AnnAssign(target=ast.Attribute() | ast.Subscript(), value=ast.expr()):
                return bool(self.inside)
        return False

    def of_expression(self, node: ast.expr) -> Iterator[Fault]:
        """Give the faults of an expression itself."""
        match node:
            case ast.Constant():
                yield from self.constant(node)
            case ast.Compare(left, operators, others):
                for i, operator in enumerate(operators):
                    for other in COMPARISONS[type(operator)]:
                        now = [*operators[:i], other(), *operators[i + 1 :]]
                        yield expression(node, ast.Compare(left, now, others), "comparison")
            case ast.BinOp(left, operator, right) if not names_types(node):
                new = ARITHMETIC.get(type(operator))
                if new and not isinstance(left, ast.JoinedStr):
                    yield expression(node, ast.BinOp(left, new(), right), "arithmetic")
            case ast.BoolOp(operator, values):
                turned = ast.And() if isinstance(operator, ast.Or) else ast.Or()
                yield expression(node, ast.BoolOp(turned, values), "boolean")
            case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
                yield expression(node, operand, "unary")
            case ast.Call(func=ast.Name(name) as called) if name in CALLS:
                yield replaced(called, CALLS[name], "call")
            case ast.Slice():
                if node.lower:
                    yield replaced(node, slice_text(None, node.upper, node.step), "slice")
                if node.upper:
                    yield replaced(node, slice_text(node.lower, None, node.step), "slice")
            case ast.Dict(values=values) if not self.inside and len(values) > 1:
                keys = [key or value for key, value in zip(node.keys, values, strict=True)]
                yield from entries(keys, values)
            case ast.List(elements) | ast.Set(elements) if not self.inside and len(elements) > 1:
                yield from entries(elements, elements)
            case ast.Tuple(elements) if not self.inside and len(elements) > 2:
                yield from entries(elements, elements)

    def constant(self, node: ast.Constant) -> Iterator[Fault]:
        """Give the other values that a constant could have."""
        match node.value:
            case bool(value):
                others: list[object] = [not value]
            case int(value):
                others = [value + 1, value - 1]
            case float(value):
                others = [value + 1, value / 2] if value else [1.0]
            case str(value) | bytes(value) if not self.silent:
                others = ["XX" + value if isinstance(value, str) else b"XX" + value]
            case _:
                return
        for other in others:
            yield replaced(node, repr(other), "constant")


def conditions(node: ast.AST) -> list[ast.expr]:
    """Give the conditions of a node that no comparison, `and`, `or` or `not` turns already."""
    match node:
        case ast.If(test) | ast.While(test) | ast.IfExp(test):
            tests = [test]
        case ast.comprehension(ifs=tests):
            pass
        case _:
            return []
    turned = ast.Compare | ast.BoolOp | ast.Constant
    return [
        test
        for test in tests
        if not isinstance(test, turned)
        and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))
    ]


def names_types(node: ast.BinOp) -> bool:
    """Tell whether `|` joins types, not values."""
    if not isinstance(node.op, ast.BitOr):
        return False
    match node.left, node.right:
        case (ast.BinOp() as left, _) if names_types(left):
            return True
        case (ast.Constant(None), _) | (_, ast.Constant(None)):
            return True
        case (ast.Name(one) | ast.Attribute(attr=one), ast.Name(two) | ast.Attribute(attr=two)):
            return all(name in TYPES or name[:1].isupper() != name.isupper() for name in (one, two))
        case _:
            sides = (node.left, node.right)
            return any(isinstance(s, ast.Name) and s.id in TYPES for s in sides)


TYPES = {"int", "str", "float", "bool", "bytes", "dict", "list", "tuple", "set", "type", "object"}


def second_assignments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[ast.stmt]:
    """Give the assignments of a function to a name that was bound before, in order of lines."""
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    bound = {argument.arg: 0 for argument in arguments}
    for name in ast.walk(node):
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
            bound[name.id] = min(name.lineno, bound.get(name.id, name.lineno))
    return {
        made
        for made in ast.walk(node)
        if isinstance(made, ast.Assign)
        and all(isinstance(target, ast.Name) for target in made.targets)
        and all(bound[t.id] < made.lineno for t in made.targets if isinstance(t, ast.Name))
    }


def slice_text(lower: ast.expr | None, upper: ast.expr | None, step: ast.expr | None) -> str:
    """Write what stands between the brackets of a slice."""
    low, high = (ast.unparse(bound) if bound else "" for bound in (lower, upper))
    return f"{low}:{high}" + (f":{ast.unparse(step)}" if step else "")


def entries(keys: list[ast.expr], values: list[ast.expr]) -> Iterator[Fault]:
    """Cut each entry out of a table, with the comma before or behind it."""
    yield (start_of(keys[0]), start_of(keys[1])), "", "entry"
    for before, value in pairwise(values):
        yield (end_of(before), end_of(value)), "", "entry"
