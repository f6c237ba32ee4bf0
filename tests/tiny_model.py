"""A tiny random Qwen2-Audio checkpoint of the exact architecture, made offline in a moment."""

from __future__ import annotations

from scripts.random_model import SPECIAL, model, processor, save, speechlike, tokenizer
from scripts.random_model import Shape as Tiny

__all__ = ["SPECIAL", "Tiny", "model", "processor", "save", "speechlike", "tokenizer"]
