"""The order of groups, and the second chances of a run, shown on small runs of their own."""

from __future__ import annotations

import groups
import pytest

pytest_plugins = ["pytester"]
MARKERS = "[pytest]\nmarkers =\n    real_time: talks\n    script_scale: works\n"
ONCE = """
import pytest

tried = set()

@pytest.mark.real_time
@pytest.mark.parametrize("number", range({flaky}))
def test_flaky(number):
    first = number not in tried
    tried.add(number)
    assert not first
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run tests with our plugin and that of reruns alone, bounded as addopts have it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini(MARKERS)

    def run(**modules: str) -> pytest.RunResult:
        pytester.makepyfile(**modules)
        plugins = ("-p", "pytest_rerunfailures", "-p", "no:cacheprovider")
        options = ("-v", "--strict-markers", "--max-suite-reruns=3", *plugins)
        return pytester.runpytest_inprocess(*options, plugins=[groups])

    return run


def test_unit_tests_come_first_and_the_scale_of_scripts_last(run):
    done = run(
        test_a="""
            import pytest
            pytestmark = pytest.mark.script_scale
            def test_long(): pass
            """,
        test_b="""
            import pytest
            @pytest.mark.real_time
            def test_spoken(): pass
            def test_small(): pass
            """,
        test_c="def test_smaller(): pass",
    )
    done.stdout.fnmatch_lines(
        [
            "test_b.py::test_small PASSED*",
            "test_c.py::test_smaller PASSED*",
            "test_b.py::test_spoken PASSED*",
            "test_a.py::test_long PASSED*",
            "unit: 2 in * s",
            "real_time: 1 in * s",
            "script_scale: 1 in * s",
            "reruns: 0 of 3 allowed",
        ]
    )
    assert done.ret == pytest.ExitCode.OK


@pytest.mark.parametrize(("flaky", "failed"), [(1, 0), (3, 0), (4, 1)])
def test_three_second_chances_are_told_and_a_fourth_fails_the_run(run, flaky, failed):
    done = run(test_talk=ONCE.format(flaky=flaky))
    done.assert_outcomes(passed=flaky - failed, failed=failed)
    used = flaky - failed
    done.stdout.fnmatch_lines([f"real_time: {flaky} in * s", f"reruns: {used} of 3 allowed"])
    assert (done.ret == pytest.ExitCode.OK) == (failed == 0)


def test_what_does_not_talk_in_real_time_has_one_chance(run):
    done = run(test_small=ONCE.replace("@pytest.mark.real_time\n", "").format(flaky=1))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["unit: 1 in * s", "reruns: 0 of 3 allowed"])


def test_this_run_has_the_plugin_and_a_bound(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin(groups.__name__)
    assert pytestconfig.getoption("max_suite_reruns") == 3
