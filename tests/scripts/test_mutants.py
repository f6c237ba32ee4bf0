"""Which faults are made, how they are drawn, how the tests that meet them end, and what is told."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from mutation import forks, main, sample
from mutation.operators import Mutant, mutants
from mutation.sample import Result

SCRIPTS = forks.ROOT / "scripts"


def changes(source: str) -> set[str]:
    """Give what every mutant makes of one-line differences."""
    body = source.encode()
    return {" / ".join(mutant.difference(body)[1]) for mutant in mutants("a.py", body)}


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("x = a < b", {"x = (a <= b)", "x = (a >= b)"}),
        ("x = a is b", {"x = (a is not b)"}),
        ("x = a in b", {"x = (a not in b)"}),
        ("x = a // b", {"x = (a * b)"}),
        ("x = a | b", {"x = (a & b)"}),
        ("x = a and b", {"x = (a or b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = -a", {"x = (a)"}),
        ("x = True", {"x = False"}),
        ("x = 2", {"x = 3", "x = 1"}),
        ("x = 0.5", {"x = 1.5", "x = 0.25"}),
        ("x = 'a'", {"x = 'XXa'"}),
        ("x = b'a'", {"x = b'XXa'"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = a[b:]", {"x = a[:]"}),
        ("x = a if b else c", {"x = a if (not b) else c"}),
        ("x = [a for a in b if a]", {"x = [a for a in b if (not a)]"}),
        ("x = [a, b, c]", {"x = [b, c]", "x = [a, c]", "x = [a, b]"}),
        ("x = {a: b, c: d}", {"x = {c: d}", "x = {a: b}"}),
        ("def f():\n    return a", {"return None"}),
        ("def f():\n    a()", {"pass"}),
        ("def f():\n    raise E('text')", {"pass"}),
        ("def f(self):\n    self.a = b", {"pass"}),
        ("def f(a):\n    a = b", {"pass"}),
        ("def f():\n    a += b", {"pass"}),
        ("def f():\n    a = b", set()),
        ("def f():\n    for a in b:\n        break", {"for a in ():", "continue"}),
        ("try:\n    import a\nexcept E:\n    b", {"raise"}),
        ("match a:\n    case B():\n        import c", {"case B() if False:"}),
    ],
)
def test_the_faults_of_a_piece_of_code(source, made):
    assert changes(source) >= made
    assert made or not changes(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""1 < 2"""',
        "def f(a: int | None) -> list[1]:\n    'text'",
        "from a import b",
        "@dataclass(frozen=True)\nclass A:\n    b: Literal['c']",
        "class A(frozen=True):\n    ...",
        "if TYPE_CHECKING:\n    a = 1",
        "assert a < 1",
        "x = f'{1 + 2}'",
        "Cell = int | tuple[str, int]",
        "Event = Started | Ended",
        "__all__ = ['a', 'b']",
        "T = TypeVar('T')",
        "x = cast('int', y)",
    ],
)
def test_what_is_left_alone(source):
    assert changes(source) == set()


def test_every_mutant_is_another_program_and_is_python():
    for path in ("realtime/engine/worker/kv_allocator.py", "realtime/audio/g711.py"):
        source = (forks.ROOT / path).read_bytes()
        found = mutants(path, source)
        assert len({mutant.name for mutant in found}) == len(found) > 50
        plain = ast.dump(ast.parse(source))
        for mutant in found:
            assert ast.dump(ast.parse(mutant.applied(source))) != plain, mutant.difference(source)


def test_places_are_bytes_not_characters():
    source = "x = 'ä', a < b".encode()
    mutant = next(m for m in mutants("a.py", source) if m.kind == "comparison")
    assert mutant.applied(source).decode() == "x = 'ä', (a <= b)"


# Drawing -----------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a tree of two modules, one with tests of its own and one with tests beside it."""
    (tmp_path / "realtime").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "realtime/__init__.py").write_text("")
    (tmp_path / "realtime/one.py").write_text("def f(a):\n    return a + 1\n")
    (tmp_path / "realtime/two.py").write_text("A = [1, 2, 3]\nB = 4\nC = 5\n")
    (tmp_path / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\npythonpath = ['.']\naddopts = '--import-mode=importlib'\n"
    )
    return tmp_path


