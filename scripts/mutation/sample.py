"""Which mutants are tried, against which tests, and what is known of them already."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mutation.forks import Outcome
from mutation.operators import Mutant, mutants

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
Lines = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant."""

    name: str
    file: str
    """A digest of the file that it was made of."""
    verdict: str
    """caught, survived, time-out, import error."""
    by: str = ""
    """The test that caught it."""
    seconds: float = 0.0


def modules(tree: Path, parts: Iterable[str]) -> list[str]:
    """List the modules of files and folders, by their path in the tree."""
    found: list[str] = []
    for part in parts:
        path = tree / part
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found += [file.relative_to(tree).as_posix() for file in files if file.stat().st_size]
    return list(dict.fromkeys(found))


def own_tests(module: str) -> str:
    """Name the test module of a module: realtime/a/b.py has tests/a/test_b.py."""
    path = Path(module)
    return Path("tests", *path.parts[1:-1], f"test_{path.stem}.py").as_posix()


def drawn(tree: Path, files: Iterable[str], seed: int, size: int) -> list[Mutant]:
    """Draw mutants, from each file by how many it has; the same ones for the same seed."""
    every = {file: mutants(file, (tree / file).read_bytes()) for file in files}
    found: list[Mutant] = []
    for file, count in shares({file: len(of) for file, of in every.items()}, size).items():
        found += random.Random(f"{seed} {file}").sample(every[file], count)
    random.Random(seed).shuffle(found)
    return found


def shares(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """Share out a sample by counts, whole numbers that come to the size or to all there is."""
    total = sum(counts.values())
    if size >= total:
        return dict(counts)
    exact = {name: size * count / total for name, count in counts.items()}
    made = {name: int(share) for name, share in exact.items()}
    rest = sorted(exact, key=lambda name: made[name] - exact[name])
    for name in rest[: size - sum(made.values())]:
        made[name] += 1
    return made


def digest(source: bytes) -> str:
    """Tell one version of a file from another."""
    return hashlib.sha256(source).hexdigest()[:12]


def recorded(log: Path, digests: Mapping[str, str]) -> dict[str, Result]:
    """Read what was found before, for files that are what they were; the last word counts."""
    found = {}
    lines = log.read_text().splitlines() if log.exists() else []
    for line in lines:
        try:
            result = Result(**json.loads(line))
        except (ValueError, TypeError):  # cut off where the run was stopped
            continue
        if digests.get(result.name.split(":", 1)[0]) == result.file:
            found[result.name] = result
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """How a test file ran before any fault."""

    test: str
    file: str
    """A digest of it."""
    outcome: Outcome


def measured(log: Path, test: str, version: str) -> Outcome | None:
    """Give how a test file ran before, if it is what it was."""
    for line in reversed(log.read_text().splitlines() if log.exists() else []):
        said = json.loads(line)
        if (said["test"], said["file"]) == (test, version):
            return Outcome(**said["outcome"])
    return None


def record(log: Path, result: Result | Measured) -> None:
    """Add a line; several runs may write at once."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def equivalents(text: str) -> dict[tuple[str, Lines, Lines], str]:
    """Read the mutants that no test can catch, each with the reason.

    A paragraph each: the file, the lines that go (`- `), those that come (`+ `), and why.
    """
    found = {}
    for paragraph in text.split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        if not lines:
            continue
        gone = tuple(line[1:].strip() for line in lines if line.startswith("-"))
        came = tuple(line[1:].strip() for line in lines if line.startswith("+"))
        why = " ".join(line.strip() for line in lines[1:] if not line.startswith(("-", "+")))
        if not gone or not why:
            raise ValueError(f"lines and a reason are needed: {paragraph!r}")
        found[lines[0].strip(), gone, came] = why
    return found


def argued(mutant: Mutant, source: bytes, known: Mapping[Any, str]) -> bool:
    """Tell whether a mutant is among those that no test can catch."""
    return (mutant.path, *mutant.difference(source)) in known
