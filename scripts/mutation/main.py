"""Try small faults on the code, and tell which the tests catch.

    scripts/mutants                          400 faults, drawn by seed 1, over what is listed below
    scripts/mutants --seed 7 --sample 600    others, and more of them
    scripts/mutants realtime/audio --show    a folder alone; print what survived as differences

Each fault (a turned comparison, a number one off, a statement left out, an entry cut from a table,
an `except` that does not catch: scripts/mutation/operators.py has them all) is made in a copy of
the tree. First the module's own tests run (realtime/a/b.py has tests/a/test_b.py), then those
beside them in the same folder, as far as a file takes less than 5 seconds. Of both, tests that
take longer than --slow seconds are left out. The first that fails has caught it. Hypothesis draws
the same examples in each run.

  caught         a test failed
  survived       every test passed: one is missing, or the code does nothing
  equivalent     survived, and scripts/mutation/equivalent.txt says why nobody could tell
  time-out       the tests did not end: not a catch
  import error   the module or its tests could not be imported, or the process died: not a catch

The last column is caught / (all - equivalent), in per cent. What is found is kept in --log, one
JSON line a mutant: a run that was stopped goes on from there, and results of files that were
edited are forgotten. After writing tests, `--again` tries once more what was not caught. Choose a
fresh seed for a figure to quote; tests written for one sample flatter it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mutation import forks, sample
from mutation.operators import Mutant
from mutation.sample import Result

PARTS = (
    "realtime/session",
    "realtime/audio",
    "realtime/protocols",
    "realtime/engine/worker/scheduler.py",
)
BESIDE = 5.0
"""Seconds that a test file beside a module's own may take."""
OWN = 300.0
"""Seconds that a module's own may take before its slow tests are left out."""
VERDICTS = ("caught", "survived", "equivalent", "time-out", "import error")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("part", nargs="*", help=f"folders or files (default: {' '.join(PARTS)})")
    add("--seed", type=int, default=1, help="which sample is drawn (default 1)")
    add("--sample", type=int, default=400, help="how many faults (default 400)")
    add("--jobs", type=int, default=1, help="processes at once (default 1)")
    add("--timeout", type=float, default=60, help="computed seconds at most a fault (default 60)")
    add("--slow", type=float, default=2, help="leave out tests that take longer, in seconds (2)")
    add("--log", type=Path, help="where results are kept (default build/mutants-SEED.jsonl)")
    add("--again", action="store_true", help="try once more what was not caught")
    add("--show", action="store_true", help="print the difference of each that was not caught")
    add("--table", action="store_true", help="run nothing, print what is known")
    chosen = parser.parse_args(arguments)
    chosen.part = [part.rstrip("/") for part in chosen.part] or list(PARTS)
    chosen.log = (chosen.log or Path("build", f"mutants-{chosen.seed}.jsonl")).resolve()
    for part in chosen.part:
        if not (forks.ROOT / part).exists():
            parser.error(f"{part}: no such file or folder")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, try what is not known yet, and print the table."""
    chosen = parsed(arguments)
    with forks.copied() as tree:
        files = sample.modules(tree, chosen.part)
        sources = {file: (tree / file).read_bytes() for file in files}
        mutants = sample.drawn(tree, files, chosen.seed, chosen.sample)
        digests = {file: sample.digest(source) for file, source in sources.items()}
        known = sample.recorded(chosen.log, digests)
        todo = [mutant for mutant in mutants if untried(mutant, known, again=chosen.again)]
        print(f"{len(mutants)} mutants of {len(files)} files, {len(todo)} to try; {chosen.log}")
        if todo and not chosen.table:
            try_all(tree, todo, chosen)
            known = sample.recorded(chosen.log, digests)
    results = [
        (mutant, verdict(mutant, sources[mutant.path], known[mutant.name]))
        for mutant in mutants
        if mutant.name in known
    ]
    if chosen.show:
        print("\n".join(shown(m, sources[m.path], said) for m, said in results if said in BAD))
    print("\n".join(table(results, chosen.part)))
    return 0


BAD = ("survived", "time-out", "import error")


def untried(mutant: Mutant, known: Mapping[str, Result], *, again: bool) -> bool:
    """Tell whether a mutant is still to be tried."""
    found = known.get(mutant.name)
    return found is None or (again and found.verdict != "caught")


def verdict(mutant: Mutant, source: bytes, result: Result) -> str:
    """Give the last word on a mutant."""
    listed = sample.equivalents(sample.EQUIVALENT.read_text())
    if result.verdict == "survived" and sample.argued(mutant, source, listed):
        return "equivalent"
    return result.verdict


def shown(mutant: Mutant, source: bytes, said: str) -> str:
    """Write what a mutant changes, with the place."""
    line = source[: mutant.start].count(b"\n") + 1
    gone, came = mutant.difference(source)
    head = f"{mutant.path}:{line} ({mutant.kind}, {said})"
    return "\n".join([head, *(f"- {text}" for text in gone), *(f"+ {text}" for text in came), ""])


def table(results: Sequence[tuple[Mutant, str]], parts: Sequence[str]) -> list[str]:
    """Write the table: a row for each part that was asked for, and all together."""
    rows = [f"| | mutants | {' | '.join(VERDICTS)} | % caught |", "|---" + "|--:" * 7 + "|"]
    for name in (*parts, "all"):
        said = [word for mutant, word in results if name == "all" or lies_in(mutant.path, name)]
        counts = Counter(said)
        of = len(said) - counts["equivalent"]
        share = f"{100 * counts['caught'] / of:.1f}" if of else "-"
        cells = " | ".join(str(counts[word]) for word in VERDICTS)
        rows.append(f"| {name} | {len(said)} | {cells} | {share} |")
    return rows


def lies_in(path: str, part: str) -> bool:
    """Tell whether a file is a part or lies in it."""
    return path == part or path.startswith(f"{part}/")


# Trying ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timed:
    """A test file that passes before any fault, and how long it takes without its slow tests."""

    name: str
    seconds: float
    pace: Mapping[str, float]


def try_all(tree: Path, todo: Sequence[Mutant], chosen: argparse.Namespace) -> None:
    """Try mutants, in several processes; each has a copy of the tree for itself."""
    files = {mutant.path for mutant in todo}
    forks.warm(model=any(lies_in(file, "realtime/engine") for file in files))
    tests = tests_of(tree, files, chosen)
    workers = []
    for job in range(chosen.jobs):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                with TemporaryDirectory(prefix="mutants-") as folder:
                    own = Path(shutil.copytree(tree, Path(folder, "tree")))
                    try_some(own, todo[job :: chosen.jobs], tests, chosen)
            finally:
                sys.stdout.flush()
                os._exit(0)
        workers.append(pid)
    for pid in workers:
        os.waitpid(pid, 0)


def tests_of(tree: Path, files: set[str], chosen: argparse.Namespace) -> dict[str, list[Timed]]:
    """Give each module's test files: its own first, then those beside it, the fast ones first."""
    timed: dict[str, Timed | None] = {}
    tests: dict[str, list[Timed]] = {}
    owners = {sample.own_tests(file) for file in files}
    for file in sorted(files):
        own = sample.own_tests(file)
        paths = sorted((tree / own).parent.glob("test_*.py"))
        for name in (path.relative_to(tree).as_posix() for path in paths):
            if name not in timed:
                timed[name] = measured(tree, name, chosen, own=name in owners)
            if (test := timed[name]) and (name == own or test.seconds <= BESIDE):
                tests.setdefault(file, []).append(test)
        tests.setdefault(file, []).sort(key=lambda test: (test.name != own, test.seconds))
    return tests


