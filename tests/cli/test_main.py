"""`realtime` itself: its version, its commands, and help that can be copied from."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from realtime.cli import main
from realtime.cli.main import app

ROOT = Path(__file__).parents[2]
COMMANDS = ([], ["serve"], ["ask"], ["batch"], ["key"], ["key", "new"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: "-".join(words) or "realtime")
def test_examples_in_help_are_whole_at_80_columns(command):
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"}).stdout
    found = get_command(app)
    for word in command:
        found = found.commands[word]
    lines = [line.strip() for line in (found.help or "").splitlines()]
    examples = [line for line in lines if line.startswith(("realtime ", "{"))]
    assert bool(examples) == (command[-1:] not in ([], ["key"]))
    for example in examples:
        assert example in [line.strip() for line in shown.splitlines()]


def test_the_version_is_the_packages():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"realtime {version('realtime-qwen2-audio')}\n")


def test_run_from_the_source_tree_alone_it_says_so(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(main, "version", missing)
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (
        0,
        "realtime (not installed: run from the source tree)\n",
    )


def test_without_a_command_it_shows_the_commands():
    result = CliRunner().invoke(app, [])
    shown = result.stdout + result.stderr
    assert [name in shown for name in ("serve", "ask", "batch", "key")] == [True] * 4
    assert result.exit_code == 2


def test_an_unknown_command_is_named():
    result = CliRunner().invoke(app, ["listen"])
    assert result.exit_code == 2
    assert "listen" in result.stderr


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from realtime.cli.main import app; from typer.testing import CliRunner;"
        "CliRunner().invoke(app, ['--help']);"
        "print([m for m in ('torch', 'numpy', 'uvicorn', 'starlette') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "[]\n", run.stderr
