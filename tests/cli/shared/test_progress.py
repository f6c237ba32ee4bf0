"""The bar of loading: on a terminal it moves and goes; elsewhere it leaves nothing."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from realtime.cli.shared.progress import loading_bar, moving
from realtime.engine.api import Loading


def console(**how) -> Console:
    return Console(file=StringIO(), width=100, **how)


def test_a_terminal_sees_the_stage_and_how_far_it_is():
    shown = console(force_terminal=True)
    with loading_bar(shown) as tell:
        tell(Loading("reading weights", 0.5))
    text = shown.file.getvalue()
    assert "Loading the model: " in text
    assert "reading weights" in text
    assert " 50%" in text
    assert text.endswith("\x1b[2K"), "the bar is taken away"


@pytest.mark.parametrize("dumb", [False, True])
def test_elsewhere_nothing_is_written(dumb):
    how = {"force_terminal": True, "_environ": {"TERM": "dumb"}} if dumb else {}
    still = console(**how)
    with loading_bar(still) as tell:
        tell(Loading("reading weights", 0.5))
    assert not still.file.getvalue().strip()
    assert not moving(still)


def test_a_failure_takes_the_bar_away_and_goes_on():
    shown = console(force_terminal=True)
    with pytest.raises(RuntimeError, match="broken"), loading_bar(shown):
        raise RuntimeError("broken")
    assert shown.file.getvalue().endswith("\x1b[2K")
