"""The house's plan, by path alone: who may know whom, and where tensors and loops may live.

A room is a folder of `realtime`, or a file beside those folders. Every import counts, also one that
is for types only or stands in a function.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("audio", "engine", "session", "protocols", "transports", "gateway", "cli")
"""The folders of `realtime`, lowest first: who is in one knows nothing of those above."""
TENSORS = ("engine/model",)
LOOPS = (
    *("gateway", "transports", "speech", "stores", "cli"),
    *("engine/worker", "engine/remote", "engine/fake"),
)


def modules(package: str) -> dict[str, Path]:
    """Give every module of a package by its full name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules("realtime")
CLIENT = modules("client")


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
                raise AssertionError(f"{path}: relative imports hide the room")
    return found


def place(module: str) -> str:
    """Give a module's path below `realtime`, without `.py`."""
    path = MODULES[module].relative_to(ROOT / "realtime").with_suffix("")
    return path.as_posix().removesuffix("/__init__")


def room(module: str) -> str:
    """Give the room that a module is in."""
    folder = MODULES[module].parent.relative_to(ROOT / "realtime").as_posix()
    return place(module) if folder == "." else folder


def within(module: str, places: tuple[str, ...]) -> bool:
    """Tell whether a module is one of these places or in one of them."""
    return any(f"{place(module)}/".startswith(f"{one}/") for one in places)


def libraries(path: Path) -> set[str]:
    """Give the top names of what a file imports."""
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("module", MODULES)
def test_a_floor_knows_nothing_of_those_above(module):
    floor, *_ = place(module).split("/")
    if floor in FLOORS:
        below = FLOORS[: FLOORS.index(floor) + 1]
        for name in imports(MODULES[module]) & MODULES.keys():
            other, *_ = place(name).split("/")
            assert other in below or other not in FLOORS, f"{module} imports {name}"


def test_every_folder_is_on_a_floor():
    folders = {place(module).split("/")[0] for module in MODULES if "/" in place(module)}
    assert folders <= set(FLOORS), "where in FLOORS does the new folder belong?"


def test_no_rooms_know_each_other_in_a_circle():
    arrows: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        known = {room(name) for name in imports(path) & MODULES.keys()}
        arrows.setdefault(room(module), set()).update(known - {room(module)})
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("module", MODULES)
def test_tensors_and_loops_stay_where_they_belong(module):
    used = libraries(MODULES[module])
    assert within(module, TENSORS) or not used & {"torch", "transformers"}
    assert within(module, LOOPS) or "asyncio" not in used


def test_the_client_knows_nothing_of_the_server():
    for module, path in CLIENT.items():
        assert "realtime" not in libraries(path), module


def test_the_gateway_process_loads_no_tensor_library():
    program = (
        "import sys, realtime.cli.main, realtime.gateway.routes.app, realtime.engine.worker.engine;"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "[]", run.stderr
