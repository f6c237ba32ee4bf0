"""What the worker process does beside answering: receive, parse, stay light until it loads."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_model
import torch
from safetensors.torch import load_file, save_file

from realtime.engine.worker import messages
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.main import Gateway, load_model, read
from realtime.errors import ModelError

ROOT = Path(__file__).parents[3]
LOADED = SimpleNamespace(model="tensors", info=None)
LIGHT = sorted(
    {p.stem for p in (ROOT / "realtime/engine/worker").glob("*.py")} - {"main", "__init__"}
)


def test_messages_are_read_until_the_stream_ends():
    sent = [messages.Confirm(7), messages.Hear("c", b"\0" * 100_000), messages.Cancel(7)]
    data = b"".join(messages.frame(message) for message in sent)
    assert list(read(BytesIO(data))) == sent
    assert list(read(BytesIO(data[:-30]))) == sent[:1]
    assert list(read(BytesIO(data[:2]))) == []


def test_messages_wait_in_the_inbox_in_order():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gateway = Gateway(theirs)
        for serial in range(5):
            gateway.inbox.put(messages.Cancel(serial))
        assert list(gateway.take(wait=True)) == [messages.Cancel(serial) for serial in range(5)]
        assert list(gateway.take(wait=False)) == []


def test_what_is_sent_arrives():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Gateway(theirs).send(messages.Unloadable("why"))
        assert ours.recv(1000) == messages.frame(messages.Unloadable("why"))


def pulses(ours: socket.socket, monkeypatch, gateway: Gateway, count: int) -> list[messages.Pulse]:
    """Let so many seconds pass for the thread that tells of life; give what it told."""
    seconds = iter(range(count))

    def sleep(pause: float) -> None:
        assert pause == messages.PULSE_S
        if next(seconds, None) is None:
            raise SystemExit

    monkeypatch.setattr("realtime.engine.worker.main.time.sleep", sleep)
    with pytest.raises(SystemExit):
        gateway._beat()
    size = len(messages.frame(messages.Pulse(1, True)))
    data = ours.recv(count * size)
    frames = [data[at : at + size] for at in range(0, len(data), size)]
    return [messages.FROM_WORKER.decode(frame[messages.LENGTH.size :]) for frame in frames]


def test_a_pulse_tells_how_far_the_loop_is_and_whether_it_waits(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gateway = Gateway(theirs)
        assert pulses(ours, monkeypatch, gateway, 1) == [messages.Pulse(0, False)]
        list(gateway.take(wait=False))
        assert pulses(ours, monkeypatch, gateway, 2) == [messages.Pulse(1, False)] * 2
        gateway.inbox.put(messages.Cancel(1))
        list(gateway.take(wait=True))
        assert pulses(ours, monkeypatch, gateway, 1) == [messages.Pulse(2, False)]
        waiting = threading.Thread(target=lambda: list(gateway.take(wait=True)))
        waiting.start()
        while not gateway.waiting:
            pass
        assert pulses(ours, monkeypatch, gateway, 1) == [messages.Pulse(3, True)]
        gateway.inbox.put(messages.Cancel(1))
        waiting.join()
        assert not gateway.waiting


def test_a_model_that_cannot_answer_is_told_while_loading(tmp_path):
    model = tiny_model.save(tmp_path)
    (file,) = model.glob("*.safetensors")
    tensors = load_file(file)
    tensors["language_model.lm_head.weight"][3] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ModelError, match=r"cannot answer.*not finite"):
        load_model(WorkerConfig(str(model), device="cpu"), Gateway(theirs))


def test_every_setting_of_the_model_arrives(monkeypatch, checkpoint):
    """The model itself is left out: what its parts are given is noted."""
    given: dict[str, object] = {}

    def note(name, made):
        def noting(*arguments, **named):
            given[name] = named or arguments[1:]
            return made

        return noting

    monkeypatch.setattr("realtime.engine.model.load.load", note("load", LOADED))
    monkeypatch.setattr("realtime.engine.model.load.computing", note("computing", LOADED))
    monkeypatch.setattr("realtime.engine.model.quantise.refuse", lambda weights: None)
    monkeypatch.setattr("realtime.engine.model.quantise.quantise", note("quantise", None))
    monkeypatch.setattr("realtime.engine.model.build.build", note("build", ("model", "info")))
    config = WorkerConfig(
        str(checkpoint), "cpu", "bfloat16", "eager", "fp8", "fp8", graphs=False, threads=5,
        slots=3, chunk=9, kv_bytes=7,
    )  # fmt: skip
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert load_model(config, Gateway(theirs)) == ("model", "info")
    for named in given["load"], given["build"]:
        del named["progress"]
    assert given["load"] == {
        "device": "cpu", "dtype": "bfloat16", "attention": "eager", "threads": 5,
    }  # fmt: skip
    assert given["computing"] == (5,)
    assert given["quantise"] == ("fp8",)
    assert given["build"] == {
        "slots": 3, "chunk": 9, "kv_bytes": 7, "attention": "eager", "kv_dtype": "fp8",
        "graphs": False,
    }  # fmt: skip


def test_the_first_message_holds_the_settings():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gateway = Gateway(theirs)
        gateway.inbox.put(messages.Start(WorkerConfig("m", slots=3)))
        assert gateway.first() == WorkerConfig("m", slots=3)
        assert gateway.rounds == 0


def test_a_small_model_computes_with_one_thread_and_any_with_as_many_as_told(tmp_path):
    model = tiny_model.save(tmp_path)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for given, threads in ((2, 2), (None, 1)):
            config = WorkerConfig(str(model), device="cpu", threads=given)
            _, info = load_model(config, Gateway(theirs))
            assert info.threads == torch.get_num_threads() == threads


def test_threads_that_have_nothing_to_do_sleep(tmp_path):
    """In a process of its own, for what is set there holds from the import of torch on."""
    program = (
        "import os, sys\n"
        "from realtime.engine.worker import main as worker\n"
        "worker.load_model = lambda *_: sys.exit(os.environ['OMP_WAIT_POLICY'])\n"
        "assert 'torch' not in sys.modules\n"
        "worker.main(['--fd=' + sys.argv[1]])\n"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(messages.frame(messages.Start(WorkerConfig("m"))))
        run = subprocess.run(
            [sys.executable, "-c", program, str(theirs.fileno())],
            capture_output=True,
            text=True,
            cwd=ROOT,
            pass_fds=(theirs.fileno(),),
        )
    assert run.stderr.strip() == "PASSIVE"


@pytest.mark.parametrize("module", LIGHT)
def test_modules_of_the_gateway_load_no_tensor_library(module):
    program = (
        f"import sys, realtime.engine.worker.{module};"
        "print([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "[]", run.stderr


def test_what_a_thread_cannot_decode_ends_the_worker():
    program = (
        "import socket, sys, threading\n"
        "from realtime.engine.worker.main import Gateway\n"
        "gateway = Gateway(socket.socket(fileno=int(sys.argv[1])))\n"
        "gateway.listen()\n"
        "threading.Event().wait()\n"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        ours.sendall(messages.LENGTH.pack(3) + b"\xc1\xc1\xc1")
        assert process.wait() == 1
