"""`realtime serve` as a person runs it: help, errors in one sentence, and a clean end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import undisturbed_logging
from typer.testing import CliRunner

from realtime.cli.main import app
from realtime.cli.serve import address, banner, in_the_clear, own_name
from realtime.config import DEMO_MODEL, Settings
from realtime.engine.api import Memory, ModelInfo
from realtime.engine.worker.config import WorkerConfig
from realtime.gateway.access.keys import add_key, new_key
from realtime.gateway.http.settings import ServerConfig

ROOT = Path(__file__).parents[2]
LOST = b"realtime_log_lines_lost "
MODEL = ModelInfo("a-model", 8192, 4_500_000, "float32", "cpu")


@pytest.fixture
def run(monkeypatch):
    """Run `realtime serve` in this process; it must end by itself."""
    for name in [name for name in os.environ if name.startswith("REALTIME_")]:
        monkeypatch.delenv(name)
    with undisturbed_logging():
        yield lambda *arguments: CliRunner().invoke(app, ["serve", *arguments])


def test_help_teaches_by_examples(run):
    result = run("--help")
    assert result.exit_code == 0
    for words in ("realtime serve --model Qwen/Qwen2-Audio-7B-Instruct", "--port", "--config"):
        assert words in result.stdout


def test_a_wrong_setting_is_one_sentence_and_exit_code_2(run, tmp_path):
    (tmp_path / "c.toml").write_text("[server]\nprot = 1\n")
    result = run("--config", str(tmp_path / "c.toml"))
    assert result.exit_code == 2
    assert "did you mean server.port?" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [("--weights", "int4", "one of auto, int8, fp8"), ("--kv-dtype", "int8", "one of auto, fp8")],
)
def test_numbers_that_weights_and_keys_cannot_be_kept_in(run, option, value, allowed):
    result = run(option, value)
    assert result.exit_code == 2
    assert allowed in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_one_sentence_and_exit_code_2(run):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = run("--port", str(port))
    assert result.exit_code == 2
    assert f"Port {port} on 127.0.0.1 is in use by another program" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_model_that_is_not_there_is_told_before_the_port(run):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = run("--port", str(other.getsockname()[1]), "--model", "/nowhere")
    assert (result.exit_code, result.stderr) == (1, "realtime: there is no folder /nowhere\n")


def test_others_come_in_with_keys_only(run):
    result = run("--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "Without a key only this machine may come in" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--key-file", "none.txt"], "none.txt cannot be read"),
        (["--tls-certificate", "none.pem"], "belong together"),
        (["--tls-certificate", "none.pem", "--tls-key", "none.pem"], "TLS cannot read"),
    ],
)
def test_keys_and_certificates_that_cannot_be_read(run, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


class Listening:
    """A socket, as far as its address goes."""

    def __init__(self, host: str) -> None:
        self.host = host

    def getsockname(self) -> tuple[str, int]:
        return self.host, 8765


@pytest.mark.parametrize(
    ("host", "config", "warned"),
    [
        ("0.0.0.0", ServerConfig(), True),
        ("::", ServerConfig(), True),
        ("10.0.0.1", ServerConfig(), True),
        ("127.0.0.1", ServerConfig(), False),
        ("::1", ServerConfig(), False),
        ("0.0.0.0", ServerConfig(tls_certificate="c.pem", tls_key="k.pem"), False),
        ("0.0.0.0", ServerConfig(tls_by_proxy=True), False),
    ],
)
def test_keys_that_can_be_read_on_the_way_are_warned_of(host, config, warned):
    assert in_the_clear(config, Listening(host)) is warned


def test_the_warning_is_one_line_and_says_what_to_do(run, monkeypatch, tmp_path):
    async def stopped(*_) -> bool:
        return False

    def bind(*_, **__):
        return nullcontext(Listening("10.0.0.1"))

    add_key(tmp_path / "keys", new_key())
    monkeypatch.setattr("realtime.gateway.http.server.bind", bind)
    monkeypatch.setattr("realtime.cli.serve.serve_model", stopped)
    result = run("--key-file", str(tmp_path / "keys"))
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert "unencrypted" in line
    assert "--tls-certificate" in line
    assert "server.tls_by_proxy" in line


def test_service_links_are_ignored_in_one_line(run, monkeypatch):
    monkeypatch.setenv("REALTIME_PORT", "tcp://10.0.0.1:8765")
    monkeypatch.setenv("REALTIME_SERVER_PORT", "tcp://10.0.0.2:8765")
    result = run("--host", "0.0.0.0")
    ignored, refused = result.stderr.splitlines()
    assert "Kubernetes" in ignored
    assert "['REALTIME_PORT', 'REALTIME_SERVER_PORT']" in ignored
    assert "Without a key" in refused


@pytest.mark.parametrize("port", ["99999", "-1", "many"])
def test_a_port_that_is_none(run, port):
    assert run("--port", port).exit_code == 2


def test_a_path_that_is_no_model_is_said_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "realtime", "serve", "--port", "0"]
    result = subprocess.run(
        [*command, "--model", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("realtime: ")
    assert str(tmp_path / "none") in last
    assert result.stderr.count(str(tmp_path / "none")) == 1
    assert "Traceback" not in result.stdout + result.stderr


def test_among_json_lines_the_last_sentence_is_one_too(tmp_path):
    command = [sys.executable, "-m", "realtime", "serve", "--port", "0", "--log-json"]
    result = subprocess.run(
        [*command, "--model", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    *_, last = [json.loads(line) for line in result.stderr.splitlines()]
    assert (result.returncode, last["event"], last["code"]) == (1, "stopped", 1)
    assert str(tmp_path / "none") in last["reason"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the worker in /proc")
def test_stopped_while_loading_it_ends_with_0_and_leaves_no_worker():
    server = subprocess.Popen(
        [sys.executable, "-m", "realtime", "serve", "--port", "0", "--log-json"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        first = json.loads(server.stderr.readline())
        assert first["event"] == "loading"
        workers = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        server.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in server.stderr.read().splitlines()]
        assert server.wait(60) == 0
        assert len(workers) == 1
        assert not Path(f"/proc/{workers[0]}").exists()
        assert "draining" in [line["event"] for line in lines]
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def test_a_hangup_while_loading_ends_nothing(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[server]\ndrain_s = 3\n")
    command = [sys.executable, "-m", "realtime", "serve", "--port", "0", "--log-json"]
    server = subprocess.Popen(
        [*command, "--config", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert json.loads(server.stderr.readline())["event"] == "loading"
        file.write_text("[server]\ndrain_s = 4\n")
        server.send_signal(signal.SIGHUP)
        lines = []
        while not lines or lines[-1]["event"] != "serving":
            lines.append(json.loads(server.stderr.readline()))
        assert {"address", "keys", "name", "dtype", "memory"} <= set(lines[-1])
        assert "model loaded again" not in [line["event"] for line in lines]
        assert ["server.drain_s"] in [line.get("changed") for line in lines]
        server.send_signal(signal.SIGTERM)
        assert "Traceback" not in server.stderr.read()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def worker_of(server: subprocess.Popen[bytes]) -> int:
    """Find the server's worker in /proc."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    (worker,) = [child for child, parent in parents.items() if parent == server.pid]
    return worker


