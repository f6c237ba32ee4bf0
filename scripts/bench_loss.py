"""Ask spoken questions over WebRTC through a bad network, and count the right answers.

Every sample of client/samples that is speech goes, in real time, through a UDP relay that drops,
delays and stalls the caller's media by a seed. An answer is right if it is the one turn that the
server makes of it and says exactly what the bundled model says to the sample itself; of a question
that is said again, the last answer counts. Prints one line of JSON; a table goes to stderr.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from bench.caller import Caller, Relay, Weather, calling
from rich.console import Console
from rich.table import Table

from realtime.audio.files import read
from realtime.audio.pcm import Pcm, samples_of
from realtime.cli.ask.own_server import own_server

SAMPLES = Path(__file__).parents[1] / "client" / "samples"
BEFORE = np.zeros(samples_of(300), np.int16)
AFTER_S = 2.0  # for the hangover, and for what is late
MOST_S = 10.0
STALL_AT_S = 1.1  # in the middle of each question's first or second word
AGAIN = "stall 2 s, lost, said again"
REPEATED = ("say-that-again.wav",)

WEATHERS = {
    "clean": Weather(),
    "loss 2 %": Weather(loss=0.02),
    "loss 5 %": Weather(loss=0.05),
    "loss 10 %": Weather(loss=0.10),
    "jitter 60 ms": Weather(jitter_s=0.06),
    "loss 10 %, jitter 60 ms": Weather(loss=0.10, jitter_s=0.06),
    "stall 2 s, late": Weather(stall_at_s=STALL_AT_S, stall_s=2.0),
    "stall 2 s, lost": Weather(stall_at_s=STALL_AT_S, stall_s=2.0, lost_in_stall=True),
    AGAIN: Weather(stall_at_s=STALL_AT_S, stall_s=2.0, lost_in_stall=True),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A recorded question and the answer that is right."""

    name: str
    pcm: Pcm
    answer: str


@dataclass(slots=True)
class Score:
    """What came of one weather."""

    asked: int = 0
    right: int = 0
    packets: int = 0
    lost: int = 0


def main(
    rounds: Annotated[int, typer.Option(help="How often each sample is asked.")] = 5,
    seed: Annotated[int, typer.Option(help="Which packets are lost and late.")] = 1,
    only: Annotated[str, typer.Option(help="Weathers whose name has this in it.")] = "",
) -> None:
    """Ask every sample through every weather."""
    weathers = {name: weather for name, weather in WEATHERS.items() if only in name}
    scores = asyncio.run(measure(weathers, rounds, seed))
    show(scores)
    clean = scores.get("clean")
    result = {}
    for name, score in scores.items():
        share = score.right / score.asked
        result[name] = asdict(score) | {"share": round(share, 3)}
        if clean is not None and clean.right:
            result[name]["of_clean"] = round(share / (clean.right / clean.asked), 3)
    print(json.dumps({"script": "bench_loss", "rounds": rounds, "seed": seed, "weathers": result}))


def questions() -> list[Question]:
    """Read the samples that are questions of their own."""
    index = json.loads((SAMPLES / "samples.json").read_text())
    spoken = {name: entry for name, entry in index.items() if "text" not in entry}
    return [Question(name, read(SAMPLES / name), spoken[name]["answer"]) for name in spoken]


async def measure(weathers: dict[str, Weather], rounds: int, seed: int) -> dict[str, Score]:
    """Ask all questions at once, round by round."""
    everything = questions()
    scores: dict[str, Score] = {}
    async with own_server(None, Console(stderr=True)) as address:
        url = address.replace("ws", "http", 1)
        for name, weather in weathers.items():
            scores[name] = score = Score()
            for number in range(rounds):
                again = name == AGAIN
                # What is right to "say that again" is another answer the second time.
                asked = [q for q in everything if not (again and q.name in REPEATED)]
                seeds = [seed * 1_000_003 + number * 1_009 + i for i in range(len(asked))]
                calls = [
                    ask(url, question, weather, which, again=again)
                    for question, which in zip(asked, seeds, strict=True)
                ]
                for question, (answers, relay) in zip(
                    asked, await asyncio.gather(*calls), strict=True
                ):
                    score.asked += 1
                    score.right += (answers[-1:] if again else answers) == [question.answer]
                    score.packets += relay.packets
                    score.lost += relay.lost
    return scores


async def ask(
    url: str, question: Question, weather: Weather, seed: int, *, again: bool
) -> tuple[list[str], Relay]:
    """Ask one question in a call of its own; give the answers to whatever was heard."""
    relay = Relay(weather, seed)
    once = np.concatenate((BEFORE, question.pcm))
    pause = np.zeros(samples_of(3_000), np.int16)
    async with calling(url, relay=relay) as caller:
        await caller.until("session.created")
        relay.begin()
        caller.microphone.say(np.concatenate((once, pause, once)) if again else once)
        await caller.microphone.silent.wait()
        await asyncio.sleep(AFTER_S + weather.stall_s)
        await settled(caller)
    return [m["text"] for m in caller.got if m["type"] == "response.output_text.done"], relay


async def settled(caller: Caller) -> None:
    """Wait for the answers to all that was heard, if any was."""

    def count(type: str) -> int:
        return sum(message["type"] == type for message in caller.got)

    try:
        async with asyncio.timeout(MOST_S):
            while count("response.done") < max(1, count("input_audio_buffer.speech_stopped")):
                caller.news.clear()
                await caller.news.wait()
    except TimeoutError:
        return


def show(scores: dict[str, Score]) -> None:
    """Print the table."""
    table = Table("network", "asked", "right", "packets lost")
    for name, score in scores.items():
        lost = f"{score.lost / max(1, score.packets):.1%}"
        table.add_row(name, str(score.asked), str(score.right), lost)
    Console(stderr=True).print(table)


if __name__ == "__main__":
    typer.run(main)
