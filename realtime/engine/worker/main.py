"""The worker process: the model's loop in the main thread, two threads beside it.

One thread receives; the other tells the gateway every second that the process is alive and how far
the loop has come, so that a process that is stopped, a loop that hangs and a step that takes long
can be told apart. Messages are acted on between two steps of the model, so a cancellation waits for
at most the step that is running. The process ends as soon as the gateway's end of the socket
closes: there are no orphans. Started by `process.WorkerProcess`, with one end of a socket pair as
file descriptor `--fd`.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import BinaryIO

from realtime.engine import checkpoint
from realtime.engine.api import Loading, ModelInfo
from realtime.engine.steps import LoadedModel
from realtime.engine.worker import environment, messages, threads
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.core import EngineCore
from realtime.engine.worker.scheduler import SchedulerConfig
from realtime.errors import ModelError

INBOX = 64
"""Messages received and not yet acted on; beyond that the gateway's writes wait."""


class Gateway:
    """The gateway as the worker sees it: an inbox that a thread fills, and a way to tell."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.inbox: queue.Queue[messages.ToWorker] = queue.Queue(INBOX)
        self.sending = threading.Lock()
        self.rounds = 0
        """Rounds of the model's loop; each begins by taking messages."""
        self.waiting = False
        """Whether the loop waits for a message."""

    def listen(self) -> None:
        """Begin to receive, and to tell of life. The threads end with the process, and the process
        with the gateway."""
        for work in (self._receive, self._beat):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def send(self, message: messages.FromWorker) -> None:
        """Send a message; without a gateway there is nothing left to do."""
        frame = messages.frame(message)
        try:
            with self.sending:
                self.connection.sendall(frame)
        except OSError:
            os._exit(0)

    def first(self) -> WorkerConfig:
        """Wait for the first message, which holds the settings."""
        message = self.inbox.get()
        assert isinstance(message, messages.Start)
        return message.config

    def take(self, *, wait: bool) -> Iterator[messages.ToWorker]:
        """Give the messages that have come; with `wait`, at least one."""
        self.rounds += 1
        if wait:
            self.waiting = True
            first = self.inbox.get()
            self.waiting = False
            yield first
        for _ in range(self.inbox.qsize()):
            yield self.inbox.get_nowait()

    def _beat(self) -> None:
        while True:
            time.sleep(messages.PULSE_S)
            self.send(messages.Pulse(self.rounds, self.waiting))

    def _receive(self) -> None:
        code = 0
        try:
            with self.connection.makefile("rb") as stream:
                for message in read(stream):
                    self.inbox.put(message)
        except ConnectionError:
            pass
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
            code = 1
        finally:
            # Whatever the model is at: a worker without a gateway must not live on. Nothing is
            # lost by ending at once, for nothing is kept on disk.
            os._exit(code)


def read(stream: BinaryIO) -> Iterator[messages.ToWorker]:
    """Read messages until the stream ends."""
    while len(head := stream.read(messages.LENGTH.size)) == messages.LENGTH.size:
        (size,) = messages.LENGTH.unpack(head)
        payload = stream.read(size)
        if len(payload) < size:
            return
        yield messages.TO_WORKER.decode(payload)


def main(arguments: list[str] | None = None) -> None:
    """Load the model and answer until the gateway is gone."""
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal tells them to us, too
        signal.signal(number, signal.SIG_IGN)
    threads.wait_asleep(os.environ)
    environment.grow_in_place(os.environ)
    gateway = Gateway(socket.socket(fileno=parse(arguments).fd))
    gateway.listen()
    try:
        config = gateway.first()
        model, info = load_model(config, gateway)
    except ModelError as error:
        gateway.send(messages.Unloadable(str(error)))
        sys.exit(2)
    gateway.send(messages.Ready(info))
    scheduling = SchedulerConfig(config.slots, config.queue, config.chunk, model.cells)
    answer(gateway, EngineCore(model, scheduling, gateway.send))


def answer(gateway: Gateway, core: EngineCore) -> None:
    """Alternate between messages and steps for ever; wait only when there is no step to run."""
    busy = False
    while True:
        for message in gateway.take(wait=not busy):
            core.receive(message)
        busy = core.step()


def load_model(config: WorkerConfig, gateway: Gateway) -> tuple[LoadedModel, ModelInfo]:
    """Load the model, telling the gateway how far it is."""

    def progress(stage: str, fraction: float) -> None:
        gateway.send(messages.Progress(Loading(stage, fraction)))

    checkpoint.locate(config.model)
    progress("libraries", 0.0)
    # Importing torch takes seconds; a wrong name was told before, and the gateway is heard.
    from realtime.engine.model import build, onednn_linear, quantise
    from realtime.engine.model import load as loading

    quantise.refuse(config.weights)
    cores = threads.available()
    loaded = loading.load(
        config.model,
        device=config.device,
        dtype=config.dtype,
        attention=config.attention,
        threads=config.threads or cores,
        progress=progress,
    )
    loaded = loading.computing(
        loaded, config.threads or threads.chosen(loaded.info, cores, config.spare_cores)
    )
    if config.weights == "auto":
        progress("packing", 0.97)
        loading.explained(config.model, lambda: onednn_linear.pack(loaded.model))
    else:
        quantise.quantise(loaded.model, config.weights)
    progress("warm-up", 0.98)
    return build.build(
        loaded,
        slots=config.slots,
        chunk=config.chunk,
        kv_bytes=config.kv_bytes,
        attention=config.attention,
        kv_dtype=config.kv_dtype,
        graphs=config.graphs,
        progress=progress,
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read what `process.WorkerProcess` gives; settings come as a message."""
    parser = argparse.ArgumentParser(
        prog="python -m realtime.engine.worker.main", description=__doc__
    )
    parser.add_argument("--fd", type=int, required=True, help="inherited socket to the gateway")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