def measured(tree: Path, name: str, chosen: argparse.Namespace, *, own: bool) -> Timed | None:
    """Run a test file before any fault; None when it takes too long or fails in a fork."""
    log = chosen.log.with_name("mutants-tests.jsonl")
    version = sample.digest((tree / name).read_bytes())
    outcome = sample.measured(log, name, version)
    if outcome is None or (own and outcome.verdict != "passed"):
        outcome = forks.run_tests(tree, [name], OWN if own else 2 * BESIDE)
        sample.record(log, sample.Measured(name, version, outcome))
    left_out = {test: took for test, took in outcome.pace.items() if took > chosen.slow}
    seconds = max(0.0, outcome.seconds - sum(left_out.values()))
    passed = outcome.verdict == "passed"
    note = f"{seconds:.1f} s, {len(left_out)} left out" if passed else outcome.verdict
    print(f"  {name}: {note}", flush=True)
    if own and not passed:
        raise SystemExit(f"{name} does not pass before any fault is made: {outcome.by}")
    return Timed(name, seconds, outcome.pace) if passed else None


def try_some(
    tree: Path,
    todo: Sequence[Mutant],
    tests: Mapping[str, Sequence[Timed]],
    chosen: argparse.Namespace,
) -> None:
    """Try mutants one after the other and record what became of each."""
    began = time.monotonic()
    for count, mutant in enumerate(todo, 1):
        path = tree / mutant.path
        source = path.read_bytes()
        path.write_bytes(mutant.applied(source))
        for stale in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            stale.unlink()
        try:
            result = tried(tree, mutant, tests[mutant.path], source, chosen)
        finally:
            path.write_bytes(source)
        sample.record(chosen.log, result)
        spent = time.monotonic() - began
        print(f"{count}/{len(todo)} {spent:.0f} s {result.verdict} {mutant.path}", flush=True)


def tried(
    tree: Path,
    mutant: Mutant,
    tests: Sequence[Timed],
    source: bytes,
    chosen: argparse.Namespace,
) -> Result:
    """Run the tests of a mutant, its own first; the first that do not pass decide."""
    spent, said, by = 0.0, "survived", ""
    own = [test for test in tests if test.name == sample.own_tests(mutant.path)]
    beside = [test for test in tests if test not in own]
    for group in filter(None, (own, beside)):
        limit = min(chosen.timeout, 3 + 3 * sum(test.seconds for test in group))
        pace = {name: took for test in group for name, took in test.pace.items()}
        names = [test.name for test in group]
        outcome = forks.run_tests(tree, names, limit, pace, chosen.slow)
        spent += outcome.seconds
        if outcome.verdict != "passed":
            said, by = outcome.verdict, outcome.by
            break
    if said == "failed":
        said = "caught"
    return Result(mutant.name, sample.digest(source), said, by, round(spent, 2))


if __name__ == "__main__":
    sys.exit(main())
