"""Every module of realtime/ has a test module of its own name."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT / "realtime")
    for path in (ROOT / "realtime").rglob("*.py")
    if not path.stem.startswith("__")
)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_tests_of_its_own(module):
    own = ROOT / "tests" / module.parent / f"test_{module.name}"
    assert own.is_file(), "scripts/coverage shows what they cover"
    assert "def test_" in own.read_text()
