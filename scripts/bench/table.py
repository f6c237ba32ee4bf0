"""What both sides were measured at, as a line of JSON and as a plot."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from realtime.engine.api import Memory, ModelInfo

from . import ours, plot
from .plan import Plan


@dataclass(frozen=True, slots=True)
class Ours:
    """What was measured of the engine."""

    info: ModelInfo
    turns: ours.Turns
    tokens_per_second: list[float]
    cancelled: ours.Cancelled | None
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Theirs:
    """What was measured of transformers."""

    first_ms: list[float]
    one_after_another: float
    batch: list[float]
    cancel_ms: float | None
    memory_mib: float
    decode_bytes: int
    """Of the weights that one decode step must read."""


def table(plan: Plan, mine: Ours, theirs: Theirs, bandwidth: float) -> dict[str, Any]:
    """Give what the JSON line holds of the measurements; bandwidth in bytes a second."""
    turns, first = mine.turns.first_ms, theirs.first_ms
    tenth = min(10, plan.turns) - 1
    rates = zip(plan.conversations, mine.tokens_per_second, theirs.batch, strict=True)
    return {
        "parameters": mine.info.parameters,
        "first_token": {
            "clip_s": None if plan.sounds else plan.clip_s,
            "answer_tokens": plan.answer,
            "ours_ms": rounded(turns),
            "ours_cached_tokens": mine.turns.cached,
            "transformers_ms": rounded(first),
            "ours_last_to_first": ratio(turns[-1], turns[0]),
            "transformers_last_to_first": ratio(first[-1], first[0]),
            "compared_at_turn": tenth + 1,
            "times_sooner": ratio(first[tenth], turns[tenth]),
        },
        "tokens_per_second": {
            "tokens_each": plan.tokens,
            "one_after_another_measured_on": plan.one_after_another,
            "at_once": [
                {
                    "conversations": count,
                    "ours": round(fast, 1),
                    "transformers_one_after_another": round(theirs.one_after_another, 1),
                    "transformers_batch": round(batch, 1),
                    "times_one_after_another": ratio(fast, theirs.one_after_another),
                }
                for count, fast, batch in rates
            ],
        },
        "cancel_ms": cancelling(mine, theirs),
        "decode_alone": decoding(mine, theirs, bandwidth),
        "memory_mib": {
            "of": "device" if mine.info.device.startswith("cuda") else "process, at its most",
            "ours": round(mine.memory_mib),
            "transformers": round(theirs.memory_mib),
            "plan_of_ours": planned(mine.info.memory),
        },
    }


def planned(memory: Memory | None) -> dict[str, int] | None:
    """Give the memory plan that the worker made when it had loaded the model."""
    if memory is None:
        return None
    parts = asdict(memory)
    cells = parts.pop("cells")
    return {**{name: round(size / 2**20) for name, size in parts.items()}, "tokens_kept": cells}


def cancelling(mine: Ours, theirs: Theirs) -> dict[str, float] | None:
    """Give what cancelling took; None where answers were over before they could be cancelled."""
    if mine.cancelled is None or theirs.cancel_ms is None:
        return None
    found = {
        "ours": mine.cancelled.freed,
        "ours_step": mine.cancelled.step,
        "transformers": theirs.cancel_ms,
    }
    return {name: round(ms, 2) for name, ms in found.items()}


def decoding(mine: Ours, theirs: Theirs, bandwidth: float) -> dict[str, float | None]:
    """Hold one answer's decode step against the time that reading the weights takes."""
    least = 1e3 * theirs.decode_bytes / bandwidth
    step = mine.cancelled.step if mine.cancelled else 0.0
    return {
        "copy_gb_per_second": round(bandwidth / 1e9, 1),
        "weights_mb": round(theirs.decode_bytes / 1e6, 1),
        "floor_ms": round(least, 3),
        "ours_ms": round(step, 3) or None,
        "floor_to_ours": ratio(least, step),
    }


def draw(line: dict[str, Any], folder: Path) -> str:
    """Write the plot; give its path."""
    first, rates = line["first_token"], line["tokens_per_second"]["at_once"]
    sides = {"this engine": "ours", "transformers": "transformers"}
    by_turn = {
        name: [(float(turn), ms) for turn, ms in enumerate(first[f"{key}_ms"], 1)]
        for name, key in sides.items()
    }
    keys = {
        "this engine": "ours",
        "one after another": "transformers_one_after_another",
        "batch": "transformers_batch",
    }
    by_count = {
        name: [(float(row["conversations"]), row[key]) for row in rates]
        for name, key in keys.items()
    }
    title = f"{line['model']}, {line['device']}, {line['dtype']}"
    panels = [
        plot.Panel("Time to first token, ms", "turn of the conversation", by_turn),
        plot.Panel("Tokens a second", "conversations", by_count, log_x=True),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bench-engine-{line['model']}-{line['device'].split()[0].split(':')[0]}.svg"
    path.write_text(plot.svg(title, panels))
    return path.name


def ratio(one: float, other: float) -> float | None:
    """Compare two figures, if there is anything to compare."""
    return round(one / other, 2) if other else None


def rounded(values: list[float]) -> list[float]:
    """Keep what is worth reading."""
    return [round(value, 2) for value in values]