def test_a_sample_is_shared_out_by_counts_and_is_the_same_for_the_same_seed(tree):
    files = sample.modules(tree, ["realtime"])
    assert files == ["realtime/one.py", "realtime/two.py"]
    every = {file: len(mutants(file, (tree / file).read_bytes())) for file in files}
    assert every == {"realtime/one.py": 4, "realtime/two.py": 13}
    drawn = sample.drawn(tree, files, 7, 8)
    assert [m.path for m in drawn].count("realtime/one.py") == 2
    assert drawn == sample.drawn(tree, files, 7, 8)
    assert drawn != sample.drawn(tree, files, 8, 8)
    assert len(sample.drawn(tree, files, 7, 1000)) == 17


def test_shares_come_to_the_size():
    assert sample.shares({"a": 1, "b": 1, "c": 1}, 2) == {"a": 1, "b": 1, "c": 0}
    assert sample.shares({"a": 30, "b": 10}, 4) == {"a": 3, "b": 1}
    assert sample.shares({"a": 3}, 9) == {"a": 3}


def test_the_tests_of_a_module_have_its_name():
    assert sample.own_tests("realtime/audio/pcm.py") == "tests/audio/test_pcm.py"
    assert sample.own_tests("realtime/log.py") == "tests/test_log.py"


# What is known already ---------------------------------------------------------------------------


def test_results_are_kept_for_files_that_were_not_edited_and_the_last_one_counts(tmp_path):
    log = tmp_path / "made" / "log.jsonl"
    sample.record(log, Result("a.py:1:2:x", "v1", "survived"))
    sample.record(log, Result("a.py:1:2:x", "v1", "caught", "test_a"))
    sample.record(log, Result("b.py:1:2:x", "v1", "caught"))
    with log.open("a") as file:
        file.write('{"name": "cut o')
    found = sample.recorded(log, {"a.py": "v1", "b.py": "v2"})
    assert found == {"a.py:1:2:x": Result("a.py:1:2:x", "v1", "caught", "test_a")}


def test_what_was_not_caught_is_tried_again_when_told():
    made = Mutant("a.py", 1, 2, "x", "constant")
    known = {made.name: Result(made.name, "v1", "survived")}
    assert main.untried(made, {}, again=False)
    assert not main.untried(made, known, again=False)
    assert main.untried(made, known, again=True)
    caught = {made.name: Result(made.name, "v1", "caught")}
    assert not main.untried(made, caught, again=True)


def test_an_equivalent_needs_lines_and_a_reason():
    text = "# said\n# about\n\na.py\n- x = 1\n+ x = 2\nNobody reads it.\n"
    known = sample.equivalents(text)
    assert known == {("a.py", ("x = 1",), ("x = 2",)): "Nobody reads it."}
    source = b"x = 1\n"
    up, down = mutants("a.py", source)
    assert {m.text: sample.argued(m, source, known) for m in (up, down)} == {"2": True, "0": False}
    with pytest.raises(ValueError, match="reason"):
        sample.equivalents("a.py\n- x = 1\n+ x = 2\n")


def test_every_argued_equivalent_is_a_mutant_of_today():
    known = sample.equivalents(sample.EQUIVALENT.read_text())
    made = set()
    for path in {path for path, _, _ in known}:
        source = (forks.ROOT / path).read_bytes()
        made |= {(path, *mutant.difference(source)) for mutant in mutants(path, source)}
    assert set(known) <= made, "the code has changed: argue anew or take out"


def test_only_what_survived_can_be_equivalent(monkeypatch, tmp_path):
    listed = tmp_path / "equivalent.txt"
    listed.write_text("a.py\n- x = 1\n+ x = 2\nNobody reads it.\n")
    monkeypatch.setattr(sample, "EQUIVALENT", listed)
    made = next(m for m in mutants("a.py", b"x = 1\n") if m.text == "2")
    said = [
        main.verdict(made, b"x = 1\n", Result(made.name, "v1", word))
        for word in ("survived", "caught", "time-out")
    ]
    assert said == ["equivalent", "caught", "time-out"]


# The table ---------------------------------------------------------------------------------------


def test_time_outs_and_import_errors_are_no_catches_and_equivalents_do_not_count():
    words = ["caught"] * 6 + ["survived", "equivalent", "equivalent", "time-out", "import error"]
    made = [(Mutant(f"realtime/a/{i}.py", 0, 1, "", ""), word) for i, word in enumerate(words)]
    _, _, row, none, total = main.table(made, ["realtime/a", "realtime/ab"])
    assert row == "| realtime/a | 11 | 6 | 1 | 2 | 1 | 1 | 66.7 |"
    assert none == "| realtime/ab | 0 | 0 | 0 | 0 | 0 | 0 | - |"
    assert total == row.replace("realtime/a", "all")


