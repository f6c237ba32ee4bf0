"""The groups that tests run in, what each took, and how many second chances were used."""

from __future__ import annotations

import pytest

UNIT, REAL_TIME, SCRIPT_SCALE = GROUPS = ("unit", "real_time", "script_scale")
"""In the order in which they run; the first is what has no marker."""


def group_of(item: pytest.Item) -> str:
    """Tell the group by the nearest marker: of the test, or of its module."""
    return next((mark.name for mark in item.iter_markers() if mark.name in GROUPS), UNIT)


@pytest.hookimpl(trylast=True)  # pytest has then put together what shares a costly fixture
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by group; what runs in real time gets a second chance, which the report tells (R)."""
    items.sort(key=lambda item: GROUPS.index(group_of(item)))
    for item in items:
        if group_of(item) == REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_configure(config: pytest.Config) -> None:
    """Keep an account of this run."""
    config.pluginmanager.register(Account(config.getoption("max_suite_reruns")))


class Account:
    """Tests by group, when they ran, and second chances; the plugin gives no more than allowed."""

    def __init__(self, allowed: int | None) -> None:
        self.allowed = allowed
        self.tests = dict.fromkeys(GROUPS, 0)
        self.spans: dict[str, tuple[float, float]] = {}
        self.reruns = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count; what several processes run at once takes from the first start to the last end."""
        group = next((name for name in GROUPS if name in report.keywords), UNIT)
        began, ended = self.spans.get(group, (report.start, report.stop))
        self.spans[group] = (min(began, report.start), max(ended, report.stop))
        if report.when == "setup":
            again = getattr(report, "rerun", 0) > 0
            self.reruns += again
            self.tests[group] += not again

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what each group took, and the second chances, also none."""
        for group, (began, ended) in self.spans.items():
            terminalreporter.write_line(f"{group}: {self.tests[group]} in {ended - began:.0f} s")
        terminalreporter.write_line(f"reruns: {self.reruns} of {self.allowed} allowed")
