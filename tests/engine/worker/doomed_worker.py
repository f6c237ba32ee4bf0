"""A worker with the real model that is killed (SIGKILL) at one stage of its work (`--stage`).

While it loads, once in all; else whenever it is at an answer that hears the clip `doomed`.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from realtime.engine.model import audio_embeddings, runner
from realtime.engine.model import load as model
from realtime.engine.worker import main as worker

DOOMED = "doomed"


def die(stage: str, marks: Path) -> None:
    """Leave a mark, and be killed as the system would."""
    (marks / f"{stage} {os.getpid()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def while_loading(marks: Path) -> None:
    stock = model.weights_progress

    def weights_progress(progress):
        # The processor is there, the weights are about to be read.
        if not list(marks.iterdir()):
            die("load", marks)
        return stock(progress)

    model.weights_progress = weights_progress


def while_encoding(marks: Path) -> None:
    of, encode = audio_embeddings.AudioEmbeddingCache.of, audio_embeddings.encode
    heard: set[str] = set()

    def named(self, clips):
        clips = list(clips)
        heard.update(clip.id for clip in clips)
        return of(self, clips)

    def killing(tower, mels):
        made = encode(tower, mels)
        if DOOMED in heard:
            die("encode", marks)
        return made

    audio_embeddings.AudioEmbeddingCache.of, audio_embeddings.encode = named, killing


def while_running(stage: str, marks: Path) -> None:
    """Die behind the first piece of the prompt, or behind the third token of the answer."""
    forward = runner.Runner._forward

    def killing(self, parts):
        hidden = forward(self, parts)
        for part in parts:
            prompt = self.sequences[part.serial].prompt
            if any(placed.clip.id == DOOMED for placed in prompt.clips):
                reads = 0 < part.start < len(prompt.ids) - 1
                talks = part.stop > len(prompt.ids) + 2
                if reads if stage == "prefill" else talks:
                    die(stage, marks)
        return hidden

    runner.Runner._forward = killing


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stage", required=True)
    parser.add_argument("--marks", type=Path, required=True)
    options, rest = parser.parse_known_args()
    match options.stage:
        case "load":
            while_loading(options.marks)
        case "encode":
            while_encoding(options.marks)
        case stage:
            while_running(stage, options.marks)
    worker.main(rest)


if __name__ == "__main__":
    main()
