"""A worker process with a fake model, and with ways to fail while loading (the model's name)."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys

from fake_model import CONTEXT, fake_model

from realtime.engine.api import Loading, ModelInfo
from realtime.engine.worker import messages
from realtime.engine.worker.core import EngineCore
from realtime.engine.worker.main import Gateway, answer
from realtime.engine.worker.scheduler import SchedulerConfig


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--model", help="else as its settings say")
    parser.add_argument("--clip-bytes", type=int, default=1 << 20)
    options = parser.parse_args()
    gateway = Gateway(socket.socket(fileno=options.fd))
    gateway.listen()
    config = gateway.first()
    gateway.send(messages.Progress(Loading("weights", 0.5)))
    match options.model or config.model:
        case "broken":
            gateway.send(messages.Unloadable("it is no model"))
            sys.exit(2)
        case "crash":
            print("last words of a worker", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        case "never":
            gateway.send(messages.Progress(Loading(f"pid {os.getpid()}", 0.6)))
            signal.pause()
        case "garbage":
            gateway.connection.sendall(messages.LENGTH.pack(3) + b"\xc1\xc1\xc1")
            signal.pause()
    gateway.send(messages.Ready(ModelInfo("fake", CONTEXT, 0, "none", "none")))
    scheduler = SchedulerConfig(config.slots, config.queue, config.chunk, 1 << 20)
    answer(
        gateway,
        EngineCore(fake_model(), scheduler, gateway.send, clip_bytes=options.clip_bytes),
    )


if __name__ == "__main__":
    main()
