"""When a worker is taken for stopped, for hung, and for one that is only slow; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import virtual_time

from realtime.engine.api import Delta, Loading
from realtime.engine.worker import messages
from realtime.engine.worker.process import SILENCE_S, WorkerProcess

WAITS, STEPS, HANGS = "waits", "steps", "hangs"
STOPPED, PROGRESS, PRINTS = "stopped", "progress", "prints"


class Watched:
    """A worker that does one thing each second, and what became of it."""

    def __init__(self, patience: float | None, *, loading: bool = False) -> None:
        self.worker = WorkerProcess(
            SimpleNamespace(pid=7, returncode=None), asyncio.StreamReader(), None
        )
        if not loading:
            self.worker.loaded(patience)
        self.worker.patience = patience
        self.worker.kill = lambda: self.told.append((self.now, "killed"))
        self.told: list[tuple[float, object]] = []
        self.rounds = 0

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def second(self, doing: str) -> None:
        if doing == STEPS:
            self.rounds += 1
        if doing == PRINTS:
            self.worker._forward(b"a download's bar")
        if doing == PROGRESS:
            self.come(messages.Progress(Loading("weights", 0.1)))
        if doing != STOPPED:
            self.come(messages.Pulse(self.rounds, doing == WAITS))

    def come(self, message: messages.FromWorker) -> None:
        self.worker.reader.feed_data(messages.frame(message))

    async def live(self, days: Iterable[str]) -> list[tuple[float, object]]:
        """Go through the seconds; give what was told, with when."""

        async def receive() -> None:
            while await self.worker.receive():
                pass

        reading = asyncio.create_task(receive())
        watching = asyncio.create_task(
            self.worker.watch(lambda silent: self.told.append((self.now, silent)))
        )
        for doing in days:
            await asyncio.sleep(messages.PULSE_S)
            self.second(doing)
        await asyncio.sleep(messages.PULSE_S / 2)
        for task in (reading, watching):
            task.cancel()
        return self.told


def told(make: Callable[[], Watched], *days: str) -> list[tuple[float, object]]:
    async def main() -> list[tuple[float, object]]:
        return await make().live(days)

    return virtual_time.run(main())


def test_a_worker_that_waits_steps_or_takes_long_is_let_alone():
    assert told(lambda: Watched(300.0), *[WAITS] * 400, *[STEPS] * 400, *[HANGS] * 299) == []


def test_a_stopped_worker_is_told_within_5_seconds_and_again_when_it_is_heard():
    events = told(lambda: Watched(300.0), *[WAITS] * 10, *[STOPPED] * 20, *[WAITS] * 10)
    assert events[0] == (10 + SILENCE_S, True)
    assert SILENCE_S < 5
    assert events[-1] == (31.0, False)
    assert [what for _, what in events[1:-1]] == [True] * 6


def test_a_worker_that_stays_stopped_is_killed_when_patience_ends():
    events = told(lambda: Watched(30.0), *[STEPS] * 5, *[STOPPED] * 40)
    assert [what for _, what in events] == [True] * 10 + ["killed"]
    assert events[-1][0] == 35.0


def test_a_loop_that_hangs_in_a_process_that_lives_is_killed_and_was_never_silent():
    (killed,) = told(lambda: Watched(30.0), *[STEPS] * 5, *[HANGS] * 40)
    assert killed == (35.0, "killed")


def test_without_patience_nobody_is_killed_but_silence_is_told():
    events = told(lambda: Watched(None), *[WAITS, *[STOPPED] * 1000, WAITS])
    assert {what for _, what in events} == {True, False}


def test_loading_may_take_for_ever_while_it_gets_on():
    days = ([HANGS] * 898 + [PROGRESS]) * 2 + ([HANGS] * 898 + [PRINTS]) * 2
    assert told(lambda: Watched(900.0, loading=True), *days) == []


def test_a_hang_while_loading_is_noticed():
    (killed,) = told(lambda: Watched(900.0, loading=True), PROGRESS, *[HANGS] * 1000)
    assert killed == (900.0, "killed")


def test_what_a_loaded_worker_prints_is_no_progress():
    (killed,) = told(lambda: Watched(30.0), *[PRINTS] * 40)
    assert killed[1] == "killed"


def test_any_message_is_a_sign_of_life():
    async def main() -> list[tuple[float, object]]:
        watched = Watched(30.0)
        watched.second = lambda _: watched.come(messages.Piece(1, Delta((), "")))
        return await watched.live([STEPS] * 50)

    assert virtual_time.run(main()) == []


def test_a_gateway_that_was_stopped_itself_blames_nobody():
    async def main() -> list[tuple[float, object]]:
        watched = Watched(30.0)
        living = asyncio.create_task(watched.live([WAITS] * 20))
        await asyncio.sleep(5.5)
        asyncio.get_running_loop()._selector.now += 100_000.0
        return await living

    assert "killed" not in [what for _, what in virtual_time.run(main())]
