"""Another Python runs a module of this very package, wherever it is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from realtime import interpreter

ROOT = Path(interpreter.__file__).parents[1]


def test_this_very_python_runs_the_module_with_its_arguments():
    assert interpreter.command("realtime.x", "--a", "b") == [
        *(sys.executable, "-P", "-m"),
        *("realtime.x", "--a", "b"),
    ]


def test_the_import_path_begins_with_this_very_package(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert interpreter.import_path() == str(ROOT)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert interpreter.import_path() == f"{ROOT}{os.pathsep}/elsewhere"


def test_a_folder_named_like_a_library_is_not_imported(tmp_path):
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").write_text("raise SystemExit('taken for the library')")
    run = interpreter.command("json.tool", "--help")
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout
