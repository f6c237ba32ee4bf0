"""`python -m realtime` is the command, by its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "realtime", "serve", "--help"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert run.returncode == 0
    assert "Usage: realtime serve" in run.stdout
