"""The built wheel, installed where nothing of the checkout is, answers a spoken question."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.script_scale

ROOT = Path(__file__).parents[1]
PROGRAM = "import realtime, client; print(realtime.__file__, client.__file__, sep='\\n')"


def call(*command, cwd, **environment):
    """Run a command that knows nothing of where it was called from; give what it printed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip(*arguments, cwd):
    return call(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy, so that nothing is left in the checkout."""
    source = tmp_path_factory.mktemp("source")
    shutil.copy(ROOT / "pyproject.toml", source)
    shutil.copy(ROOT / "README.md", source)
    shutil.copy(ROOT / "LICENSE", source)
    for package in ("realtime", "client"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    pip("wheel", "--no-deps", "--no-build-isolation", "-q", "-w", "dist", ".", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Make an environment with the wheel and what it depends on; give its folder."""
    place = tmp_path_factory.mktemp("installed")
    call(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=place)
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    # Folders named by a .pth file are searched, but the .pth files in them (an editable install of
    # this checkout) are not read.
    dependencies = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "dependencies.pth").write_text("\n".join(dependencies))
    target = str(place / "venv" / "bin" / "python")
    pip("--python", target, "install", "--no-deps", "--no-index", "-q", str(wheel), cwd=place)
    return place


def test_it_is_whole(installed):
    ours, clients = call("venv/bin/python", "-c", PROGRAM, cwd=installed).split()
    for path in map(Path, (ours, clients)):
        assert path.is_relative_to(installed)
    package = Path(clients).parent
    for part in ("py.typed", "web/index.html", "samples/samples.json"):
        assert (package / part).is_file()


def test_it_answers_a_spoken_question(installed):
    (sample,) = (installed / "venv").glob("lib/*/site-packages/client/samples/*-france.mp3")
    said = call("venv/bin/realtime", "ask", str(sample), cwd=installed)
    assert said == "Paris.\n"


def test_it_knows_its_version(installed, wheel):
    said = call("venv/bin/realtime", "--version", cwd=installed)
    assert said == f"realtime {wheel.name.split('-')[1]}\n"
