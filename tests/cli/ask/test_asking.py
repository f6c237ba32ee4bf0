"""One conversation from the first question to the last answer, against a fake server."""

from __future__ import annotations

import asyncio
from io import StringIO

import pytest
from fake_pcm_server import FakePcmServer, serving, tone
from rich.console import Console

from client.dialogue import Question
from client.errors import ConnectionLost, NoAnswer
from realtime.cli.ask.asking import Order, run

SPOKEN = Question("a.wav", tone(300))


def order(*questions, **how) -> Order:
    defaults = {"instruction": "", "manual": False, "speed": 1000.0, "patience": 5.0}
    return Order(questions, **defaults | {"as_json": False} | how)


@pytest.fixture(autouse=True)
async def _no_handler_left():
    """Take back the handler of SIGTERM that a run sets for its process."""
    yield
    import signal

    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


@pytest.fixture
def console():
    return Console(file=StringIO())


async def test_all_is_asked_over_one_connection_in_order(console, capsys):
    fake = FakePcmServer(["One.", "Two."])
    async with serving(fake):
        assert await run(order(SPOKEN, SPOKEN), fake.url, None, console)
    assert capsys.readouterr().out == "One.\nTwo.\n"
    assert len(fake.peers) == 1
    assert fake.peers[0].query["turn_detection"] == "vad"


async def test_a_standing_instruction_comes_first_and_push_to_talk_is_asked_for(console):
    fake = FakePcmServer()
    spoken = Question("a.wav", tone(300), "What is it?")
    async with serving(fake):
        assert await run(
            order(spoken, instruction="Be brief.", manual=True), fake.url, None, console
        )
    assert [message["type"] for message in fake.peers[0].received] == [
        "instruction",
        "text",
        "commit",
    ]
    assert fake.peers[0].query["turn_detection"] == "manual"


async def test_one_question_without_an_answer_and_the_whole_is_not_complete(console):
    fake = FakePcmServer(["Fine."])
    short = Question("short.wav", tone(20), "What?")
    async with serving(fake):
        asked = order(short, Question("b", text="And?"), manual=True)
        assert not await run(asked, fake.url, None, console)
    assert "There is no audio." in console.file.getvalue()


async def test_what_ends_it_leaves_the_screen_closed(console):
    fake = FakePcmServer(drop_after=1)
    async with serving(fake):
        with pytest.raises(ConnectionLost):
            await run(order(SPOKEN), fake.url, None, console)
    assert console.file.getvalue().endswith("  Hello\n"), "the line that was begun is ended"


async def test_a_server_that_says_nothing_is_given_up(console):
    class Mute(FakePcmServer):
        async def answer(self, peer, **_):
            pass

    fake = Mute()
    async with serving(fake):
        with pytest.raises(NoAnswer):
            await run(order(SPOKEN, patience=0.05), fake.url, None, console)


def test_a_key_is_not_shown():
    assert "sk-secret" not in repr(order(SPOKEN, key="sk-secret"))