def test_a_survivor_is_shown_with_its_place():
    source = b"a = 1\nb = 2\n"
    made = next(m for m in mutants("a.py", source) if m.text == "3")
    assert main.shown(made, source, "survived").splitlines() == [
        "a.py:2 (constant, survived)",
        "- b = 2",
        "+ b = 3",
    ]


# Forks -------------------------------------------------------------------------------------------


def alone(tree: Path, code: str) -> str:
    """Run code on a tree in a process of its own, as the command does; give what it prints."""
    head = f"""
import sys
sys.path.insert(0, {str(SCRIPTS)!r})
from pathlib import Path
from mutation import forks, main
forks.ROOT = Path({str(tree)!r})
forks.warm(model=False)
"""
    run = [sys.executable, "-c", head + code]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tree)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_how_tests_end_in_a_fork(tree):
    tests = {
        "passes": "from realtime.one import f\ndef test_f(): assert f(1) == 2",
        "fails": "def test_f(): assert False",
        "imports": "from realtime.one import nothing",
        "dies": "import os\ndef test_f(): os.abort()",
        "hungry": "def test_f(): raise MemoryError",
        "endless": "def test_f():\n    while True: pass",
        "leaves": "import subprocess\n"
        "left = subprocess.Popen(['sleep', '600'])\n"
        "print(left.pid, file=open('left', 'w'), flush=True)\n"
        "def test_f(): pass",
    }
    for name, text in tests.items():
        (tree / f"tests/test_{name}.py").write_text(text + "\n")
    said = alone(
        tree,
        f"""
for name in {list(tests)}:
    found = forks.run_tests(forks.ROOT, [f"tests/test_{{name}}.py"], 2 if name == "endless" else 20)
    print(name, found.verdict, found.by)
""",
    )
    assert [line.rstrip() for line in said.splitlines()] == [
        "passes passed",
        "fails failed tests/test_fails.py::test_f",
        "imports import error tests/test_imports.py",
        "dies import error",
        "hungry time-out",
        "endless time-out",
        "leaves passed",
    ]
    state = Path("/proc", (tree / "left").read_text().strip(), "stat")
    assert not state.exists() or state.read_text().rsplit(")")[-1].split()[0] == "Z"


def test_slow_tests_are_left_out_and_fast_ones_come_first(tree):
    test = "def test_{0}():\n    with open('order', 'a') as file: file.write('{0}')\n"
    (tree / "tests/test_one.py").write_text("".join(map(test.format, "abc")))
    alone(
        tree,
        """
name = "tests/test_one.py"
forks.run_tests(forks.ROOT, [name], 20, {f"{name}::test_a": 1.0, f"{name}::test_b": 3.0}, slow=2)
""",
    )
    assert (tree / "order").read_text() == "ca"


def test_a_run_tries_keeps_and_goes_on(tree):
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    (tree / "tests/test_one.py").write_text(
        "from realtime.one import f\ndef test_f(): assert f(1) == 2\n"
    )
    (tree / "tests/test_two.py").write_text(
        "from realtime import two\ndef test_b(): assert two.B == 4 and two.A\n"
    )
    log = tree / "log.jsonl"
    run = f"main.main(['realtime', '--sample', '9', '--log', {str(log)!r}, '--show'])"
    said = alone(tree, run)
    verdicts = [json.loads(line)["verdict"] for line in log.read_text().splitlines()]
    caught, survived = verdicts.count("caught"), verdicts.count("survived")
    assert caught >= 2
    assert survived >= 2
    assert caught + survived == 9
    assert f"| realtime | 9 | {caught} | {survived} | 0 | 0 | 0 | {100 * caught / 9:.1f} |" in said
    assert "(constant, survived)\n- C = 5\n+ C = " in said
    assert (tree / "realtime/one.py").read_text() == "def f(a):\n    return a + 1\n"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-3]))
    assert "9 mutants of 2 files, 3 to try" in alone(tree, run)


def test_a_part_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        main.parsed(["realtime/nothing"])
    assert "no such file" in capsys.readouterr().err
