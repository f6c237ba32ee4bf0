"""One conversation from the first question to the last answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass, field

from rich.console import Console

from client.dialogue import Dialogue, Question
from client.microphone import Microphone
from client.pcm import TurnDetection, connect
from realtime.cli.ask.report import Report


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be asked, and how."""

    questions: tuple[Question, ...]
    instruction: str
    """A standing one, for every turn."""
    manual: bool
    """Push-to-talk: each recording is one turn, whatever is in it."""
    speed: float
    """Times real time."""
    patience: float
    """Seconds without a word from the server while one is due."""
    as_json: bool
    key: str | None = field(default=None, repr=False)
    """For a server that needs one."""
    ca: str | None = None
    """File of certificates to trust beside the system's."""


async def run(order: Order, url: str | None, model: str | None, console: Console) -> bool:
    """Ask everything in one conversation; tell whether each question was answered."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with contextlib.AsyncExitStack() as stack:
        if url is None:
            from realtime.cli.ask.own_server import own_server

            url = await stack.enter_async_context(own_server(model, console))
        detection: TurnDetection = "manual" if order.manual else "vad"
        voice = await stack.enter_async_context(
            connect(url, turn_detection=detection, key=order.key, ca=order.ca)
        )
        report = stack.enter_context(contextlib.closing(Report(console, as_json=order.as_json)))
        microphone = Microphone(speed=order.speed)
        dialogue = Dialogue(
            voice, microphone, manual=order.manual, patience=order.patience, watch=report.tell
        )
        if order.instruction:
            await voice.instruction(order.instruction)
        for question in order.questions:
            report.begin(question)
            report.end(await dialogue.ask(question))
    return report.complete
