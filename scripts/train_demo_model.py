#!/usr/bin/env python3
"""Make the bundled demonstration model from nothing but a seed."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from demo import (
    augment,
    card,
    corpus,
    evaluate,
    export,
    samples,
    stock,
    training,
    vocabulary,
    voices,
)
from demo.evaluate import Case, Score
from demo.model import Learner
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
app = typer.Typer(add_completion=False)
console = Console(stderr=True)

CLIPS = {
    "held_espeak": 1200, "slt": 800, "slt_hts": 400, "festival": 3000, "flite": 7000,
    "espeak": 24_000, "codec": 4000,
}  # fmt: skip
SMOKE_CLIPS = {"held_espeak": 60, "espeak": 120}
SMOKE = training.Settings(
    steps=4, aligning_steps=2, warmup=2, clips=4, imitated=4, processes=1, evaluate_every=4,
    evaluate_clips=2, save_every=2,
)  # fmt: skip
SOURCES = ("espeak", "flite", "festival")


def bar() -> Progress:
    """Return a progress display with counts, time used and time left."""
    return Progress(
        TextColumn("{task.description:28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def follow(title: str, total: int, counts: Iterator[int]) -> None:
    """Show a progress bar over an iterator of running totals."""
    with bar() as progress:
        task = progress.add_task(title, total=total)
        for count in counts:
            progress.update(task, completed=count)


def check_synthesisers(smoke: bool) -> None:
    """Stop with the packages to install if a synthesiser is missing."""
    missing = voices.missing_synthesisers()
    if smoke:
        missing = {name: packages for name, packages in missing.items() if name == "espeak-ng"}
    if missing:
        console.print(f"Missing speech synthesisers: {', '.join(missing)}", style="bold red")
        console.print(f"On Debian or Ubuntu: apt-get install {' '.join(missing.values())}")
        raise typer.Exit(2)


def build_corpus(work: Path, clips: dict[str, int], seed: int) -> None:
    """Synthesise every family that the work folder lacks."""
    folder = work / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    workers = os.cpu_count() or 1
    for name, count in clips.items():
        if name == "codec":
            made = corpus.build_codec(folder, SOURCES, count, seed, workers)
        else:
            made = corpus.build(folder, name, count, seed, workers)
        follow(f"speech: {name}", count, made)


class Report:
    """Print the losses now and then, and how long the rest will take."""

    def __init__(self, settings: training.Settings) -> None:
        self.settings = settings
        self.sums: dict[str, float] = {}
        self.count = 0

    def __call__(self, step: int, losses: dict[str, float]) -> None:
        """Take in one step."""
        self.count += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if self.count < 25 and step < self.settings.steps:
            return
        means = {name: total / self.count for name, total in self.sums.items()}
        left = (self.settings.steps - step) * means["seconds"] / 60
        share = "#" * round(30 * step / self.settings.steps)
        parts = " ".join(f"{k} {means[k]:.3f}" for k in ("answer", "imitated", "letters", "words"))
        clock = time.strftime("%H:%M:%S")
        print(
            f"{clock} step {step:5}/{self.settings.steps} [{share:30}] {parts} "
            f"{means['seconds']:.2f} s/step, {left:.0f} min left",
            flush=True,
        )
        self.sums, self.count = {}, 0


def final_cases(folder: Path, count: int, seed: int) -> list[Case]:
    """Draw the cases of the card: every skill, then voice chat on a bad line and in noise."""
    cases = evaluate.all_cases(folder, count, seed + 1)
    generator = np.random.default_rng(seed)

    def noisy(wave: augment.Wave) -> augment.Wave:
        level = 20 * np.log10(np.sqrt((wave**2).mean()) + 1e-6) - 20
        return augment.quantise(augment.add_noise(wave, level, generator))

    def on_the_phone(wave: augment.Wave) -> augment.Wave:
        return augment.quantise(augment.telephone(wave))

    changes: dict[str, Callable[[augment.Wave], augment.Wave]] = {
        "8 kHz": on_the_phone,
        "noise": noisy,
    }
    for family in ("held_espeak", "slt"):
        plain = [c for c in cases if c.voices == family and c.skill == "voice chat"]
        for name, change in changes.items():
            cases += evaluate.changed(plain, f"{family} {name}", change)
    return cases


def measure(out: Path, device: str, cases: list[Case], work: Path) -> Score:
    """Evaluate the exported checkpoint with stock transformers and keep every wrong answer."""
    found: Score = {}
    wrong = []
    with bar() as progress:
        task = progress.add_task("evaluation with transformers", total=len(cases))
        done = 0
        for score, answers in stock.measure(out, device, cases):
            found = evaluate.merge([found, score])
            for case, answer in zip(cases[done : done + len(answers)], answers, strict=True):
                if answer != case.expected:
                    wrong.append([case.skill, case.voices, case.expected, answer])
            done += len(answers)
            progress.update(task, completed=done)
    (work / "wrong.json").write_text(json.dumps(wrong, indent=1))
    return found


def load_learner(work: Path, settings: training.Settings) -> Learner:
    """Load the newest state."""
    trainer = training.Trainer(work, vocabulary.train_tokenizer(), settings, 0)
    console.print(f"Exporting the state of step {trainer.step}.")
    return trainer.learner.cpu()


def facts(work: Path, settings: training.Settings, clips: dict[str, int]) -> card.Facts:
    """Collect what the card says about the run."""
    families = [corpus.load(work / "corpus", name) for name in clips]
    heard = [family for family in families if family.name not in corpus.HELD_OUT]
    hours = sum(len(family.pcm) for family in heard) / voices.RATE / 3600
    parameters = sum(p.numel() for p in Learner().model.parameters())
    return card.Facts(settings, parameters, {f.name: len(f) for f in heard}, hours)


def make(work: Path, out: Path, settings: training.Settings, clips: dict[str, int]) -> Score:
    """Make everything: speech, tokenizer, training, checkpoint, evaluation, card."""
    build_corpus(work, clips, settings.seed)
    tokenizer: Tokenizer = vocabulary.train_tokenizer()
    training.train(work, tokenizer, settings, Report(settings))
    learner = load_learner(work, settings)
    export.export(learner, tokenizer, out)
    count = 300 if clips is CLIPS else 2
    found = measure(out, settings.device, final_cases(work / "corpus", count, settings.seed), work)
    text = card.write_card(found, facts(work, settings, clips))
    (out / "README.md").write_text(text)
    return found


@app.command()
def main(
    work: Annotated[
        Path, typer.Option(help="Where speech and training states are kept between runs.")
    ] = ROOT / "build" / "demo_model",
    out: Annotated[Path, typer.Option(help="Where the checkpoint is written.")] = (
        ROOT / "realtime" / "demo_model"
    ),
    spoken: Annotated[
        Path, typer.Option("--samples", help="Where a few spoken questions are written.")
    ] = ROOT / "client" / "samples",
    seed: Annotated[int, typer.Option(help="Everything follows from it.")] = 0,
    steps: Annotated[
        int, typer.Option(help="Training steps; the last quarter lowers the learning rate.")
    ] = training.Settings().steps,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
    processes: Annotated[
        int, typer.Option(help="Data-parallel training processes; use 1 with a GPU.")
    ] = 2,
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="A minute's run of every part; the result knows nothing."),
    ] = False,
) -> None:
    """Make the bundled demonstration model: speech, tokenizer, training, evaluation, model card.

    Needs espeak-ng, flite and festival (Debian packages; named if missing). Everything made on the
    way stays in --work: after an interruption the same command continues where it stopped.

    Everything, in about an hour and a half on two CPU cores:

        python scripts/train_demo_model.py

    On a GPU: add --device cuda --processes 1

    To see every part run once: add --smoke --work /tmp/work --out /tmp/model
    """
    check_synthesisers(smoke)
    work.mkdir(parents=True, exist_ok=True)
    if smoke:
        settings, clips = replace(SMOKE, seed=seed, device=device), SMOKE_CLIPS
    else:
        settings = training.Settings(steps=steps, seed=seed, device=device, processes=processes)
        clips = CLIPS
    found = make(work, out, settings, clips)
    samples.write_samples(work / "samples" if smoke else spoken)
    print(evaluate.one_line(found))
    console.print(f"The checkpoint is in {out}")


if __name__ == "__main__":
    sys.exit(app())
