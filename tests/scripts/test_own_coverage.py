"""What a module's own tests cover by themselves, and how that is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import own_coverage

SCRIPTS = Path(own_coverage.__file__).parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a tree of one module that is half covered and one without tests of its own."""
    (tmp_path / "realtime").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "realtime/one.py").write_text(
        "def f(a):\n    if a:\n        return 1\n    a = 2\n    return a\n"
    )
    (tmp_path / "realtime/two.py").write_text("from realtime.one import f\n\nf(0)\n")
    (tmp_path / "realtime/__init__.py").write_text("'''Nothing.'''\n")
    (tmp_path / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\npythonpath = ['.']\naddopts = '--import-mode=importlib'\n"
    )
    (tmp_path / "tests/test_one.py").write_text(
        "from realtime.one import f\ndef test_f():\n    assert f(1) == 1\n"
    )
    return tmp_path


def told(tree: Path, *arguments: str) -> tuple[list[list[str]], int]:
    """Run the command on a tree; give the words of its lines, and how it ended."""
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPTS)!r})
from pathlib import Path
import own_coverage
from mutation import forks
forks.ROOT = Path({str(tree)!r})
forks.warm(model=False)
sys.exit(own_coverage.main({list(arguments)}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return [line.split() for line in done.stdout.splitlines()], done.returncode


def test_each_module_is_told_with_what_its_own_tests_run(tree):
    assert told(tree, "--lines") == (
        [
            ["realtime/one.py", "tests/test_one.py", "60", "%"],
            ["not", "run:", "4-5"],
            ["realtime/two.py", "none"],
        ],
        0,
    )


def test_a_part_may_be_named_with_or_without_the_package(tree):
    assert told(tree, "two.py") == told(tree, "realtime/two.py")
    assert told(tree, "two.py") == ([["realtime/two.py", "none"]], 0)
    assert told(tree, "three.py") == ([], 2)


def test_tests_that_fail_are_told_and_fail_the_command(tree):
    (tree / "tests/test_one.py").write_text("import realtime.one\ndef test_f(): assert False\n")
    assert told(tree, "one.py") == (
        [["realtime/one.py", "tests/test_one.py", "20", "%", "failed"]],
        1,
    )


def test_ranges_of_lines():
    assert list(own_coverage.ranges([1, 2, 3, 7, 9, 10])) == ["1-3", "7", "9-10"]
