"""One worker process: how it is started, spoken to, watched and ended.

The worker holds the other end of a socket pair that nobody else has: there is no path on disk,
and when either side dies the other sees the end of the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable

import structlog

from realtime import interpreter
from realtime.engine.worker import messages
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.environment import environment_of_worker

LAST_WORDS = 20
"""Lines of the worker's log that are told when it dies while loading."""
LINE = 16_384
"""Bytes of one line of the worker's log; longer lines are cut in pieces."""

SILENCE_S = 3.0
"""Without a pulse for so long a worker is taken for stopped; limits on silence are no finer."""

Command = Callable[[], list[str]]
"""Gives the program that is a worker."""

log = structlog.get_logger(__name__)


class WorkerProcess:
    """One worker process from birth to death, and the socket to it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer
        self.known: dict[str, None] = {}
        """Clips that it was sent, the oldest first."""
        self.prefilling: frozenset[int] = frozenset()
        """The answers whose prompts the model is reading."""
        self.patience: float | None = None
        """Seconds without a sign until it is killed."""
        self.sign = asyncio.Event()
        """Something came."""
        self.rounds = 0
        self.still = 0.0
        """Seconds for which it was alive and came no further."""
        self.loading = True
        self.verdict = ""
        """Why we killed it, if we did."""
        self.words: deque[str] = deque(maxlen=LAST_WORDS)

    @classmethod
    async def open(cls, command: list[str], config: WorkerConfig) -> WorkerProcess:
        """Start a worker that holds the other end of a new socket pair, as `--fd`.

        Its settings are the first message to it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                reader, writer = await asyncio.open_unix_connection(sock=ours)
            except BaseException:
                ours.close()
                raise
            try:
                # Its own session: Ctrl-C in a terminal is for the gateway alone.
                process = await asyncio.create_subprocess_exec(
                    *command,
                    f"--fd={theirs.fileno()}",
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env=environment_of_worker(os.environ)
                    | {"PYTHONPATH": interpreter.import_path()},
                )
            except BaseException:
                writer.close()
                raise
        worker = cls(process, reader, writer)
        worker.send(messages.Start(config))
        return worker

    def send(self, *sent: messages.ToWorker) -> None:
        """Write messages, all or none of them."""
        self.writer.write(b"".join([messages.frame(message) for message in sent]))

    async def room(self) -> bool:
        """Wait until the worker has read most of what was written; False when it is gone."""
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()
            return True
        return False

    async def receive(self) -> messages.FromWorker | None:
        """Wait for the next message; None when the worker is gone."""
        try:
            (size,) = messages.LENGTH.unpack(await self.reader.readexactly(messages.LENGTH.size))
            message = messages.FROM_WORKER.decode(await self.reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self.sign.set()
        match message:
            case messages.Pulse(rounds, waiting):
                moves = waiting or rounds != self.rounds
                self.rounds, self.still = rounds, 0.0 if moves else self.still + messages.PULSE_S
            case messages.Progress():
                self.still = 0.0
        return message

    async def forward_log(self) -> None:
        """Pass on what the worker prints, line by line, until it is gone."""
        assert self.process.stdout is not None
        rest = b""
        while data := await self.process.stdout.read(LINE):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) >= LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._forward(line)
        self._forward(rest)

    def _forward(self, line: bytes) -> None:
        # A progress bar writes one line over and over; its last state is enough.
        text = line.rstrip().rsplit(b"\r", 1)[-1].decode(errors="replace")
        if text:
            self.still = 0.0 if self.loading else self.still  # a download draws its bar
            self.words.append(text)
            log.info("worker", pid=self.process.pid, line=text)

    def loaded(self, patience: float | None) -> None:
        """Note that the model is loaded and what its loop may take from now on."""
        self.loading, self.still, self.patience = False, 0.0, patience

    async def watch(self, tell: Callable[[bool], None]) -> None:
        """Kill the worker when it is silent, or no further, for longer than `patience`.

        Tell when it falls silent, and when it is heard again. Seconds are counted by what came and
        by waits that were in vain, so that a gateway that was itself stopped blames nobody.
        """
        silent = 0.0
        while self.patience is None or max(silent, self.still) < self.patience:
            self.sign.clear()
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self.sign.wait()
            except TimeoutError:
                silent += SILENCE_S
                tell(True)
            else:
                if silent:
                    tell(False)
                silent = 0.0
        self.verdict = (
            f"it {'gave no sign' if silent else 'came no further'} for {self.patience:g} s"
        )
        log.error(
            "worker stalled", pid=self.process.pid, seconds=self.patience, silent=bool(silent)
        )
        self.kill()

    def kill(self) -> None:
        """Kill the process, if it is still there."""
        # Not process.kill(), which may take the exit code away from asyncio's own watcher.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    async def close(self) -> str:
        """End the worker whatever it does, and tell how it ended."""
        self.writer.close()
        self.kill()
        code = await self.process.wait()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}, for {self.verdict}" if self.verdict else how


def command() -> list[str]:
    """Give the command that starts a worker, but for its end of the socket."""
    return interpreter.command("realtime.engine.worker.main")
