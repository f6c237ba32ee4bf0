"""Imports go down only: walk every import of the source and hold it against the layers."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Lowest first; a module imports modules of lower layers, and those beside it in its own package.
LAYERS = [
    ["realtime.errors", "realtime.interpreter", "realtime.log", "realtime.service_links"],
    ["realtime.audio"],
    ["realtime.engine"],
    ["realtime.session"],
    ["realtime.protocols", "realtime.metrics"],
    ["realtime.gateway", "realtime.transports"],
    ["realtime.config"],
    ["realtime.cli"],
    ["realtime.__main__"],
]
ASYNCIO = ("gateway", "transports", "engine.worker", "engine.fake", "cli")


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("realtime", "client"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def imports(path: Path) -> set[str]:
    """Give the full names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names):
                found |= {name.name for name in names}
            case ast.ImportFrom(module=module, names=names, level=0) if module is not None:
                # `from package import module` means the module.
                found |= {
                    full if (full := f"{module}.{name.name}") in MODULES else module
                    for name in names
                }
            case ast.ImportFrom():
                raise AssertionError(f"{path}: relative imports hide the layer")
    return found


def layer(module: str) -> tuple[int, str]:
    """Give a module's height and the entry of LAYERS that places it (the longest that fits)."""
    fits = [
        (len(entry), height, entry)
        for height, entries in enumerate(LAYERS)
        for entry in entries
        if module == entry or module.startswith(entry + ".")
    ]
    assert fits, f"{module} has no layer: place it in LAYERS"
    _, height, entry = max(fits)
    return height, entry


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("realtime.")])
def test_imports_go_down_only(module):
    height, place = layer(module)
    for name in imports(MODULES[module]):
        if name.startswith("realtime."):
            below, other = layer(name)
            beside = {place, other} == {"realtime.gateway", "realtime.transports"}
            assert below < height or other == place or beside, f"{module} imports {name}"


def test_the_client_knows_nothing_of_the_server():
    for module, path in MODULES.items():
        if module.split(".")[0] == "client":
            assert not {n for n in imports(path) if n.split(".")[0] == "realtime"}, module


@pytest.mark.parametrize("module", MODULES)
def test_tensors_and_loops_stay_where_they_belong(module):
    tops = {name.split(".")[0] for name in imports(MODULES[module])}
    if not module.startswith("realtime.engine.model."):
        assert not tops & {"torch", "transformers"}
    if not module.startswith(("client", *(f"realtime.{place}" for place in ASYNCIO))):
        assert "asyncio" not in tops


def test_the_gateway_process_loads_no_tensor_library():
    program = (
        "import sys, realtime.cli.main, realtime.gateway.routes.app, realtime.engine.worker.engine;"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "[]", run.stderr
