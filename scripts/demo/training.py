"""The training loop: data-parallel processes, a warm-up/constant/decay schedule, resuming."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import Tokenizer
from torch import Tensor, nn

from . import evaluate
from .batches import Batch, Batches, Sequences, Sizes
from .evaluate import Score
from .model import Learner, Losses


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what is learnt."""

    steps: int = 4400
    aligning_steps: int = 700  # first steps: alignment and imitated audio only
    warmup: int = 150
    decay: float = 0.25  # share of the steps over which the rate falls to nothing at the end
    matrix_rate: float = 2e-3  # for the layers' matrices, by Muon
    rate: float = 1.5e-3  # for everything else, by AdamW
    clips: int = 40
    imitated: int = 12
    seed: int = 0
    processes: int = 2
    device: str = "cpu"
    evaluate_every: int = 600
    evaluate_clips: int = 36
    save_every: int = 100


def rate_factor(step: int, settings: Settings) -> float:
    """Return the learning rate at a step as a share of its peak: warm-up, constant, decay."""
    falling = max(1, round(settings.steps * settings.decay))
    return min(1.0, step / max(1, settings.warmup), max(0.0, (settings.steps - step + 1) / falling))


def make_optimizers(learner: Learner, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside layers, AdamW for embeddings, convolutions, norms and heads."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in learner.named_parameters():
        if parameter.requires_grad:
            inside = ".layers." in name and parameter.ndim == 2
            (matrices if inside else others).append(parameter)
    return [
        torch.optim.Muon(
            matrices, lr=settings.matrix_rate, weight_decay=0.02, momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]  # fmt: skip


def move(batch: Batch, device: str) -> Batch:
    """Bring a batch to a device."""

    def sequences(found: Sequences) -> Sequences:
        tensors = {
            name: getattr(found, name).to(device)
            for name in ("ids", "labels", "weights", "imitated")
        }
        return replace(found, **tensors)

    return Batch(
        [m.to(device) for m in batch.mels],
        [f.to(device) for f in batch.frames],
        batch.places,
        batch.letters,
        batch.words,
        [sequences(s) for s in batch.spoken],
        sequences(batch.imitated),
    )


def objective(losses: Losses) -> Tensor:
    """Weigh the parts."""
    return losses.answer + 0.5 * losses.imitated + 0.5 * losses.letters + losses.words


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Average the gradients over all processes in one message."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    for parameter in parameters:  # the processes' batches may use different parts of the model
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


class Trainer:
    """One process's share of the training; process 0 also saves and reports."""

    def __init__(self, work: Path, tokenizer: Tokenizer, settings: Settings, rank: int) -> None:
        self.work, self.tokenizer, self.settings, self.rank = work, tokenizer, settings, rank
        torch.manual_seed(settings.seed)
        self.learner = Learner().to(settings.device)
        self.optimizers = make_optimizers(self.learner, settings)
        self.parameters = [p for p in self.learner.parameters() if p.requires_grad]
        self.state_path = work / "state.pt"
        self.step = self.resume()
        torch.manual_seed(settings.seed + 1000 * (rank + 1) + self.step)

    def resume(self) -> int:
        """Load the newest saved state and return its step, or 0."""
        if not self.state_path.exists():
            return 0
        state = torch.load(self.state_path, map_location=self.settings.device, weights_only=True)
        self.learner.load_state_dict(state["learner"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return int(state["step"])

    def save(self) -> None:
        """Write the state beside the old one, then put it in its place."""
        state = {
            "step": self.step,
            "learner": self.learner.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        partial = self.state_path.with_suffix(".part")
        torch.save(state, partial)
        partial.rename(self.state_path)

    def data(self) -> Batches:
        """Return this process's share of every step's batch."""
        settings = self.settings
        sizes = Sizes(
            max(2, settings.clips // settings.processes),
            max(2, settings.imitated // settings.processes),
            settings.aligning_steps,
        )
        seed = settings.seed * 64 + self.rank
        steps = range(settings.steps + 1)
        return Batches(self.work / "corpus", self.tokenizer.to_str(), seed, steps, sizes)

    def train(self, report: Callable[[int, dict[str, float]], None]) -> None:
        """Run the remaining steps; `report` is called on process 0 after each."""
        data = self.data()
        while self.step < self.settings.steps:
            started = time.perf_counter()
            losses = self.train_step(data[self.step + 1])
            self.step += 1
            losses["seconds"] = time.perf_counter() - started
            if self.rank == 0:
                report(self.step, losses)
                if self.step % self.settings.save_every == 0 or self.step == self.settings.steps:
                    self.save()
            if self.step % self.settings.evaluate_every == 0:
                self.log_score(self.evaluate(self.settings.evaluate_clips))

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Take one step and return its losses."""
        settings = self.settings
        factor = rate_factor(self.step + 1, settings)
        for optimizer, peak in zip(
            self.optimizers, (settings.matrix_rate, settings.rate), strict=True
        ):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.zero_grad()
        aligning_only = self.step < settings.aligning_steps
        with torch.autocast(torch.device(settings.device).type, torch.bfloat16):
            losses: Losses = self.learner(move(batch, settings.device), aligning_only)
        torch.autograd.backward(objective(losses))
        average_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if torch.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        return {
            "answer": float(losses.answer.detach()),
            "imitated": float(losses.imitated.detach()),
            "letters": float(losses.letters.detach()),
            "words": float(losses.words.detach()),
            "norm": float(norm),
        }

    def evaluate(self, clips: int) -> Score:
        """Evaluate a share of the cases in every process and add the counts up."""
        cases = evaluate.all_cases(self.work / "corpus", clips, self.settings.seed)
        share = cases[self.rank :: self.settings.processes]
        mine = evaluate.score(share, evaluate.answer_all(self.learner, self.tokenizer, share))
        if not dist.is_initialized():
            return mine
        gathered: list[Any] = [None] * self.settings.processes
        dist.all_gather_object(gathered, mine)
        return evaluate.merge(gathered)

    def log_score(self, found: Score) -> None:
        """Append a score to the log in the work folder."""
        if self.rank:
            return
        row = {"step": self.step, "score": {"|".join(k): v for k, v in sorted(found.items())}}
        with (self.work / "scores.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"step {self.step}: {evaluate.one_line(found)}", flush=True)


def run_process(
    rank: int,
    work: Path,
    tokenizer: str,
    settings: Settings,
    report: Callable[[int, dict[str, float]], None],
) -> None:
    """Train in one process of several."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // settings.processes))
    if settings.processes > 1:
        store = torch._C._distributed_c10d.FileStore(str(work / "rendezvous"), settings.processes)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=settings.processes)
    try:
        Trainer(work, Tokenizer.from_str(tokenizer), settings, rank).train(report)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def train(
    work: Path,
    tokenizer: Tokenizer,
    settings: Settings,
    report: Callable[[int, dict[str, float]], None],
) -> None:
    """Train to the end in as many processes as the settings say."""
    (work / "rendezvous").unlink(missing_ok=True)
    # Kernels for many shapes are kept, not made anew (read when a process first computes).
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
    arguments = (work, tokenizer.to_str(), settings, report)
    if settings.processes == 1:
        run_process(0, *arguments)
    else:
        start: Any = mp.spawn  # type: ignore[attr-defined]
        start(run_process, arguments, settings.processes, join=True)