def readiness(url: str) -> tuple[int, dict]:
    """Ask a server whether it is ready."""
    try:
        with urllib.request.urlopen(f"{url}/readyz") as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def until(url: str, status: int) -> dict:
    """Wait until the server answers so; give what it says."""
    while (told := readiness(url))[0] != status:
        time.sleep(0.05)
    return told[1]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the worker in /proc")
def test_nobody_who_reads_the_log_and_a_worker_that_stops_or_dies_end_nothing():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "realtime", "serve", "--port", str(port)]
    server = subprocess.Popen(command, stdout=writing, stderr=writing, cwd=ROOT)
    os.close(writing)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert server.poll() is None
            with contextlib.suppress(OSError):
                until(url, 200)
                break
        first = worker_of(server)
        os.kill(first, signal.SIGSTOP)
        assert until(url, 503)["reason"] == "the worker gives no sign of life"
        os.kill(first, signal.SIGCONT)
        until(url, 200)
        os.kill(first, signal.SIGKILL)
        assert until(url, 503)["reason"] == "the worker ended: killed by signal 9"
        until(url, 200)
        assert worker_of(server) != first
        with urllib.request.urlopen(f"{url}/metrics") as page:
            (line,) = [line for line in page.read().splitlines() if line.startswith(LOST)]
        assert float(line.split()[1]) > 3
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def test_the_banner_says_what_and_where_and_how_to_go_on():
    settings = Settings(worker=WorkerConfig("some/model"))
    text = banner(settings, MODEL, "http://127.0.0.1:8765", "none: only this machine may come in")
    for words in (
        "http://127.0.0.1:8765 in a browser",
        "ws://127.0.0.1:8765",
        "a-model",
        "cpu, float32",
        "realtime ask question.wav",
        "none: only this machine may come in",
    ):
        assert words in text
    assert "demonstration" not in text


@pytest.mark.parametrize(
    ("threads", "told"), [(0, "float32\n"), (1, "1 thread\n"), (3, "3 threads\n")]
)
def test_the_banner_says_how_many_threads_compute(threads, told):
    text = banner(Settings(), replace(MODEL, threads=threads), "http://127.0.0.1:8765", "none")
    assert told in text


def test_what_can_be_copied_from_the_banner_is_whole_at_80_columns():
    model = replace(MODEL, memory=Memory(1 << 34, 1 << 34, 1 << 28, 1 << 30, 1 << 31, 349_504))
    keys = "1 in keys.txt"
    lines = banner(Settings(), model, "https://127.0.0.1:8765", keys).splitlines()
    assert max(map(len, lines)) <= 80
    assert "             realtime ask question.wav --url wss://127.0.0.1:8765" in lines
    assert "  keys       1 in keys.txt; ask takes one from REALTIME_KEY" in lines
    assert "             realtime serve --model Qwen/Qwen2-Audio-7B-Instruct" in lines


def test_the_command_is_named_as_it_can_be_typed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv/bin/realtime")])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert own_name() == ".venv/bin/realtime"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "realtime/__main__.py")])
    assert own_name() == "python -m realtime"
    (tmp_path / "realtime").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_name() == "realtime"


def test_the_bundled_model_is_called_a_demonstration():
    assert "demonstration" in banner(Settings(), MODEL, "https://127.0.0.1:8765", "2 in keys.txt")
    assert Settings().worker.model == str(DEMO_MODEL)


@pytest.mark.parametrize(
    ("family", "bound", "shown"),
    [(socket.AF_INET, "0.0.0.0", "127.0.0.1"), (socket.AF_INET, "127.0.0.1", "127.0.0.1")],
)
def test_the_address_shown_can_be_opened(family, bound, shown):
    with socket.socket(family) as listening:
        listening.bind((bound, 0))
        assert address(listening) == f"http://{shown}:{listening.getsockname()[1]}"
