"""How another Python runs a module of this very package."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """Give the command line; it wants `import_path` as PYTHONPATH."""
    # -P: a folder named like a library in the working directory must not be imported.
    return [sys.executable, "-P", "-m", module, *arguments]


def import_path() -> str:
    """Give the import path that lets a child import this very package."""
    root = str(Path(__file__).parents[1])
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
