"""What a subclass takes from the insides of a library, read from its own source."""

from __future__ import annotations

import ast
import inspect
import textwrap


def source(kind: type) -> ast.AST:
    """Read the source of a class."""
    return ast.parse(textwrap.dedent(inspect.getsource(kind)))


def assigned(tree: ast.AST) -> set[str]:
    """Give the names of itself that a class sets."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and isinstance(node.ctx, ast.Store)
    }


def borrowed(kind: type) -> set[str]:
    """Give the names of itself that a class uses and does not make, and what it calls of super."""
    tree, used = source(kind), set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("self"), name, ast.Load()):
                used.add(name)
    made = set(vars(kind)) | set(vars(kind).get("__annotations__", {})) | assigned(tree)
    return (used - made) | overridden(tree)


def offered(kind: type) -> set[str]:
    """Give all that a class of a library has for those derived from it."""
    classes = [base for base in kind.__mro__ if base.__module__.partition(".")[0] == "uvicorn"]
    return set(dir(kind)).union(*(assigned(source(base)) for base in classes))


def overridden(tree: ast.AST) -> set[str]:
    """Give the methods whose base's own are called by `super()`."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "super"
    }
