"""Show which lines of each module its own test module runs, without any other's help.

    scripts/coverage                   every module of realtime/
    scripts/coverage audio session     those in these folders, or these files, of realtime/
    scripts/coverage session --lines   and the numbers of the lines that are not run

The test module of realtime/a/b.py is tests/a/test_b.py. Code that a test runs in another process
counts as not run. `if TYPE_CHECKING` and the bodies of protocols do not count.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from mutation import forks, sample

LIMIT = 300
"""Seconds that the tests of one module may compute."""
NO_STATEMENT = ("if TYPE_CHECKING:", r"^\s*(async )?def .*: \.\.\.$", r"^\s*\.\.\.$")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="*", help="folders or files of realtime/ (default: all)")
    parser.add_argument("--lines", action="store_true", help="print the lines that are not run")
    chosen = parser.parse_args(arguments)
    chosen.part = [f"realtime/{part.strip('/').removeprefix('realtime/')}" for part in chosen.part]
    for part in chosen.part:
        if not (forks.ROOT / part).exists():
            parser.error(f"{part}: no such file or folder")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each module, and fail when tests do."""
    chosen = parsed(arguments)
    modules = sample.modules(forks.ROOT, chosen.part or ["realtime"])
    forks.warm(model=any(module.startswith("realtime/engine/") for module in modules))
    failed = 0
    for module in modules:
        if Path(module).stem.startswith("__"):
            continue
        own = sample.own_tests(module)
        if not (forks.ROOT / own).exists():
            print(f"{module:44} none")
            continue
        verdict, lines, missing = covered(forks.ROOT, module, own)
        failed += verdict != "passed"
        share = f"{100 * (1 - len(missing) / lines):3.0f} %" if lines else "  -  "
        note = "" if verdict == "passed" else f"  {verdict}"
        print(f"{module:44} {own:44} {share}{note}", flush=True)
        if chosen.lines and missing:
            print(f"{'':44} not run: {', '.join(ranges(missing))}")
    return 1 if failed else 0


def covered(tree: Path, module: str, tests: str) -> tuple[str, int, list[int]]:
    """Run a test module; give how it ended, how many lines a module has, and those not run."""
    import coverage

    def work() -> tuple[int, object]:
        watch = coverage.Coverage(include=[str(tree / module)], data_file=None, config_file=False)
        for pattern in NO_STATEMENT:
            watch.exclude(pattern)
        with watch.collect():
            ended = forks.pytest_here([tests])
        _, statements, _, missing, _ = watch.analysis2(str(tree / module))
        return 0, (ended, len(statements), missing)

    code, said, _ = forks.forked(tree, work, LIMIT)
    if code is None:
        return "time-out", 0, []
    if not said:
        return "died", 0, []
    ended, lines, missing = said
    return "passed" if ended in (0, 5) else "failed", lines, missing


def ranges(lines: Sequence[int]) -> Iterator[str]:
    """Write numbers that follow each other as one range."""
    for _, run in groupby(enumerate(lines), lambda pair: pair[1] - pair[0]):
        first, *rest = [line for _, line in run]
        yield f"{first}-{rest[-1]}" if rest else str(first)


if __name__ == "__main__":
    sys.exit(main())
