"""`scripts/setup` on machines that are made of stubs: which Python it takes, and what it says."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "dirname", "env", "mkdir", "sha256sum", "touch", "chmod", "cp")

PYTHON = """#!/usr/bin/env bash
case "$1 $2" in
    "--version ") echo "Python {version}" ;;
    "-c "*) exit {old} ;;
    "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-m pip") echo "$0 $*" >>calls; . "{folder}/pip" ;;
esac
"""
PIP = """
echo "Collecting small==1.0"
echo "  Downloading small-1.0-py3-none-any.whl (9.3 MB)"
echo "Collecting torch==2.13.0"
echo "  Downloading torch-2.13.0-cp311.whl (915.2 MB)"
echo "Installing collected packages: small, torch"
exit {code}
"""
APT = """#!/usr/bin/env bash
echo "$0 $*" >>calls
[ "$1" = install ] && case "$*" in *python3.11*) cp "{folder}/new" "{folder}/python3.11" ;; esac
exit 0
"""


class Machine:
    """A folder of programs that is all of PATH, and a checkout."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.tree = folder / "tree"
        (self.tree / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        shutil.copy(ROOT / "scripts" / "setup", self.tree / "scripts")
        for name in ("scripts/requirements.lock", "pyproject.toml"):
            (self.tree / name).write_text("small==1.0\ntorch==2.13.0\n")
        self.has("id", "#!/usr/bin/env bash\necho 1000\n")
        self.pip_ends(0)

    def has(self, name: str, program: str) -> None:
        path = self.bin / name
        path.write_text(program)
        path.chmod(0o755)

    def has_python(self, version: str, name: str = "python3") -> None:
        old = int(tuple(map(int, version.split("."))) < (3, 11))
        self.has(name, PYTHON.format(version=version, old=old, folder=self.bin))

    def pip_ends(self, code: int) -> None:
        (self.bin / "pip").write_text(PIP.format(code=code))

    def is_roots_with_apt(self) -> None:
        self.has("id", "#!/usr/bin/env bash\necho 0\n")
        self.has_python("3.11.9", "new")
        self.has("apt-get", APT.format(folder=self.bin))
        self.has("apt-cache", '#!/usr/bin/env bash\n[ "$2" = python3.11-venv ]\n')

    def setup(self, **kwargs) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "HOME": str(self.tree)}
        kwargs = {"stderr": subprocess.PIPE} | kwargs
        command = [self.tree / "scripts" / "setup", "run"]
        return subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, **kwargs
        )

    @property
    def calls(self) -> str:
        return (self.tree / "calls").read_text()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_in_a_log_it_tells_what_takes_long_and_no_more(machine):
    machine.has_python("3.12.1")
    done = machine.setup()
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[1:4] == [
        "  downloading torch-2.13.0-cp311.whl (915.2 MB)",
        "  installing small, torch",
        "  downloading torch-2.13.0-cp311.whl (915.2 MB)",  # the second call of the same stub
    ]
    assert "-q" not in machine.calls


def test_on_a_terminal_pip_shows_its_own_bar(machine):
    machine.has_python("3.12.1")
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb"):
        done = machine.setup(stderr=follower)
        shown = os.read(leader, 65536).decode()
        os.close(follower)
    assert done.returncode == 0
    assert "Collecting small==1.0" in shown
    assert "-q" not in machine.calls


def test_what_is_set_up_is_not_set_up_again(machine):
    machine.has_python("3.12.1")
    machine.setup()
    calls = machine.calls
    assert (machine.setup().stderr, machine.calls) == ("", calls)


def test_pip_that_fails_is_one_sentence(machine):
    machine.has_python("3.12.1")
    machine.pip_ends(1)
    done = machine.setup()
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("setup: pip could not install what is needed")
    assert not (machine.tree / ".venv" / "setup-run").exists()


def test_with_an_old_python_alone_it_says_how_to_get_one(machine):
    machine.has_python("3.10.12")
    done = machine.setup()
    assert done.returncode == 2
    for words in ("here is Python 3.10.12", "apt install python3.11", "uv python install 3.12"):
        assert words in done.stderr


def test_without_any_python_it_says_the_same(machine):
    done = machine.setup()
    assert done.returncode == 2
    assert "uv python install" in done.stderr


def test_a_newer_one_beside_an_old_one_is_found(machine):
    machine.has_python("3.10.12")
    machine.has_python("3.11.9", "python3.11")
    assert machine.setup().returncode == 0


def test_the_one_that_uv_has_is_found(machine):
    machine.has_python("3.10.12")
    machine.has_python("3.12.1", "uvs")
    machine.has(
        "uv", f'#!/usr/bin/env bash\n[ "$1 $2" = "python find" ] && echo {machine.bin}/uvs\n'
    )
    assert machine.setup().returncode == 0


def test_root_on_an_old_distribution_gets_python_from_apt(machine):
    machine.has_python("3.10.12")
    machine.is_roots_with_apt()
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert "install -y -qq --no-install-recommends python3.11 python3.11-venv" in machine.calls
